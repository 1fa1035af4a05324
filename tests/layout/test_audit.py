"""What `make audit` says, and that no package goes by unseen."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    path = Path(__file__).parents[2] / ".ci" / "audit.py"
    spec = importlib.util.spec_from_file_location("audit", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def package(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "version": "1.0", "vulns": [], **more}


def test_nothing_known_of_packages_that_were_looked_up_is_a_success(audit: ModuleType) -> None:
    lines, failed = audit.report([package("a"), package("b")])
    assert lines == ["2 packages looked up, 0 known vulnerabilities."]
    assert not failed


def test_what_is_known_is_said_with_the_version_that_mends_it(audit: ModuleType) -> None:
    known = {"id": "CVE-1", "fix_versions": ["1.1"]}
    lines, failed = audit.report([package("a", vulns=[known]), package("b")])
    assert lines[0] == "a 1.0: CVE-1, mended in 1.1"
    assert failed


def test_what_could_not_be_looked_up_is_listed_and_no_success(audit: ModuleType) -> None:
    skipped = {"name": "b", "skip_reason": "not found"}
    lines, failed = audit.report([package("a"), skipped])
    assert lines == ["1 packages looked up, 0 known vulnerabilities.", "Not looked up (1): b"]
    assert failed
    (first, _), failed = audit.report([skipped])
    assert first.startswith("Nothing was looked up: ")
    assert failed
