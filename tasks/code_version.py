"""Which code is running: the git commit and the lock file, for provenance and tags."""

import functools
import hashlib
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from tasks.settings import REPOSITORY

# What computes and what decodes images; the rest of the locked packages decides nothing.
PACKAGES = ("equinox", "grain", "jax", "jaxlib", "numpy", "optax", "pillow")


def git_commit() -> str | None:
    """Return the commit that is checked out, `None` outside a git checkout."""
    return _git("rev-parse", "HEAD")


def git_dirty() -> bool | None:
    """Return whether tracked files differ from that commit, `None` outside a git checkout."""
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return None if changes is None else changes != ""


def lock_digest() -> str | None:
    """Return the SHA-256 of requirements.lock, `None` where there is no such file."""
    lock = REPOSITORY / "requirements.lock"
    return hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else None


def library_digest() -> str:
    """Return the SHA-256 of what decides what lopt computes: its source, and what it runs on.

    That is the versions that are installed, whatever is locked, and what JAX computes with.
    """
    import jax

    return source_digest(jax.default_backend(), jax.devices()[0].device_kind)


@functools.cache
def running_library() -> str:
    """Return the `library_digest` of the code that this process runs, however old that is.

    That of when it was asked for first: what lies on the disk may be newer later on.
    """
    return library_digest()


def source_digest(*more: str) -> str:
    """Return the same without looking for what JAX computes with, and with `more` in it."""
    import lopt

    basis = [*more, *(f"{name} {version(name)}" for name in PACKAGES)]
    digest = hashlib.sha256("\n".join(basis).encode())
    # Where it is installed: an image has the wheel and no components/.
    for path in sorted(Path(lopt.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def program_digest() -> str:
    """Return the SHA-256 of the source of lopt, what it runs on, and the tasks."""
    digest = hashlib.sha256(source_digest().encode())
    for path in sorted((REPOSITORY / "tasks").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def circumstances() -> dict[str, str]:
    """Return what neither a report nor a figure knows of itself: by which command and code."""
    return {
        "command": shlex.join(["python", *sys.orig_argv[1:]]),
        "commit": git_commit() or "unknown",
        "commit with changes": str(git_dirty()),
        "packages locked (SHA-256)": lock_digest() or "unknown",
    }


def _git(*arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "-C", str(REPOSITORY), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
