"""A disk that is full, however the packages say so that met it."""

import errno
import os
import shutil
from pathlib import Path

# SQLite has words of its own; the others are the operating system's, also in C++.
FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), "database or disk is full")


def why_full(error: BaseException) -> str | None:
    """Return in whose words a disk is full, if that is what an error or its cause says.

    **Example**

    ```python
    why_full(OSError(errno.ENOSPC, "No space left on device"))  # 'No space left on device'
    ```
    """
    one: BaseException | None = error
    while one is not None:
        said = str(one)
        for words in FULL:
            if words in said:
                return words
        one = one.__cause__ or one.__context__
    return None


def free_on(path: Path) -> str:
    """Return how much is free where a path is or would be, to be read by people.

    **Example**

    ```python
    free_on(Path("checkpoints"))  # '71,204.5 MB'
    ```
    """
    there = next(parent for parent in (path, *path.parents) if parent.exists())
    return megabytes(shutil.disk_usage(there).free)


def megabytes(count: int) -> str:
    """Write a number of bytes as millions of them.

    **Example**

    ```python
    megabytes(1_500_000)  # '1.5 MB'
    ```
    """
    return f"{count / 1e6:,.1f} MB"
