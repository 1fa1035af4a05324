"""Imports that etils postpones: in the thread that asks for it, and in no other.

TFDS imports some packages by `etils.epy.lazy_imports`, which has `builtins.__import__` replaced
meanwhile. Any other thread that imports something at that moment gets a stand-in for it, too, in
which there is nothing but modules, and dies of that. If it is one of Prefect's, which sends a run's
events, the process never ends (LOG.md, 2026-11-29).
"""

import builtins
import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Import = Callable[..., Any]


class PerThread:
    """Has the import of a thread replaced while it wants that, and that of others never."""

    def __init__(self) -> None:
        self._own = threading.local()
        self._lock, self._inside = threading.Lock(), 0
        self._real: Import = builtins.__import__

    @contextmanager
    def replaced(self, by: Import) -> Iterator[None]:
        """Have `by` called for what this thread imports inside."""
        before = self._of_this_thread()
        self._enter()
        self._own.imported = by
        try:
            yield
        finally:
            self._own.imported = before
            self._leave()

    def _of_this_thread(self) -> Import | None:
        found: Import | None = getattr(self._own, "imported", None)
        return found

    def _import(self, *args: Any, **kwargs: Any) -> Any:
        return (self._of_this_thread() or self._real)(*args, **kwargs)

    def _enter(self) -> None:
        with self._lock:
            if not self._inside:
                self._real, builtins.__import__ = builtins.__import__, self._import
            self._inside += 1

    def _leave(self) -> None:
        # Who is last, which need not be who was first.
        with self._lock:
            self._inside -= 1
            if not self._inside:
                builtins.__import__ = self._real


def keep_to_their_thread() -> None:
    """Have `etils.epy.lazy_imports` do what it does for the thread alone that calls it.

    To be called before TFDS is imported; again changes nothing.
    https://github.com/google/etils/blob/main/etils/epy/lazy_imports_utils.py

    **Example**

    ```python
    keep_to_their_thread()
    with etils.epy.lazy_imports():
        import tensorflow  # nothing is imported, and other threads import as ever
    ```
    """
    from etils import epy
    from etils.epy import lazy_imports_utils

    if epy.lazy_imports is not _lazy_imports:
        epy.lazy_imports = lazy_imports_utils.lazy_imports = _lazy_imports


_imports = PerThread()


@contextmanager
def _lazy_imports(*, error_callback: Any = None, success_callback: Any = None) -> Iterator[None]:
    from etils.epy.lazy_imports_utils import _lazy_import

    callbacks = {"error_callback": error_callback, "success_callback": success_callback}
    with _imports.replaced(functools.partial(_lazy_import, **callbacks)):
        yield
