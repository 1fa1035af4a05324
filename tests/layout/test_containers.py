"""What can be read off the container files where there is no engine to run them."""

import fnmatch
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SERVICES = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
INSTRUCTIONS = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()


def instructions(word: str, lines: list[str] = INSTRUCTIONS) -> list[str]:
    return [line.removeprefix(word).strip() for line in lines if line.startswith(word + " ")]


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_a_service_is_reached_from_this_machine_alone(service: dict[str, Any]):
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_a_service_says_when_it_is_healthy(service: dict[str, Any]):
    assert "urlopen" in service["healthcheck"]["test"][-1]


def test_passwords_come_from_the_environment():
    values = [item for service in SERVICES.values() for item in service["environment"].items()]
    secrets = [value for name, value in values if re.search("AUTH|PASSWORD|SECRET|KEY", name)]
    assert secrets
    assert all(re.fullmatch(r"\$\{\w+:\?.*\}", secret) for secret in secrets)


def test_the_last_stage_runs_as_a_user_and_installs_nothing():
    last = max(i for i, line in enumerate(INSTRUCTIONS) if line.startswith("FROM "))
    stage = INSTRUCTIONS[last:]
    assert instructions("USER", stage)[-1] not in {"root", "0"}
    assert not re.search(r"\b(pip|uv|apt-get|hatchling)\b", "\n".join(instructions("RUN", stage)))


def test_all_that_the_image_copies_is_there_and_in_the_build_context():
    copied = [source for line in instructions("COPY") for source in line.split()[:-1]]
    wanted = [source for source in copied if not source.startswith(("/", "--"))]
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    assert [source for source in wanted if not (ROOT / source).exists()] == []
    assert [s for s in wanted if not any(fnmatch.fnmatch(f"!{s}", line) for line in allowed)] == []
