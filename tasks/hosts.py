"""On which processes a run is to be, as the environment of each of them says.

It is in no conf: the same conf is run on one host today and on four tomorrow. Either three of
JAX's variables say it, or what has started the processes does (SLURM, Open MPI, Kubernetes),
which JAX can ask: https://docs.jax.dev/en/latest/multi_process.html.
"""

import os
from collections.abc import Mapping
from typing import NamedTuple

COORDINATOR, PROCESSES, NUMBER = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
CLUSTER = "LOPT_CLUSTER"
NONE = "none"
CLUSTERS = ("slurm", "ompi", "k8s", "mpi4py", NONE)
"""What JAX can ask for the processes, by its own names, and a word for asking nothing."""
COUNTED_BY = {
    "slurm": ("SLURM_NTASKS", "SLURM_STEP_NODELIST"),
    "ompi": ("OMPI_COMM_WORLD_SIZE", "OMPI_MCA_orte_hnp_uri"),
}
"""Where those say how many they have started, and what is only there if they have."""
MOST_PROCESSES = 100_000
LOOPBACK = {"127.0.0.1", "localhost", "[::1]"}


class Hosts(NamedTuple):
    """The processes of a run: said one by one, or to be asked of a cluster."""

    coordinator: str | None = None
    processes: int | None = None
    number: int | None = None
    cluster: str | None = None

    @property
    def bound_to(self) -> str | None:
        """Where process 0 listens; `None` for all interfaces, as hosts need to reach each other.

        Nobody is asked for a password there, so what only this machine is to reach stays here.
        """
        host = (self.coordinator or "").rpartition(":")[0]
        return self.coordinator if host in LOOPBACK else None


def hosts(environ: Mapping[str, str] = os.environ) -> Hosts | None:
    """Return the processes that there are to be, `None` for this one alone.

    Has to be asked only if nothing is wrong with it (`mistakes`).

    **Example**

    ```python
    hosts({PROCESSES: "2", NUMBER: "0", COORDINATOR: "10.0.0.1:9911"})
    ```
    """
    if _said(environ):
        count = int(environ[PROCESSES])
        if count == 1:
            return None
        return Hosts(environ[COORDINATOR], count, int(environ[NUMBER]))
    cluster = _cluster(environ)
    return None if cluster is None else Hosts(cluster=cluster)


def mistakes(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return what is wrong with the variables, in a line each.

    **Example**

    ```python
    mistakes({PROCESSES: "2", NUMBER: "2", COORDINATOR: "10.0.0.1:9911"})
    ```
    """
    cluster = environ.get(CLUSTER)
    if cluster is not None and cluster not in CLUSTERS:
        return [_refused(CLUSTER, cluster, f"one of {', '.join(CLUSTERS)}")]
    if not _said(environ):
        return _coordinator_alone(environ)
    missing = [name for name in (PROCESSES, NUMBER) if name not in environ]
    if missing:
        given = next(name for name in (PROCESSES, NUMBER) if name in environ)
        return [
            f"{missing[0]}: is missing, though {given} is {environ[given]!r}; allowed: both, "
            "the same number of processes for all and for each its own number, from 0 on"
        ]
    lines = _not_whole(environ)
    return lines or _number(environ) or _coordinator(environ)


def named(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the variables that name several processes, or what has started them."""
    variables = (PROCESSES, NUMBER, COORDINATOR, CLUSTER)
    others = (count for count, sign in COUNTED_BY.values() if sign in environ)
    return [name for name in (*variables, *others) if name in environ]


def _said(environ: Mapping[str, str]) -> bool:
    return PROCESSES in environ or NUMBER in environ


def _cluster(environ: Mapping[str, str]) -> str | None:
    """Return the cluster that has started several processes, if one has, or that is named."""
    if named := environ.get(CLUSTER):
        return None if named == NONE else named
    for name, (count, sign) in COUNTED_BY.items():
        if sign in environ and environ.get(count, "1") != "1":
            return name
    return None


def _coordinator_alone(environ: Mapping[str, str]) -> list[str]:
    if COORDINATOR not in environ or _cluster(environ) is not None:
        return []
    return [
        f"{COORDINATOR}: {environ[COORDINATOR]!r} is not allowed alone; allowed: with "
        f"{PROCESSES} and {NUMBER}, or within a cluster that says them"
    ]


def _not_whole(environ: Mapping[str, str]) -> list[str]:
    least = {PROCESSES: 1, NUMBER: 0}
    return [
        _refused(name, environ[name], f"an integer from {lowest} to {MOST_PROCESSES}")
        for name, lowest in least.items()
        if not (environ[name].isdecimal() and lowest <= int(environ[name]) <= MOST_PROCESSES)
    ]


def _number(environ: Mapping[str, str]) -> list[str]:
    count = int(environ[PROCESSES])
    if int(environ[NUMBER]) < count:
        return []
    return [_refused(NUMBER, environ[NUMBER], f"0 to {count - 1}, for {PROCESSES} is {count}")]


def _coordinator(environ: Mapping[str, str]) -> list[str]:
    if environ[PROCESSES] == "1":
        return []
    form = "host:port, which process 0 listens at and all others reach, such as 10.0.0.1:9911"
    if COORDINATOR not in environ:
        return [f"{COORDINATOR}: is missing; allowed: {form}"]
    host, _, port = environ[COORDINATOR].rpartition(":")
    if host and port.isdecimal() and 0 < int(port) < 2**16:
        return []
    return [_refused(COORDINATOR, environ[COORDINATOR], form)]


def _refused(name: str, value: str, allowed: str) -> str:
    return f"{name}: {value!r} is not allowed; allowed: {allowed}"
