"""What a user gets: `lopt` alone, and every package that it imports declared."""

import ast
import importlib.metadata
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DISTRIBUTIONS = importlib.metadata.packages_distributions()

# The modules behind `lopt.load`: they must do with the wheel's own dependencies.
USER_SIDE = ["lopt", "lopt.loading", "lopt.registry", "lopt.release", "lopt.architectures"]

# Run with the unpacked wheel: refuse all that the wheel's metadata does not bring along.
IMPORT_WITHOUT = """
import importlib, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in REFUSED:
            raise ImportError(name + " is no dependency of the wheel")

REFUSED = set(sys.argv[2].split(","))
sys.meta_path.insert(0, Refuse())
sys.path.insert(0, sys.argv[1])
for name in sys.argv[3:]:
    module = importlib.import_module(name)
    assert module.__file__.startswith(sys.argv[1]), module.__file__
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_wheel_holds_lopt_and_metadata_alone(names: list[str]):
    version = PROJECT["project"]["version"]
    assert {name.split("/")[0] for name in names} == {"lopt", f"lopt-{version}.dist-info"}


def test_the_wheel_holds_every_module_of_the_library(names: list[str]):
    source = ROOT / "components"
    modules = {path.relative_to(source).as_posix() for path in source.rglob("*.py")}
    assert modules == {name for name in names if name.endswith(".py")}
    assert "lopt/py.typed" in names


def test_the_wheel_declares_the_dependencies_of_the_project(wheel: Path, names: list[str]):
    (metadata,) = [name for name in names if name.endswith("/METADATA")]
    with zipfile.ZipFile(wheel) as archive:
        headers = HeaderParser().parsestr(archive.read(metadata).decode())
    stated = [Requirement(text) for text in headers.get_all("Requires-Dist", [])]
    unconditional = {(r.name, r.specifier) for r in stated if r.marker is None}
    declared = map(Requirement, PROJECT["project"]["dependencies"])
    assert unconditional == {(r.name, r.specifier) for r in declared}


def test_what_loads_an_optimizer_imports_with_the_declared_dependencies_alone(
    wheel: Path, tmp_path: Path
):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    brought = closure(distribution_names(PROJECT["project"]["dependencies"]))
    refused = {name for name, owners in DISTRIBUTIONS.items() if not names_of(owners) & brought}
    refused.discard("lopt")
    command = [sys.executable, "-c", IMPORT_WITHOUT, str(tmp_path), ",".join(refused), *USER_SIDE]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_every_declared_dependency_is_imported():
    declared = distribution_names(PROJECT["project"]["dependencies"])
    assert declared - set().union(*map(owners_of, imported_packages())) == set()


def test_every_package_that_the_library_imports_is_declared_somewhere():
    project = PROJECT["project"]
    lists = [project["dependencies"], PROJECT["dependency-groups"]["pipeline"]]
    lists += project["optional-dependencies"].values()
    declared = set().union(*map(distribution_names, lists))
    assert {name for name in imported_packages() if not owners_of(name) & declared} == set()


def imported_packages() -> set[str]:
    """The top-level packages that any module of the library imports, lazily or not."""
    sources = (ROOT / "components").rglob("*.py")
    found = {name for path in sources for name in imports(ast.parse(path.read_text()))}
    return found - set(sys.stdlib_module_names) - {"lopt"}


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def closure(names: set[str]) -> set[str]:
    """The distributions that installing `names` brings along here."""
    found: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        found.add(name)
        requirements = map(Requirement, importlib.metadata.requires(name) or [])
        needed = [
            r.name for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})
        ]
        waiting |= names_of(needed) - found
    return found


def distribution_names(requirements: list[str]) -> set[str]:
    return names_of([Requirement(text).name for text in requirements])


def owners_of(package: str) -> set[str]:
    return names_of(DISTRIBUTIONS.get(package, []))


def names_of(distributions: list[str]) -> set[str]:
    return {str(canonicalize_name(name)) for name in distributions}
