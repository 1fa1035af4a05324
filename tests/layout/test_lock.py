"""requirements.lock: exact, hashed, and from no index in particular."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
ENTRIES = (ROOT / "requirements.lock").read_text().replace("\\\n", " ").splitlines()


def test_the_lock_names_no_address_and_no_option():
    text = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"://|^-|@\s|file:", text, re.MULTILINE)


def test_every_entry_is_one_exact_version_with_a_hash():
    assert len(ENTRIES) > 100
    entry = re.compile(
        r"[a-z0-9-]+(\[[a-z0-9,-]+\])?==\S+( ;[^\\]+?)?(\s+--hash=sha256:[0-9a-f]{64})+"
    )
    assert [line for line in ENTRIES if not entry.fullmatch(line.strip())] == []


def declared() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    inside = [text for group in ("pipeline", "team", "dev") for text in groups[group]]
    wanted = [*project["project"]["dependencies"], *inside]
    return [Requirement(text) for text in wanted]


def locked() -> list[Requirement]:
    return [Requirement(line.split(" --hash")[0]) for line in ENTRIES]


@pytest.mark.parametrize("requirement", declared(), ids=str)
def test_what_the_project_declares_is_locked_within_its_bounds(requirement: Requirement):
    name = canonicalize_name(requirement.name)
    pins = [pin for pin in locked() if canonicalize_name(pin.name) == name]
    versions = [next(iter(pin.specifier)).version for pin in pins]
    assert versions, "run make lock"
    assert all(requirement.specifier.contains(version) for version in versions), versions
