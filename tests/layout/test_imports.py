"""Imports point one way, and `import lopt` stays small."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TFDS_IMPORTED = re.compile(r"^\s*(import|from) tensorflow_datasets", re.MULTILINE)

# What no user's program should pay for by `import lopt`. Of SciPy only the large parts: JAX
# requires it and may import a small one.
HEAVY = {
    "array_record",
    "grain",
    "matplotlib",
    "mlflow",
    "orbax",
    "pandas",
    "prefect",
    "pyarrow",
    "scipy.optimize",
    "scipy.sparse",
    "scipy.stats",
    "sklearn",
    "tensorflow",
    "tensorflow_datasets",
    "tensorstore",
}


def run_python(code: str) -> str:
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_the_import_contracts_hold():
    run_python("from importlinter.cli import lint_imports; raise SystemExit(lint_imports())")


def test_importing_lopt_imports_nothing_heavy():
    loaded = run_python("import lopt, sys; lopt.load; print(*sys.modules)").split()
    assert set(loaded) & HEAVY == set()


@pytest.mark.parametrize("package", ["flows", "tasks"])
def test_a_command_loads_the_library_only_when_it_works(package: str):
    """What is wrong is said before, and what JAX reads in its environment is set by then."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.stem != "__init__"
    ]
    loaded = run_python(f"import sys, {', '.join(modules)}; print(*sys.modules)").split()
    assert set(modules) <= set(loaded)
    assert {"jax", "lopt"} & set(loaded) == set()


def test_only_one_module_imports_tfds():
    """It keeps other threads from harm meanwhile."""
    folders = ("components", "flows", "tasks", "tests", "benchmarks")
    files = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    found = [path.name for path in files if TFDS_IMPORTED.search(path.read_text())]
    assert found == ["tfds.py"]


@pytest.mark.parametrize("name", sorted(HEAVY - {"tensorflow"}))
def test_a_heavy_module_exists_under_its_name(name: str):
    """A misspelt name would never be found among the loaded ones."""
    assert importlib.util.find_spec(name) is not None
