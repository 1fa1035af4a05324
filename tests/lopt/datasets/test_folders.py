"""Laws of folders that appear whole or not at all."""

import contextlib
import shutil
import tempfile
import threading
from pathlib import Path

import pytest

from lopt.datasets import folders


class WriterError(Exception):
    """What really went wrong."""


def write_on(folder: Path, until: threading.Event, made: threading.Event) -> None:
    """Make a folder and files in it again and again, as a download that goes on does."""
    number = 0
    while not until.is_set():
        # It is being removed at the same time.
        with contextlib.suppress(OSError):
            (folder / "late").mkdir(exist_ok=True, parents=True)
            (folder / "late" / str(number)).touch()
        number += 1
        made.set()


def test_threads_that_still_write_hide_no_error_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "PATIENCE", 60.0)
    until, made = threading.Event(), threading.Event()
    aside = tmp_path / folders.ASIDE
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **kwargs: aside)
    writer = threading.Thread(target=write_on, args=(aside, until, made))
    writer.start()
    assert made.wait(10)
    threading.Timer(0.3, until.set).start()
    with pytest.raises(WriterError), folders.temporary_folder(tmp_path):
        raise WriterError
    writer.join()
    folders.remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_removed_hides_no_error_and_goes_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "PATIENCE", 0.1)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *args, **kwargs: None)
        with pytest.raises(WriterError), folders.temporary_folder(tmp_path):
            raise WriterError
    assert len(folders.leftovers(tmp_path)) == 1
    folders.remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []
