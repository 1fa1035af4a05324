import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks import code_version, run_folders
from tasks.confs import MetaTrainingConf
from tasks.run_choice import RunFolderError, given_or_opened, opened

CONF = MetaTrainingConf(seed=5)


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("LOPT_HOME", str(tmp_path))
    return tmp_path / "runs"


def finish(conf: MetaTrainingConf = CONF, *, publishing: bool = False) -> run_folders.RunFolder:
    with opened(conf, "ensemble", publishing=publishing) as folder:
        folder.release.mkdir()
        return folder.noted(model_uri="models:/m-0a1b")


def test_a_conf_begins_with_its_own_seed() -> None:
    with opened(CONF, "ensemble") as folder:
        assert folder.record.seed == 5
        assert not folder.finished
        assert not folder.begun


def test_an_unfinished_run_of_the_same_conf_goes_on() -> None:
    with opened(CONF, "ensemble") as first:
        first.noted(mlflow_run_id="abc")
    with opened(CONF, "ensemble") as second:
        assert second.directory == first.directory
        assert second.record.mlflow_run_id == "abc"


def test_after_a_finished_run_a_new_one_begins_with_the_next_seed() -> None:
    first = finish()
    with opened(CONF, "ensemble") as second:
        assert second.directory != first.directory
        assert second.record.seed == 6


def test_a_run_that_mlflow_does_not_have_yet_is_taken_up_again() -> None:
    with opened(CONF, "ensemble") as first:
        first.release.mkdir()
    assert str(first).endswith("finished, to be logged")
    with opened(CONF, "ensemble") as second:
        assert second.directory == first.directory
        second.noted(model_uri="models:/m-0a1b")
    with opened(CONF, "ensemble") as third:
        assert third.directory != first.directory


def test_a_finished_run_is_taken_where_the_conf_says_so() -> None:
    first = finish()
    reuse = CONF.model_copy(update={"when_finished": "reuse"})
    with opened(reuse, "ensemble") as second:
        assert second.directory == first.directory
        assert second.finished


def test_two_processes_never_work_in_one_folder() -> None:
    with (
        opened(CONF, "ensemble") as first,
        opened(CONF, "ensemble") as second,
    ):
        assert first.directory != second.directory
        assert first.record.seed != second.record.seed


def test_a_run_that_goes_on_with_other_code_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with opened(CONF, "ensemble") as folder:
        assert "other code" not in str(folder)
    monkeypatch.setattr(code_version, "library_digest", lambda: "changed")
    with opened(CONF, "ensemble") as folder:
        assert "other code" in str(folder)


def test_another_conf_or_ensemble_is_another_run() -> None:
    with opened(CONF, "ensemble") as first:
        pass
    longer = CONF.model_copy(update={"meta_steps": CONF.meta_steps + 1})
    with (
        opened(longer, "ensemble") as second,
        opened(CONF, "another") as third,
    ):
        assert len({first.directory, second.directory, third.directory}) == 3


def test_the_newest_release_is_that_of_the_run_finished_last(root: Path) -> None:
    assert run_folders.newest_finished(root) is None
    finish()
    last = finish(MetaTrainingConf(seed=9))
    newest = run_folders.newest_finished(root)
    assert newest is not None
    assert newest.directory == last.directory


def test_a_cycle_takes_up_its_finished_run_until_that_is_published() -> None:
    first = finish(publishing=True)
    with opened(CONF, "ensemble", publishing=True) as second:
        assert second.directory == first.directory
        assert str(second).endswith("finished, to be published")
    run_folders.note_published(first.release)
    with opened(CONF, "ensemble", publishing=True) as third:
        assert third.directory != first.directory
        assert third.record.seed == 6


def test_to_a_meta_training_alone_a_run_is_finished_before_it_is_published() -> None:
    first = finish(publishing=True)
    with opened(CONF, "ensemble") as second:
        assert second.directory != first.directory


def test_a_cycle_leaves_alone_what_a_meta_training_alone_has_finished() -> None:
    first = finish()
    with opened(CONF, "ensemble", publishing=True) as second:
        assert second.directory != first.directory


def test_a_run_that_a_cycle_goes_on_with_is_to_be_published() -> None:
    with opened(CONF, "ensemble") as first:
        pass
    assert finish(publishing=True).directory == first.directory
    with opened(CONF, "ensemble", publishing=True) as second:
        assert second.finished


def test_two_cycles_never_work_on_one_run() -> None:
    first = finish(publishing=True)
    with (
        opened(CONF, "ensemble", publishing=True) as second,
        opened(CONF, "ensemble", publishing=True) as third,
    ):
        assert second.directory == first.directory
        assert third.directory != first.directory


def test_a_run_that_another_cycle_publishes_can_be_reused_meanwhile() -> None:
    first = finish(publishing=True)
    reuse = CONF.model_copy(update={"when_finished": "reuse"})
    with (
        opened(CONF, "ensemble", publishing=True),
        opened(reuse, "ensemble", publishing=True) as second,
    ):
        assert second.directory == first.directory


def test_a_record_of_a_time_without_cycles_that_go_on_is_read_as_published() -> None:
    first = finish()
    path = first.directory / "run.json"
    record = json.loads(path.read_text())
    del record["awaits_publication"]
    path.write_text(json.dumps(record))
    with opened(CONF, "ensemble", publishing=True) as second:
        assert second.directory != first.directory


def test_a_folder_that_the_caller_has_opened_has_to_be_of_the_same_conf() -> None:
    other = CONF.model_copy(update={"meta_steps": CONF.meta_steps + 1})
    with opened(CONF, "ensemble", publishing=True) as folder:
        directory = str(folder.directory)
        with given_or_opened(directory, CONF, "ensemble") as same:
            assert same == folder
        with (
            pytest.raises(RunFolderError, match="of another conf or ensemble"),
            given_or_opened(directory, other, "ensemble"),
        ):
            pass
