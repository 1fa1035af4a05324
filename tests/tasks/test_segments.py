"""Segments of a meta-training: what is kept when one is stopped, rolled back or has failed."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest

from lopt.ensembles import Ensemble
from tasks import meta_training, outbox, run_choice, tracking, validation
from tasks.confs import EnsembleConf, MetaTrainingConf
from tasks.ensembles import built_groups_of, draw_ensemble, groups_of
from tasks.errors import is_ours
from tasks.references import EnsembleReference, RunReference
from tasks.validation import MetaTrainingFailedError, Validation

pytestmark = pytest.mark.filterwarnings("default")

ENTRIES = """
entries:
  - {family: quadratics, spec: {problem: Quadratic, dimensions: 2}}
"""
CONF = MetaTrainingConf(
    architecture="GlobalLearningRate",
    meta_steps=12,
    warmup_meta_steps=2,
    problems=2,
    unroll_steps=2,
    meta_steps_per_dispatch=2,
    validation_meta_steps=1,
    rollbacks=1,
)


def refused(*_: object) -> None:
    raise OSError("not to this MLflow")


def stopped(*_: object) -> None:
    raise KeyboardInterrupt


class Begun(NamedTuple):
    run: RunReference
    ensemble: EnsembleReference
    held_out: EnsembleReference

    def train(self, last_meta_step: int) -> int:
        segment = meta_training.meta_train_segment.fn
        return segment(self.run, CONF, self.ensemble, self.held_out, last_meta_step).meta_step

    def meta_params(self) -> list[np.ndarray]:
        from lopt.checkpoint import Checkpoints

        like = meta_training.initial_meta_state(self.run, CONF, self.ensemble)
        with Checkpoints(self.folder("checkpoints"), keep=3) as checkpoints:
            state, _ = checkpoints.restore(like=like)
        return [np.asarray(leaf) for leaf in jax.tree.leaves(state.optimizer)]

    def folder(self, name: str) -> Path:
        return Path(self.run.directory) / name


@pytest.fixture
def begun(home: Path, tmp_path: Path) -> Iterator[Begun]:
    del home
    path = tmp_path / "entries.yaml"
    path.write_text(ENTRIES)
    conf = EnsembleConf(entries=str(path))
    ensemble, held_out = draw_ensemble.fn(conf), draw_ensemble.fn(conf.with_seed(7))
    confs = {"meta_training": CONF}
    with (
        run_choice.opened(CONF, ensemble.digest) as folder,
        tracking.tracked("meta-train", confs) as mlflow_run_id,
    ):
        yield Begun(folder.noted(mlflow_run_id=mlflow_run_id).reference(), ensemble, held_out)


def losses_of(*losses: float) -> Iterator[Validation]:
    return iter([Validation(loss, {"quadratics": loss}) for loss in losses])


@pytest.fixture
def validated(monkeypatch: pytest.MonkeyPatch):
    """A function that says what the next validations give."""

    def say(*losses: float) -> None:
        given = losses_of(*losses)
        monkeypatch.setattr(meta_training, "validate", lambda *_: next(given))

    return say


def steps_logged(begun: Begun, metric: str) -> list[int]:
    history = tracking.client().get_metric_history(begun.run.mlflow_run_id, metric)
    return [point.step for point in history]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_who_stops_a_segment_gets_a_checkpoint_and_goes_on_as_if_never_stopped(
    begun: Begun, monkeypatch: pytest.MonkeyPatch, stop: type[BaseException]
) -> None:
    import lopt.meta_training

    train = lopt.meta_training.meta_train

    def stopped(*arguments, **settings):
        for number, given in enumerate(train(*arguments, **settings), start=1):
            yield given
            if number == 2:
                raise stop

    with monkeypatch.context() as patch:
        patch.setattr(lopt.meta_training, "meta_train", stopped)
        with pytest.raises(stop):
            begun.train(12)
    assert sorted(path.name for path in begun.folder("checkpoints").iterdir()) == ["4"]
    assert steps_logged(begun, "meta/loss") == [2, 4]
    assert begun.train(12) == 12
    stopped_and_resumed = begun.meta_params()
    assert steps_logged(begun, "meta/loss") == list(range(2, 13, 2)), "each dispatch is logged once"

    with run_choice.opened(
        CONF.model_copy(update={"clip_norm": 2.0}), begun.ensemble.digest
    ) as other:
        folder = other.noted(mlflow_run_id=begun.run.mlflow_run_id)
        never_stopped = begun._replace(run=folder.reference())
        never_stopped.train(12)
        for one, two in zip(never_stopped.meta_params(), stopped_and_resumed, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("ready", "compiling", "fetched_after"),
    [
        (True, False, [1, 3, 5, 7, 9, 11]),
        (False, True, [1, 3, 5, 7, 9, 11]),
        (False, False, [3, 5, 7, 9, 11, 11]),
    ],
)
def test_metrics_are_fetched_a_dispatch_late_unless_that_would_be_of_no_use(
    begun: Begun,
    monkeypatch: pytest.MonkeyPatch,
    ready: bool,
    compiling: bool,
    fetched_after: list[int],
) -> None:
    """Where the device has done it all, or the next dispatch is still to be compiled.

    Else a processor's last dispatch of a segment would be timed as if it had taken no time, and a
    person would be told of the first one when the next program is there.
    """
    import lopt.meta_training
    import lopt.meta_training.ahead
    from lopt.meta_training import MetaMetrics
    from tasks.meta_rows import MetaRows

    train, of, given, newest = lopt.meta_training.meta_train, MetaRows.of, [], []

    def noted(*arguments, **settings):
        for state, metrics in train(*arguments, **settings):
            given.append(metrics.first_meta_step)
            yield state, metrics

    def fetched(rows, metrics):
        newest.append(given[-1])
        return of(rows, metrics)

    monkeypatch.setattr(lopt.meta_training, "meta_train", noted)
    monkeypatch.setattr(MetaRows, "of", fetched)
    monkeypatch.setattr(MetaMetrics, "is_ready", lambda _: ready)
    monkeypatch.setattr(lopt.meta_training.ahead, "is_compiling", lambda: compiling)
    begun.train(12)
    assert newest == fetched_after


def test_who_stops_a_segment_while_metrics_are_waited_for_loses_none(
    begun: Begun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.meta_rows import MetaRows

    of, fetched = MetaRows.of, []

    def stopped(rows, metrics):
        fetched.append(metrics)
        if len(fetched) == 2:
            raise KeyboardInterrupt
        return of(rows, metrics)

    with monkeypatch.context() as patch:
        patch.setattr(MetaRows, "of", stopped)
        with pytest.raises(KeyboardInterrupt):
            begun.train(12)
    assert begun.train(12) == 12
    assert steps_logged(begun, "meta/loss") == list(range(2, 13, 2))


def test_who_stops_a_segment_while_mlflow_refuses_has_its_checkpoint_all_the_same(
    begun: Begun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(meta_training, "validate", stopped)
        patch.setattr(tracking.LoggedRows, "log", refused)
        with pytest.raises(KeyboardInterrupt):
            begun.train(12)
    assert "sent when the run goes on: OSError: not to this MLflow" in capsys.readouterr().out
    assert [path.name for path in begun.folder("checkpoints").iterdir()] == ["10"]
    assert steps_logged(begun, "meta/loss") == []
    assert begun.train(12) == 12
    assert steps_logged(begun, "meta/loss") == list(range(2, 13, 2))


def test_a_segment_that_mlflow_refuses_fails_and_costs_no_meta_step(
    begun: Begun, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(tracking.LoggedRows, "log", refused)
        for _ in range(2):  # And once more, which finds nothing else to do.
            with pytest.raises(OSError, match="not to this MLflow"):
                begun.train(8)
    assert [path.name for path in begun.folder("checkpoints").iterdir()] == ["8"]
    assert begun.train(8) == 8
    assert steps_logged(begun, "meta/loss") == list(range(2, 9, 2))


def test_who_stops_a_segment_while_the_disk_is_full_is_not_kept_by_that(
    begun: Begun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(meta_training, "validate", stopped)
        patch.setattr(outbox.Outbox, "keep", full)
        with pytest.raises(KeyboardInterrupt):
            begun.train(12)
    assert "is not kept: OSError: no space left" in capsys.readouterr().out
    assert begun.train(12) == 12
    assert steps_logged(begun, "meta/loss") == list(range(2, 13, 2))


def test_a_segment_that_cannot_keep_its_rows_fails_in_words_of_ours_and_goes_on_when_it_can(
    begun: Begun, validated
) -> None:
    """The second validation is no new best: nothing but the rows is written before them."""
    validated(-2.0, -1.0, -1.0)
    begun.train(4)
    (unsent := Path(begun.run.directory) / outbox.FILE).symlink_to("/dev/full")
    with pytest.raises(outbox.OutboxError, match="No space left on device") as raised:
        begun.train(8)
    assert is_ours(raised.value)
    assert [path.name for path in begun.folder("checkpoints").iterdir()] == ["4"]
    unsent.unlink()
    assert begun.train(8) == 8
    assert steps_logged(begun, "meta/loss") == list(range(2, 9, 2))


def test_segments_go_on_while_mlflow_is_away_and_nothing_is_lost(
    begun: Begun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_):
        raise ConnectionError("no MLflow here")

    begun.train(4)
    with monkeypatch.context() as patch:
        patch.setattr(tracking.LoggedRows, "log", away)
        assert begun.train(8) == 8
    assert steps_logged(begun, "meta/loss") == list(range(2, 5, 2))
    assert begun.train(12) == 12
    assert steps_logged(begun, "meta/loss") == list(range(2, 13, 2))


def test_a_best_checkpoint_of_a_segment_that_died_is_taken_again(
    begun: Begun, validated, monkeypatch: pytest.MonkeyPatch
) -> None:
    def died(*_):
        raise RuntimeError("no process here")

    validated(-1.0, -2.0, -3.0)
    begun.train(4)
    with monkeypatch.context() as patch:
        patch.setattr(outbox.Outbox, "keep", died)
        with pytest.raises(RuntimeError):
            begun.train(8)
    # As other devices would have it, by other roundings.
    assert begun.train(8) == 8
    assert meta_training.find_best_checkpoint.fn(begun.run).meta_step == 8
    assert list(begun.folder("best").glob("newer-8-*"))


def test_who_stops_the_validation_has_it_done_when_the_run_goes_on(
    begun: Begun, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(meta_training, "validate", stopped)
        with pytest.raises(KeyboardInterrupt):
            begun.train(12)
    assert sorted(path.name for path in begun.folder("checkpoints").iterdir()) == ["10"]
    assert steps_logged(begun, "meta/loss") == list(range(2, 11, 2))
    assert begun.train(12) == 12
    assert steps_logged(begun, "meta/loss") == list(range(2, 13, 2)), "each dispatch is logged once"
    assert steps_logged(begun, "validation/loss") == [12]
    assert meta_training.find_best_checkpoint.fn(begun.run).meta_step == 12


def test_the_best_checkpoint_is_that_of_the_lowest_validation_loss(begun: Begun, validated) -> None:
    validated(-1.0, -3.0, -2.5)
    for end in (4, 8, 12):
        begun.train(end)
    best = meta_training.find_best_checkpoint.fn(begun.run)
    assert best.meta_step == 8
    assert best.directory == str(begun.folder("best"))
    assert steps_logged(begun, "validation/loss") == [4, 8, 12]


def test_a_rise_goes_back_to_the_best_with_half_the_rate_and_a_second_one_has_failed(
    begun: Begun, validated, capsys: pytest.CaptureFixture[str]
) -> None:
    validated(-1.0, 0.5, 0.7)
    begun.train(4)
    kept = begun.meta_params()
    assert begun.train(8) == 8
    for one, two in zip(begun.meta_params(), kept, strict=True):
        np.testing.assert_array_equal(one, two)
    assert "back to meta-step 4, with 0.5 of the meta-learning rate" in capsys.readouterr().out
    with pytest.raises(
        MetaTrainingFailedError, match=r"is 0\.700, best -1\.000, after 1 rollback\."
    ):
        begun.train(12)
    assert meta_training.find_best_checkpoint.fn(begun.run).meta_step == 4


def test_a_rise_within_the_bound_is_gone_on_from(begun: Begun, validated) -> None:
    validated(-1.0, -0.1)
    begun.train(4)
    before = begun.meta_params()
    begun.train(8)
    pairs = zip(begun.meta_params(), before, strict=True)
    assert not all(np.array_equal(one, two) for one, two in pairs)


def test_no_finite_loss_is_a_rise_even_without_a_best(begun: Begun, validated) -> None:
    validated(float("nan"), float("nan"))
    first = meta_training.initial_meta_state(begun.run, CONF, begun.ensemble).optimizer
    begun.train(4)
    for one, two in zip(begun.meta_params(), jax.tree.leaves(first), strict=True):
        np.testing.assert_array_equal(one, np.asarray(two))
    with pytest.raises(MetaTrainingFailedError, match="no problem of quadratics has a finite loss"):
        begun.train(8)
    with pytest.raises(MetaTrainingFailedError, match="nothing to publish"):
        meta_training.find_best_checkpoint.fn(begun.run)


def test_validation_is_on_other_draws_in_the_form_of_the_ensemble(begun: Begun) -> None:
    (group,) = validation.held_out_groups(begun.ensemble, begun.held_out)
    (trained_on,) = meta_training.groups_of(begun.ensemble)
    assert jax.tree.structure(group) == jax.tree.structure(trained_on)
    assert group is groups_of(begun.held_out)[0]
    assert group is not trained_on
    drawn = [Ensemble.read(Path(one.path)) for one in (begun.held_out, begun.ensemble)]
    (other,), (own,) = (built_groups_of(one.rows) for one in drawn)
    assert not np.array_equal(other.problems.matrix, own.problems.matrix)
    state = meta_training.initial_meta_state(begun.run, CONF, begun.ensemble)
    one, two = (validation.validate(CONF, begun.ensemble, begun.held_out, state) for _ in range(2))
    assert one == two
    assert np.isfinite(one.loss)


def flip_a_byte(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize("harmed", [flip_a_byte, truncated])
def test_a_damaged_newest_checkpoint_is_named_and_that_before_ends_with_the_same_bits(
    begun: Begun, harmed: Callable[[bytes], bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    for end in (4, 8):
        begun.train(end)
    newest = begun.folder("checkpoints") / "8"
    kept = shutil.copytree(newest, begun.folder("kept"))
    begun.train(12)
    expected = begun.meta_params()
    shutil.rmtree(begun.folder("checkpoints") / "12")

    file = max(newest.glob("state/**/*"), key=lambda one: one.is_file() and one.stat().st_size)
    file.write_bytes(harmed(file.read_bytes()))
    assert meta_training.find_checkpoint.fn(begun.run) == 4
    said = capsys.readouterr().out
    assert f"  checkpoint 8 is damaged: now in {newest.parent}/damaged-8-" in said
    assert said.endswith(". The run goes on from that of meta-step 4.\n")
    assert begun.train(8) == 8
    assert (newest / "record/metadata").read_bytes() == (kept / "record/metadata").read_bytes()
    begun.train(12)
    for one, two in zip(begun.meta_params(), expected, strict=True):
        np.testing.assert_array_equal(one, two)


def test_where_the_best_is_damaged_the_best_before_it_is_the_best(
    begun: Begun, validated, capsys: pytest.CaptureFixture[str]
) -> None:
    validated(-1.0, -2.0)
    for end in (4, 8):
        begun.train(end)
    (begun.folder("best") / "8/record/metadata").unlink()
    assert meta_training.find_checkpoint.fn(begun.run) == 8
    assert meta_training.find_best_checkpoint.fn(begun.run).meta_step == 4
    assert "best checkpoint 8 is damaged: now in " in capsys.readouterr().out


def test_each_validation_is_said_beside_the_best_one(
    begun: Begun, validated, capsys: pytest.CaptureFixture[str]
) -> None:
    validated(-1.0, -0.9, -1.5, 9.0)
    for last_meta_step in (2, 4, 6, 8):
        begun.train(last_meta_step)
    said = [line for line in capsys.readouterr().out.splitlines() if "validation loss" in line]
    assert said == [
        "  validation loss -1.000 at meta-step 2",
        "  validation loss -0.900 at meta-step 4, best -1.000 at 2",
        "  validation loss -1.500 at meta-step 6",
        "  at meta-step 8 the validation loss is 9.000, best -1.500: back to meta-step 6, with 0.5 "
        "of the meta-learning rate (1 of 1 rollbacks)",
    ]
