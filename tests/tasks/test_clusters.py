"""The files for clusters, as far as they can be checked without one."""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import prefect
import pytest
import yaml

from tasks import hosts
from tasks.conf_errors import ConfError
from tasks.deployment_confs import DeploymentConf, WorkPoolConf, read_deployments
from tasks.deployments import filled_in, job_variables
from tasks.hosts import Hosts
from tasks.work_pools import template

FOLDER = Path("conf/operations")
KUBERNETES = WorkPoolConf(kind="kubernetes", template=str(FOLDER / "kubernetes/work_pool.yaml"))
PLACEHOLDER = re.compile(r"{{ (\w+) }}")
KNOWN_TO_PREFECT = (
    Path(prefect.__file__).parent
    / "server/api/collections_data/views/aggregate-worker-metadata.json"
)


def own_template() -> dict[str, Any]:
    """The base job template that Prefect itself has for Kubernetes."""
    found = json.loads(KNOWN_TO_PREFECT.read_text())["prefect-kubernetes"]["kubernetes"]
    return dict(found["default_base_job_configuration"])


@pytest.fixture(params=["kubernetes", "slurm"])
def declared(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = FOLDER / request.param / "deployments.yaml"
    monkeypatch.setenv("LOPT_DEPLOYMENTS", str(path))
    return path


@pytest.mark.usefixtures("declared")
def test_what_is_declared_for_a_cluster_is_valid_with_all_that_it_names() -> None:
    conf = read_deployments()
    assert set(template(conf.work_pool)) == {"job_configuration", "variables"}
    for one in conf.deployments:
        assert filled_in(one)["meta_training"]
        known = template(conf.work_pool)["variables"]["properties"]
        assert set(job_variables(conf.work_pool, one)) <= set(known)


def test_the_template_has_every_key_that_prefect_s_own_has_and_says_every_variable() -> None:
    ours, theirs = template(KUBERNETES), own_template()
    assert set(ours["job_configuration"]) == set(theirs["job_configuration"])
    used = set(PLACEHOLDER.findall(json.dumps(ours["job_configuration"])))
    assert used == set(ours["variables"]["properties"])


def rendered(processes: int) -> dict[str, Any]:
    """The Job that Prefect makes of the template, by its own way to fill it in."""
    from prefect.utilities.templating import apply_values

    found = template(KUBERNETES)
    values = {
        name: said["default"]
        for name, said in found["variables"]["properties"].items()
        if "default" in said
    }
    made = apply_values(found["job_configuration"], values | {"processes": processes})
    return dict(made["job_manifest"])


ADDRESS = {"MLFLOW_TRACKING_URI": "http://mlflow.example.org:5000"}
LOGIN = {"MLFLOW_TRACKING_USERNAME": "worker", "MLFLOW_TRACKING_PASSWORD": "secret"}


def pods(
    job: dict[str, Any], secrets: Mapping[str, Mapping[str, str]] = {"lopt-mlflow": ADDRESS}
) -> Iterator[dict[str, str]]:
    """The environment of each pod, made as Kubernetes does it for an indexed Job.

    Raises `KeyError` where Kubernetes would not start it: for the want of a secret or of its key.
    """
    (container,) = job["spec"]["template"]["spec"]["containers"]
    for index in range(job["spec"]["completions"]):
        known = {
            "metadata.annotations['batch.kubernetes.io/job-completion-index']": str(index),
            "metadata.labels['batch.kubernetes.io/job-name']": "lopt-x7k2p",
        }
        environ: dict[str, str] = {}
        for one in container["env"]:
            text = one.get("value")
            if "fieldRef" in one.get("valueFrom", {}):
                text = known[one["valueFrom"]["fieldRef"]["fieldPath"]]
            if wanted := one.get("valueFrom", {}).get("secretKeyRef"):
                secret = secrets[wanted["name"]]
                if wanted.get("optional") and wanted["key"] not in secret:
                    continue
                text = secret[wanted["key"]]
            for name, value in environ.items():
                text = str(text).replace(f"$({name})", value)
            environ[one["name"]] = str(text)
        yield environ


def test_every_pod_of_a_job_is_told_which_process_of_how_many_it_is() -> None:
    job = rendered(processes=4)
    spec = job["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 4, 4)
    service, _ = yaml.safe_load_all((FOLDER / "kubernetes/service.yaml").read_text())
    assert spec["template"]["spec"]["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"].items() <= spec["template"]["metadata"]["labels"].items()
    (port,) = service["spec"]["ports"]
    coordinator = f"lopt-x7k2p-0.{service['metadata']['name']}:{port['port']}"
    for number, environ in enumerate(pods(job)):
        assert hosts.mistakes(environ) == []
        assert hosts.hosts(environ) == Hosts(coordinator, 4, number)


def test_a_job_of_one_process_is_a_run_that_is_alone() -> None:
    (environ,) = pods(rendered(processes=1))
    assert hosts.mistakes(environ) == []
    assert hosts.hosts(environ) is None


def test_every_pod_finds_mlflow_by_a_secret_with_the_login_if_there_is_one() -> None:
    job = rendered(processes=2)
    for secret in (ADDRESS, ADDRESS | LOGIN):
        for environ in pods(job, {"lopt-mlflow": secret}):
            assert {n: v for n, v in environ.items() if n.startswith("MLFLOW")} == secret
    # Nothing of a login is in the template, the deployment or the Job.
    assert not set(LOGIN.values()) & set(re.findall(r"\w+", json.dumps(job)))


def test_no_pod_starts_that_would_not_know_where_mlflow_is() -> None:
    for secrets in ({}, {"lopt-mlflow": LOGIN}):
        with pytest.raises(KeyError, match=r"lopt-mlflow|MLFLOW_TRACKING_URI"):
            next(pods(rendered(processes=1), secrets))


def test_what_the_page_says_of_mlflow_s_secret_is_what_the_pods_read() -> None:
    page = Path("docs/clusters.md").read_text()
    (container,) = rendered(processes=1)["spec"]["template"]["spec"]["containers"]
    asked = [one.get("valueFrom", {}).get("secretKeyRef") for one in container["env"]]
    assert {one["name"] for one in asked if one} == {"lopt-mlflow"}
    assert "kubectl create secret generic lopt-mlflow --from-env-file=" in page
    assert [one["key"] for one in asked if one and f"{one['key']}=" not in page] == []


def test_values_of_the_environment_of_a_pod_are_texts() -> None:
    (container,) = rendered(processes=4)["spec"]["template"]["spec"]["containers"]
    assert [one for one in container["env"] if not isinstance(one.get("value", ""), str)] == []


def script(**variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["bash", str(FOLDER / "slurm/worker.sbatch")],
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_script_for_slurm_is_bash_and_says_what_it_lacks() -> None:
    subprocess.run(["bash", "-n", str(FOLDER / "slurm/worker.sbatch")], check=True)
    given: dict[str, str] = {}
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "LOPT_HOME"):
        done = script(**given)
        assert done.returncode != 0
        assert f"{name}: is not set" in done.stderr
        given[name] = "x"


def test_the_step_of_slurm_is_as_many_processes_as_its_worker_has_tasks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOPT_DEPLOYMENTS", str(FOLDER / "slurm/deployments.yaml"))
    conf = read_deployments()
    (one,) = conf.deployments
    text = (FOLDER / "slurm/worker.sbatch").read_text()
    assert f"--pool={conf.work_pool.name} " in text
    program, *arguments = shlex.split(job_variables(conf.work_pool, one)["command"])
    assert program == "srun"
    assert arguments[-2:] == ["-m", "tasks.together"]
    # srun itself takes the number from the allocation, and names it to each process.
    assert not [argument for argument in arguments if argument.startswith(("-n", "--ntasks"))]
    nodes = re.search(r"#SBATCH --nodes=(\d+)", text)
    assert nodes is not None
    environ = {"SLURM_NTASKS": nodes[1], "SLURM_STEP_NODELIST": "node[1-2]"}
    assert hosts.hosts(environ) == Hosts(cluster="slurm")


def test_several_processes_on_one_host_are_a_command_of_their_own() -> None:
    one = DeploymentConf(flow="meta_train", name="a", queue="q", description="d", processes=2)
    said = job_variables(WorkPoolConf(), one)
    assert shlex.split(said["command"])[-4:] == ["-m", "tasks.together", "--processes", "2"]
    assert "command" not in job_variables(WorkPoolConf(), one.model_copy(update={"processes": 1}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"flow": "roll_back"}, "processes: 2 is not allowed for roll_back; allowed: 1, or one of"),
        ({"job_variables": {"command": "x"}}, "allowed is one of the two"),
    ],
)
def test_processes_that_nothing_would_come_of_are_refused(
    change: dict[str, Any], said: str
) -> None:
    values = {"flow": "meta_train", "name": "a", "queue": "q", "description": "d", "processes": 2}
    with pytest.raises(ValueError, match=said):
        DeploymentConf.model_validate(values | change)


def test_a_file_that_is_no_template_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "pool.yaml"
    path.write_text("variables: {}")
    with pytest.raises(ConfError, match=r"pool\.yaml: is no base job template"):
        template(WorkPoolConf(template=str(path)))
