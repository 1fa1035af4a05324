"""What can be read off the container files where there is no engine to run them."""

import fnmatch
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from tasks import settings
from tasks.deployment_confs import read_deployments

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
OURS = {name: one for name, one in SERVICES.items() if one["image"].startswith("lopt:")}
WORKERS = {name: one for name, one in OURS.items() if "--type=process" in one["command"]}
INSTRUCTIONS = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()


def instructions(word: str, lines: list[str] = INSTRUCTIONS) -> list[str]:
    return [line.removeprefix(word).strip() for line in lines if line.startswith(word + " ")]


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_a_service_is_reached_from_this_machine_alone(service: dict[str, Any]):
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def checked(compose: dict[str, Any]) -> None:
    """Raise `ValueError` if the specification of compose does not allow it."""
    PyCompose.from_json(json.dumps(compose)).validate()


def test_compose_takes_every_key_and_every_value():
    checked(COMPOSE)
    worker = SERVICES["worker"]
    for wrong in ({"comand": "x"}, {"restart": "sometimes"}, {"ports": ["127.0.0.1:x"]}):
        with pytest.raises(ValueError, match=r"comand|sometimes|port"):
            checked({**COMPOSE, "services": {"worker": {**worker, **wrong}}})


def test_what_a_service_names_is_there():
    wanted = {name for one in SERVICES.values() for name in one.get("depends_on", {})}
    assert wanted - set(SERVICES) == set()
    mounted = [volume.split(":")[0] for one in SERVICES.values() for volume in one["volumes"]]
    files = {name for name in mounted if name.startswith("./")}
    assert {name for name in files if not (ROOT / name).is_file()} == set()
    assert set(mounted) - files == set(COMPOSE["volumes"])
    assert read_ini(SERVICES["mlflow"]["environment"]["MLFLOW_AUTH_CONFIG_PATH"])["database_uri"]


def read_ini(name: str) -> dict[str, str]:
    from configparser import ConfigParser

    parser = ConfigParser()
    assert parser.read(ROOT / name)
    return dict(parser["mlflow"])


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_a_service_that_stays_says_when_it_is_healthy(service: dict[str, Any]):
    ends = service["restart"] == "on-failure"
    assert ends or "LOPT_HEALTH_URL" in service["environment"] or service["healthcheck"]["test"]


@pytest.mark.parametrize("service", OURS.values(), ids=OURS)
def test_a_service_of_ours_may_no_more_than_it_needs(service: dict[str, Any]):
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_passwords_come_from_the_environment():
    values = [item for service in SERVICES.values() for item in service["environment"].items()]
    named = re.compile("AUTH(?!_CONFIG_PATH|_ADMIN_USERNAME)|PASSWORD|SECRET|KEY|WEBHOOK")
    secrets = [value for name, value in values if named.search(name)]
    assert len(secrets) > 10
    given = re.compile(r"\$\{\w+:\?.*\}")
    assert all(value is None or given.fullmatch(value) for value in secrets)


def test_every_variable_is_explained():
    text = (ROOT / "compose.yaml").read_text()
    taken = [item for one in SERVICES.values() for item in one["environment"].items()]
    passed = {name for name, value in taken if value is None}
    variables = set(re.findall(r"\$\{(\w+)", text)) | passed
    assert "LOPT_ARTIFACTS" in variables
    explained = (ROOT / "docs" / "containers.md").read_text()
    assert {name for name in variables if f"`{name}`" not in explained} == set()


def queues(service: dict[str, Any]) -> set[str]:
    words = [word.partition("=")[2] for word in service["command"] if "--work-queue=" in word]
    return {re.sub(r"\$\{\w+:-(.*)\}", r"\1", word) for word in words}


def test_workers_take_from_the_declared_pool_and_leave_no_queue_waiting():
    declared = read_deployments().work_pool
    pools = {word for one in WORKERS.values() for word in one["command"] if "--pool=" in word}
    assert pools == {f"--pool={declared.name}"}
    assert queues(SERVICES["worker"]) == set(declared.queues)
    assert queues(SERVICES["worker-gpu"]) == {"meta-training"}
    assert "other" in declared.queues


def test_leases_are_kept_by_what_make_up_keeps_them_by_too():
    environment = SERVICES["prefect"]["environment"]
    assert environment["PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"] == settings.LEASES


def test_a_gpu_is_asked_for_only_where_somebody_wants_one():
    assert {name for name, one in SERVICES.items() if one.get("profiles")} == {"worker-gpu"}
    assert {name for name, one in SERVICES.items() if "deploy" in one} == {"worker-gpu"}


def test_the_linter_of_dockerfiles_finds_nothing_and_would():
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert program, "make installs it"
    text = (ROOT / "Dockerfile").read_text()

    def found(dockerfile: str) -> str:
        command = [program, "--no-color", "-"]
        done = subprocess.run(
            command, input=dockerfile, capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    assert found(text) == ""
    assert "DL3004" in found(text + "RUN sudo true\n")


def test_the_image_says_when_it_is_healthy_by_a_module_that_it_has():
    command = json.loads(instructions("HEALTHCHECK")[0].partition(" CMD ")[2])
    assert command[:2] == ["python", "-m"]
    assert (ROOT / f"{command[2].replace('.', '/')}.py").is_file()


def test_the_last_stage_runs_as_a_user_and_installs_nothing():
    last = max(i for i, line in enumerate(INSTRUCTIONS) if line.startswith("FROM "))
    stage = INSTRUCTIONS[last:]
    assert instructions("USER", stage)[-1] not in {"root", "0"}
    assert not re.search(r"\b(pip|uv|apt-get|hatchling)\b", "\n".join(instructions("RUN", stage)))


def test_of_the_base_image_nothing_stays_that_installs_packages(tmp_path: Path):
    """Its files by their names: what is removed of them by the very command of the last stage."""
    goes = [
        *("bin/pip", "bin/pip3", "bin/pip3.11", "bin/wheel"),
        "lib/python3.11/ensurepip/_bundled/pip-24.0-py3-none-any.whl",
        "lib/python3.11/site-packages/pip/__main__.py",
        "lib/python3.11/site-packages/setuptools/__init__.py",
    ]
    stays = {"bin/python3.11", "bin/pydoc3", "lib/python3.11/json/__init__.py"}
    for name in [*goes, *stays]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    last = max(i for i, line in enumerate(INSTRUCTIONS) if line.startswith("FROM "))
    steps = [step for run in instructions("RUN", INSTRUCTIONS[last:]) for step in run.split("&&")]
    (removal,) = [step for step in steps if step.strip().startswith("rm ")]
    subprocess.run(["sh", "-c", removal.replace("/usr/local", str(tmp_path))], check=True)
    found = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert found == stays


def test_all_that_the_image_copies_is_there_and_in_the_build_context():
    copied = [source for line in instructions("COPY") for source in line.split()[:-1]]
    wanted = [source for source in copied if not source.startswith(("/", "--"))]
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    assert [source for source in wanted if not (ROOT / source).exists()] == []
    assert [s for s in wanted if not any(fnmatch.fnmatch(f"!{s}", line) for line in allowed)] == []
