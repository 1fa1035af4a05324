from pathlib import Path

import pytest

from tasks import code_version, run_folders
from tasks.confs import MetaTrainingConf

CONF = MetaTrainingConf(seed=5)


def finish(root: Path, conf: MetaTrainingConf = CONF) -> run_folders.RunFolder:
    with run_folders.opened(root, conf, "ensemble") as folder:
        folder.release.mkdir()
    return folder


def test_a_conf_begins_with_its_own_seed(tmp_path: Path) -> None:
    with run_folders.opened(tmp_path, CONF, "ensemble") as folder:
        assert folder.record.seed == 5
        assert not folder.finished
        assert not folder.begun


def test_an_unfinished_run_of_the_same_conf_goes_on(tmp_path: Path) -> None:
    with run_folders.opened(tmp_path, CONF, "ensemble") as first:
        first.noted(mlflow_run_id="abc")
    with run_folders.opened(tmp_path, CONF, "ensemble") as second:
        assert second.directory == first.directory
        assert second.record.mlflow_run_id == "abc"


def test_after_a_finished_run_a_new_one_begins_with_the_next_seed(tmp_path: Path) -> None:
    first = finish(tmp_path)
    with run_folders.opened(tmp_path, CONF, "ensemble") as second:
        assert second.directory != first.directory
        assert second.record.seed == 6


def test_a_finished_run_is_taken_where_the_conf_says_so(tmp_path: Path) -> None:
    first = finish(tmp_path)
    reuse = CONF.model_copy(update={"when_finished": "reuse"})
    with run_folders.opened(tmp_path, reuse, "ensemble") as second:
        assert second.directory == first.directory
        assert second.finished


def test_two_processes_never_work_in_one_folder(tmp_path: Path) -> None:
    with (
        run_folders.opened(tmp_path, CONF, "ensemble") as first,
        run_folders.opened(tmp_path, CONF, "ensemble") as second,
    ):
        assert first.directory != second.directory
        assert first.record.seed != second.record.seed


def test_a_run_that_goes_on_with_other_code_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_folders.opened(tmp_path, CONF, "ensemble") as folder:
        assert "other code" not in str(folder)
    monkeypatch.setattr(code_version, "library_digest", lambda: "changed")
    with run_folders.opened(tmp_path, CONF, "ensemble") as folder:
        assert "other code" in str(folder)


def test_another_conf_or_ensemble_is_another_run(tmp_path: Path) -> None:
    with run_folders.opened(tmp_path, CONF, "ensemble") as first:
        pass
    longer = CONF.model_copy(update={"meta_steps": CONF.meta_steps + 1})
    with (
        run_folders.opened(tmp_path, longer, "ensemble") as second,
        run_folders.opened(tmp_path, CONF, "another") as third,
    ):
        assert len({first.directory, second.directory, third.directory}) == 3


def test_the_newest_release_is_that_of_the_run_finished_last(tmp_path: Path) -> None:
    assert run_folders.newest_finished(tmp_path) is None
    finish(tmp_path)
    last = finish(tmp_path, MetaTrainingConf(seed=9))
    newest = run_folders.newest_finished(tmp_path)
    assert newest is not None
    assert newest.directory == last.directory
