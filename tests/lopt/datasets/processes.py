"""Preparing in another process, where it can be killed and where nothing was imported before."""

import subprocess
import sys
from pathlib import Path

# A TensorFlow that can be imported, so that importing it is not excused by its absence.
SCRIPT = """
import pathlib, sys, time

name, root, stop_at, fake_modules = sys.argv[1:]
pathlib.Path(fake_modules, "tensorflow").mkdir(parents=True, exist_ok=True)
pathlib.Path(fake_modules, "tensorflow", "__init__.py").touch()
sys.path.append(fake_modules)

import lopt.datasets

HEAVY = ("tensorflow", "tensorflow_datasets", "pyarrow", "sklearn", "PIL")
print("imported by lopt.datasets:", *(name for name in HEAVY if name in sys.modules), flush=True)

def progress(done, total):
    print("progress", done, total, flush=True)
    if done >= int(stop_at):
        time.sleep(600)

prepared = lopt.datasets.prepare(name, pathlib.Path(root), progress=progress)
print("prepared", prepared.directory)
print("imported by preparing:", *(name for name in HEAVY if name in sys.modules))
"""
NEVER = 10**9


def start_preparing(
    name: str, root: Path, fake_modules: Path, stop_at: int = NEVER
) -> subprocess.Popen[str]:
    """Start a process that prepares `name` and stands still after `stop_at` examples."""
    arguments = [name, str(root), str(stop_at), str(fake_modules)]
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments], stdout=subprocess.PIPE, text=True
    )


def wait_for(process: subprocess.Popen[str], beginning: str) -> None:
    """Read what the process prints up to a line that begins so."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(beginning):
            return
    raise AssertionError(f"the process ended without printing {beginning!r}")
