import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

FLOWS = sorted(path.stem for path in Path("flows").glob("*.py") if path.stem != "__init__")


def run(home: Path, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    outside = ("MLFLOW", "PREFECT")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(outside)}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env={**environment, "LOPT_HOME": str(home), **environ},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.fixture(scope="module")
def new_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LOPT_HOME with nothing in it but what these tests have done, one after the other."""
    return tmp_path_factory.mktemp("new_home")


def test_a_flow_runs_from_a_shell_without_a_server_and_calmly(new_home: Path) -> None:
    done = run(new_home, "flows.generate_ensemble", "--conf", "conf/tiny.yaml")
    assert done.returncode == 0, done.stderr
    assert len(list((new_home / "ensembles").glob("tiny-*.parquet"))) == 1
    # A slow machine says more on the way.
    heading, *lines = done.stdout.splitlines()
    assert heading == "Ensemble"
    assert "  ensemble 5/5  recorded" in lines
    assert any("category" in line and "programs" in line for line in lines)
    assert any("6 problems in 2 programs" in line for line in lines)
    assert lines[-1].endswith("/artifacts/ensemble.html")
    assert "INFO" not in done.stderr


def test_a_refused_conf_ends_with_2_before_anything_runs(tmp_path: Path) -> None:
    done = run(tmp_path, "flows.full_cycle", "--set", "meta_training.meta_steps=none")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "meta_training.meta_steps: 'none' is not allowed; allowed: an integer from 1 to 10000000"
    ]
    assert not (tmp_path / "mlflow.db").exists()


def test_an_error_in_a_task_is_one_line_and_1(new_home: Path) -> None:
    command = ("flows.prepare_datasets", "--set", "names=[mnist]")
    done = run(new_home, *command, https_proxy="http://127.0.0.1:9", no_proxy="127.0.0.1")
    assert done.returncode == 1
    line, *others = done.stderr.splitlines()
    assert not others, done.stderr
    assert line.startswith("DataSetError: mnist has to be downloaded, but https://")
    assert "Without network these can be prepared: digits" in line


def test_a_process_that_dies_in_a_library_says_where(tmp_path: Path) -> None:
    died = "import ctypes, flows\n\ndef compiling():\n    ctypes.string_at(0)\n\ncompiling()\n"
    (tmp_path / "died.py").write_text(died)
    done = run(tmp_path, "died", PYTHONPATH=os.pathsep.join([str(tmp_path), *sys.path]))
    assert done.returncode == -signal.SIGSEGV
    assert "Segmentation fault" in done.stderr
    assert "in compiling" in done.stderr


@pytest.mark.parametrize("flow", FLOWS)
def test_every_flow_is_named_as_its_file_and_described(flow: str) -> None:
    import importlib

    found = getattr(importlib.import_module(f"flows.{flow}"), flow)
    assert found.name == flow.replace("_", "-")
    assert found.description


@pytest.mark.parametrize("flow", FLOWS)
def test_a_form_says_what_each_parameter_is(flow: str) -> None:
    import importlib

    schema = getattr(importlib.import_module(f"flows.{flow}"), flow).parameters
    for name, parameter in schema.properties.items():
        section = parameter.get("$ref", "").rpartition("/")[2]
        described = schema.definitions[section] if section else parameter
        assert described.get("description"), name
