"""compose.yaml read as compose reads it: anchors and merges, variables, the image's own values."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<other>[^}]*))?\}")


def services(variables: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the services with the variables put in, and nothing that compose would leave out."""
    found = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    for service in found.values():
        given = service.get("environment", {})
        # A name without a value is taken from the shell, or is not there.
        passed = {name: variables[name] for name in given if name in variables}
        service["environment"] = {n: v for n, v in given.items() if v is not None} | passed
    return {name: _filled(service, variables) for name, service in found.items()}


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return VARIABLE.sub(lambda match: _value(match, variables), value)
    if isinstance(value, list):
        return [_filled(one, variables) for one in value]
    if isinstance(value, dict):
        return {name: _filled(one, variables) for name, one in value.items()}
    return value


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    found = variables.get(match["name"])
    if found:
        return found
    if match["kind"] == "?":
        raise KeyError(match["other"])
    return match["other"] or ""


def instruction(word: str) -> str:
    """Return what stands behind a word of the Dockerfile that it has once at a line's beginning."""
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    (found,) = [line.removeprefix(word + " ") for line in lines if line.startswith(word + " ")]
    return found


def image_environment() -> dict[str, str]:
    """Return what the image adds to the environment."""
    return dict(pair.split("=", 1) for pair in instruction("ENV").split())


def health_check() -> list[str]:
    """Return the command of the image's health check."""
    return list(json.loads(instruction("HEALTHCHECK").partition(" CMD ")[2]))
