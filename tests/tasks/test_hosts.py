import pytest

from tasks import hosts
from tasks.hosts import Hosts

COORDINATOR = "JAX_COORDINATOR_ADDRESS"
SAID = {"JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "1", COORDINATOR: "10.0.0.1:9911"}
STEP = {"SLURM_NTASKS": "4", "SLURM_STEP_NODELIST": "node[1-4]"}
WORLD = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_MCA_orte_hnp_uri": "1.0;tcp://10.0.0.1:1"}


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, None),
        (SAID, Hosts("10.0.0.1:9911", 2, 1)),
        (SAID | STEP, Hosts("10.0.0.1:9911", 2, 1)),
        ({"JAX_NUM_PROCESSES": "1", "JAX_PROCESS_ID": "0"}, None),
        (STEP, Hosts(cluster="slurm")),
        (STEP | {COORDINATOR: "10.0.0.1:9911"}, Hosts(cluster="slurm")),
        (STEP | {"SLURM_NTASKS": "1"}, None),
        # A batch script that has not started its steps yet.
        ({"SLURM_NTASKS": "4"}, None),
        (WORLD, Hosts(cluster="ompi")),
        (STEP | {"LOPT_CLUSTER": "none"}, None),
        ({"LOPT_CLUSTER": "k8s"}, Hosts(cluster="k8s")),
    ],
)
def test_processes_are_those_that_the_environment_names(
    environ: dict[str, str], found: Hosts | None
) -> None:
    assert hosts.mistakes(environ) == []
    assert hosts.hosts(environ) == found


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"JAX_PROCESS_ID": "2"},
            "JAX_PROCESS_ID: '2' is not allowed; allowed: 0 to 1, for JAX_NUM_PROCESSES is 2",
        ),
        (
            {"JAX_PROCESS_ID": "-1"},
            "JAX_PROCESS_ID: '-1' is not allowed; allowed: an integer from 0 to 100000",
        ),
        (
            {"JAX_NUM_PROCESSES": "two"},
            "JAX_NUM_PROCESSES: 'two' is not allowed; allowed: an integer from 1 to 100000",
        ),
        ({"JAX_PROCESS_ID": None}, "JAX_PROCESS_ID: is missing, though JAX_NUM_PROCESSES is '2'"),
        ({"JAX_NUM_PROCESSES": None}, "JAX_NUM_PROCESSES: is missing, though JAX_PROCESS_ID is"),
        ({COORDINATOR: None}, f"{COORDINATOR}: is missing; allowed: host:port"),
        ({COORDINATOR: "host"}, f"{COORDINATOR}: 'host' is not allowed; allowed: host:port"),
        ({COORDINATOR: "host:0"}, f"{COORDINATOR}: 'host:0' is not allowed; allowed: host:port"),
        (
            {"JAX_NUM_PROCESSES": None, "JAX_PROCESS_ID": None},
            f"{COORDINATOR}: '10.0.0.1:9911' is not allowed alone; allowed: with JAX_NUM_PROC",
        ),
        (
            {"LOPT_CLUSTER": "lsf"},
            "LOPT_CLUSTER: 'lsf' is not allowed; allowed: one of slurm, ompi, k8s, mpi4py, none",
        ),
    ],
)
def test_variables_that_name_no_process_are_refused(
    changes: dict[str, str | None], line: str
) -> None:
    environ = {name: value for name, value in (SAID | changes).items() if value is not None}
    (found,) = hosts.mistakes(environ)
    assert found.startswith(line)


@pytest.mark.parametrize(
    ("coordinator", "bound"),
    [("127.0.0.1:9911", "127.0.0.1:9911"), ("localhost:1", "localhost:1"), ("10.0.0.1:1", None)],
)
def test_what_only_this_machine_is_to_reach_stays_on_it(
    coordinator: str, bound: str | None
) -> None:
    assert Hosts(coordinator, 2, 0).bound_to == bound
