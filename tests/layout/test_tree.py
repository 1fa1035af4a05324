"""What lies where, and which words and addresses lie nowhere."""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUOTATION = re.compile("“[^”]*”")  # the one way to use another's word
TASK = re.compile(r"\btasks?\b", re.IGNORECASE)
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:work|root|opt|Users|home/\w+)/")
REGISTRY_HOST = re.compile(r"py[p]i\.org|python[h]osted|npm[j]s\.|deb\.debian\.[o]rg")


def repository_files() -> list[Path]:
    """All files that are tracked or will be, i.e. that git does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def lines_matching(pattern: re.Pattern[str], paths: list[Path]) -> Iterator[str]:
    for path in paths:
        text = path.read_bytes().decode(errors="replace")
        for number, line in enumerate(text.splitlines(), start=1):
            if pattern.search(QUOTATION.sub("", line)):
                yield f"{path.relative_to(ROOT)}:{number}: {line.strip()}"


def test_components_holds_exactly_one_package_and_nothing_else():
    entries = {p.relative_to(ROOT / "components").parts[0] for p in source_files("*")}
    assert entries == {"lopt"}
    assert (ROOT / "components/lopt/__init__.py").is_file()


def test_every_folder_of_the_library_with_modules_is_a_package():
    """Otherwise the walk that finds problems and architectures passes it by."""
    folders = {path.parent for path in source_files("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


def source_files(pattern: str) -> list[Path]:
    inside = ROOT / "components"
    return [p for p in repository_files() if p.is_relative_to(inside) and p.match(pattern)]


def test_the_word_task_does_not_occur_in_the_library():
    assert list(lines_matching(TASK, source_files("*"))) == []


def test_no_flow_file_shadows_a_module():
    """Prefect's loader puts a flow file's folder first on `sys.path`."""
    stems = {path.stem for path in (ROOT / "flows").glob("*.py")} - {"__init__"}
    assert stems, "there are no flows"
    assert {stem for stem in stems if importable(stem)} == set()


def importable(name: str) -> bool:
    return name in sys.stdlib_module_names or importlib.util.find_spec(name) is not None


@pytest.mark.parametrize("pattern", [MACHINE_PATH, REGISTRY_HOST], ids=["path", "host"])
def test_no_file_names_a_path_or_a_registry_of_one_machine(pattern: re.Pattern[str]):
    assert list(lines_matching(pattern, repository_files())) == []


@pytest.mark.parametrize("folders", ["work/main/x", "home/ann/lopt", "opt/wheels"])
def test_the_search_for_paths_finds_one(folders: str):
    assert MACHINE_PATH.search(f"cp '/{folders}' .")
