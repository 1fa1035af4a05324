"""Nights of retraining with designed challengers: the champion only ever becomes better."""

import math
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from tasks.conf_files import SECTIONS, read_conf
from tasks.confs import Conf, MetaTrainingConf
from tasks.gate import Decision
from tasks.references import ReleaseReference
from tests.known_tags import unknown

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(900)]

NAMES = ("night", "datasets", "ensemble", "meta_training", "evaluation", "gate", "publication")
OVERRIDES = [
    "architecture=LearnedAdam",
    "targets=[held_out]",
    "baselines=[Adam]",
    "evaluation.seeds=6",
    "learning_rates=[1e-2]",
]
DIVERGED = 33.0
"""A logarithm of a learning rate with which losses soon are infinite."""


class MetaTraining:
    """Stands where meta-training would: its result is the learning rate that the test says."""

    def __init__(self) -> None:
        self.log_learning_rate: float | None = 0.0
        """`None` for a meta-training that fails."""
        self.confs: list[MetaTrainingConf] = []

    def __call__(
        self, ensemble: Any, conf: MetaTrainingConf, parent: str, directory: str
    ) -> ReleaseReference:
        import jax
        import jax.numpy as jnp

        from lopt import registry, release
        from lopt.architectures import LearnedAdam
        from tasks import tracking
        from tasks.releases import release_of
        from tasks.run_folders import read
        from tasks.validation import MetaTrainingFailedError

        del ensemble, parent
        self.confs.append(conf)
        if self.log_learning_rate is None:
            raise MetaTrainingFailedError("It rose and rose.")
        optimizer = LearnedAdam.release(key=jax.random.key(0))
        # No two nights make the same release, which would be one version.
        value = jnp.asarray(self.log_learning_rate + 1e-5 * len(self.confs), jnp.float32)
        object.__setattr__(optimizer, "log_learning_rate", value)
        folder = read(Path(directory))
        if not folder.finished:
            release.save(optimizer, folder.release)
            with tracking.tracked("meta-train", {}) as mlflow_run_id:
                uri = registry.log_model(optimizer, "optimizer", run_id=mlflow_run_id).model_uri
            folder = folder.noted(mlflow_run_id=mlflow_run_id, model_uri=uri)
        return release_of(folder)


class Nights:
    """One night after the other, each at its own time."""

    def __init__(self, conf: Conf, training: MetaTraining) -> None:
        self.training = training
        self.parts = {name: getattr(conf, name) for name in NAMES}
        self.times = [(datetime.now(UTC) - timedelta(hours=2)).isoformat()]

    def night(self, log_learning_rate: float | None) -> Decision:
        """Run a night whose meta-training ends so."""
        from flows.nightly_retraining import nightly_retraining

        time = datetime.fromisoformat(self.times[-1]) + timedelta(minutes=1)
        self.times.append(time.isoformat())
        self.training.log_learning_rate = log_learning_rate
        decision: Decision = nightly_retraining(**self.parts, at=self.times[-1])
        return decision


@pytest.fixture(scope="module")
def nights(home: Path, server: str) -> Iterator[Nights]:
    """Nights in a registry without a champion."""
    import flows.nightly_retraining as module

    del home, server
    training = MetaTraining()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "meta_train", training)
        yield Nights(read_conf(Path("conf/tiny.yaml"), OVERRIDES, SECTIONS), training)


def champion() -> int:
    from tasks import promotion

    found = promotion.holder("learned-optimizer", "champion")
    assert found is not None
    return found


def area_of_champion() -> float:
    """The champion's mean area on draws and seeds that no gate has seen."""
    import jax

    from lopt.ensembles import draw_ensemble
    from lopt.evaluation import evaluate_one, learned
    from lopt.evaluation.measures import AREA, values
    from lopt.evaluation.targets.held_out import HeldOut
    from lopt.loading import load
    from tasks.confs import EnsembleConf
    from tasks.ensembles import read_entries

    entries = read_entries(EnsembleConf(entries="conf/ensembles/tiny.yaml"))
    optimizer = load(f"models:/learned-optimizer/{champion()}").with_provenance(None)
    areas = [
        values(evaluate_one(target, learned(optimizer), 64, jax.random.key(7)), AREA).mean()
        for group in draw_ensemble(entries, seed=77).groups()
        for target in [HeldOut.of(group, steps=10, record_every=5)]
    ]
    return float(np.mean(areas))


def tags_of(version: int) -> dict[str, str]:
    from tasks import tracking

    return dict(tracking.client().get_model_version("learned-optimizer", str(version)).tags)


def test_the_first_challenger_becomes_champion(nights: Nights) -> None:
    decision = nights.night(math.log(1e-3))
    assert (decision.promoted, decision.champion, champion()) == (True, None, 1)
    assert nights.training.confs[-1].initial_release == ""
    assert tags_of(1)["lopt.replaces.champion"] == "nothing"


def test_a_better_challenger_becomes_champion_and_says_so(nights: Nights) -> None:
    from tasks import tracking

    decision = nights.night(math.log(1e-2))
    assert (decision.promoted, decision.champion, champion()) == (True, 1, 2)
    assert nights.training.confs[-1].initial_release == "models:/learned-optimizer/1"
    tags = tags_of(2)
    assert (tags["gate"], tags["gate.champion"], tags["lopt.replaces.champion"]) == (
        "promoted",
        "1",
        "1",
    )
    assert tags["gate.difference"].startswith("-")
    card = tracking.client().get_model_version("learned-optimizer", "2").description
    assert 'lopt.load("models:/learned-optimizer/2")' in card
    assert "learned-optimizer version 2 is now champion" in card


def test_a_baseline_that_fails_on_a_target_keeps_no_better_challenger_from_being_champion(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lopt.evaluation import Cell, Report
    from tasks import cells, settings
    from tasks.cell_orders import CellOrder

    compute, failed = cells._computed, "held_out/quadratics"

    def without(order: CellOrder, *more: Any) -> Cell:
        if (order.candidate.name, order.target.name) == ("Adam", failed):
            raise ValueError("of no use")
        return compute(order, *more)

    for known in settings.cells_root().glob("*/Adam-*"):
        shutil.rmtree(known)
    monkeypatch.setattr(cells, "_computed", without)
    before = champion()
    decision = nights.night(math.log(1.5e-2))
    assert (decision.promoted, decision.reasons, champion() > before) == (True, (), True)
    shown = [Report.read(path) for path in settings.reports_root().glob("compared-*")]
    assert any(failed not in one.targets and one.failures for one in shown), "it is said there"


@pytest.mark.parametrize("worse", [math.log(1e-4), pytest.param(DIVERGED, marks=pytest.mark.slow)])
def test_a_worse_or_diverging_challenger_is_refused_and_kept(nights: Nights, worse: float) -> None:
    before = champion()
    decision = nights.night(worse)
    assert (decision.promoted, champion()) == (False, before)
    tags = tags_of(decision.version.version)
    assert tags["gate"] == "refused"
    assert tags["gate.reasons"] == " ".join(decision.reasons)
    assert ("trajectories diverge" in tags["gate.reasons"]) == (worse == DIVERGED)


@pytest.mark.slow
def test_a_night_whose_meta_training_fails_changes_nothing(nights: Nights) -> None:
    from tasks.validation import MetaTrainingFailedError

    before = champion()
    with pytest.raises(MetaTrainingFailedError, match="rose"):
        nights.night(None)
    assert champion() == before


@pytest.mark.slow
def test_each_night_has_an_ensemble_of_its_own_and_the_same_held_out_problems(
    nights: Nights, home: Path
) -> None:
    nights.night(math.log(1e-4))
    drawn = len(list((home / "ensembles").glob("*.parquet")))
    nights.night(math.log(1e-4))
    assert len(list((home / "ensembles").glob("*.parquet"))) == drawn + 1


def test_a_night_that_is_done_is_not_done_again(nights: Nights) -> None:
    from flows.nightly_retraining import nightly_retraining

    nights.night(math.log(1e-4))
    again = nights.times[-1]
    trained = len(nights.training.confs)
    state = nightly_retraining(**nights.parts, at=again, return_state=True)
    assert (state.name, "is done already" in state.message) == ("Skipped", True)
    assert len(nights.training.confs) == trained


def test_a_night_that_is_long_over_is_left_out_and_told_of(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.nightly_retraining import nightly_retraining
    from tasks import alarms

    told: list[str] = []
    monkeypatch.setattr(alarms, "tell", lambda text, _: told.append(text))
    trained = len(nights.training.confs)
    past = (datetime.now(UTC) - timedelta(hours=13)).isoformat()
    state = nightly_retraining(**nights.parts, at=past, return_state=True)
    assert (state.name, "13 hours late" in state.message) == ("LeftOut", True)
    assert len(nights.training.confs) == trained
    (text,) = told
    assert "LeftOut. The night of" in text
    assert "13 hours late" in text


@pytest.mark.slow
def test_a_night_that_was_stopped_goes_on_with_what_it_began_with(nights: Nights) -> None:
    from flows.nightly_retraining import nightly_retraining
    from tasks.validation import MetaTrainingFailedError

    before = champion()
    with pytest.raises(MetaTrainingFailedError):
        nights.night(None)
    stopped = nights.times[-1]
    nights.night(math.log(2e-2))
    assert champion() != before
    nights.training.log_learning_rate = math.log(1e-4)
    nightly_retraining(**nights.parts, at=stopped)
    first, *_, last = nights.training.confs[-3:]
    assert first.initial_release == last.initial_release == f"models:/learned-optimizer/{before}"


def test_a_night_that_fails_says_at_which_time_it_is_gone_on_with(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.nightly_retraining import nightly_retraining
    from tasks import alarms, tags, tracking
    from tasks.validation import MetaTrainingFailedError

    told: list[str] = []
    monkeypatch.setattr(alarms, "tell", lambda text, _: told.append(text))
    with pytest.raises(MetaTrainingFailedError):
        nights.night(None)
    (text,) = told
    assert "It rose and rose. To go on with this night start it again" in text
    at = text.rpartition(" at=")[2].removesuffix(".")
    nights.training.log_learning_rate = math.log(1e-4)
    nightly_retraining(**nights.parts, at=at)
    runs = tracking.client().search_runs(
        [tracking.experiment_id()], f"tags.`{tags.NIGHT}` = '{at}'"
    )
    assert [tags.NIGHT_DONE in run.data.tags for run in runs] == [True]


def test_a_night_that_failed_before_it_was_in_mlflow_is_told_of_and_done_later_as_is_said(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    import flows.nightly_retraining as module
    from tasks import alarms, tracking

    told: list[str] = []
    monkeypatch.setattr(alarms, "tell", lambda text, _: told.append(text))
    past = (datetime.now(UTC) - timedelta(hours=14)).isoformat()

    def night(latest_hours: float, at: str) -> Any:
        conf = nights.parts["night"].model_copy(update={"latest_hours": latest_hours})
        return module.nightly_retraining(**nights.parts | {"night": conf}, at=at, return_state=True)

    with monkeypatch.context() as patched:
        patched.setattr(tracking, "tracked", _away)
        assert night(15, past).name == "Failed"
    (failure,) = told
    assert "MLflow is away. To go on with this night start it again" in failure
    at = failure.rpartition(" at=")[2].removesuffix(".")
    assert night(12, at).name == "LeftOut"
    hours = told[1].rpartition(f"start it with at={at} and night.latest_hours=")[2]
    nights.training.log_learning_rate = math.log(1e-4)
    assert night(float(hours.removesuffix(".")), at).name == "Completed"
    assert len(told) == 2


def _away(*_: Any, **__: Any) -> None:
    raise ConnectionError("MLflow is away.")


def test_a_night_is_gone_on_with_by_its_time_in_utc_and_other_runs_have_none() -> None:
    from prefect.client.schemas.objects import FlowRun

    from tasks.nights import how_to_go_on

    def said(**parameters: Any) -> str:
        time = datetime(2026, 11, 26, 2, 0, 7, tzinfo=UTC)
        run = FlowRun(flow_id=UUID(int=0), parameters=parameters, expected_start_time=time)
        return how_to_go_on(run).rpartition("at=")[2]

    assert said(night={}) == said(night={}, at="schedule") == "2026-11-26T02:00Z."
    assert said(night={}, at="2026-11-25T03:00+01:00") == "2026-11-25T02:00Z."
    assert said(night={}, at="tomorrow") == said(retention={}) == ""


@pytest.mark.slow
@pytest.mark.parametrize("where", ["announce", "note_settled"])
def test_a_night_that_died_after_the_alias_had_moved_is_finished_and_done_once(
    nights: Nights, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import flows.challenge_champion
    import flows.nightly_retraining
    from flows.nightly_retraining import nightly_retraining

    module = flows.challenge_champion if where == "announce" else flows.nightly_retraining
    before = champion()

    def died(*_: Any, **__: Any) -> None:
        raise ConnectionError("no process here")

    # Better than all before.
    rate = math.log({"announce": 4e-2, "note_settled": 6e-2}[where])
    with monkeypatch.context() as patch:
        patch.setattr(module, where, died)
        with pytest.raises(ConnectionError):
            nights.night(rate)
    promoted = champion()
    assert promoted > before
    again = nightly_retraining(**nights.parts, at=nights.times[-1], return_state=True)
    assert champion() == promoted
    tags = tags_of(promoted)
    assert (tags["gate"], tags["gate.champion"]) == ("promoted", str(before))
    assert again.name == ("Completed" if where == "announce" else "Skipped")
    # One version came of it, of one meta-training.
    newest = nights.night(math.log(1e-4)).version.version
    assert newest == promoted + 1


def test_a_night_that_another_process_is_doing_is_refused(nights: Nights) -> None:
    from flows.nightly_retraining import nightly_retraining
    from tasks import nights as calendar
    from tasks.nights import NightError

    past = (datetime.now(UTC) - timedelta(hours=3)).isoformat()
    with calendar.alone(past), pytest.raises(NightError, match="Another process is doing"):
        nightly_retraining(**nights.parts, at=past)


@pytest.mark.slow
def test_what_was_refused_is_not_published_by_mistake(nights: Nights) -> None:
    from flows.publish_release import publish_release
    from tasks.publication import RefusedReleaseError

    before = champion()
    refused = nights.night(math.log(1e-4)).version.version
    with pytest.raises(RefusedReleaseError, match=f"--version {refused} --force"):
        publish_release(nights.parts["publication"])
    assert champion() == before


@pytest.mark.parametrize("at", ["2026-11-26", "tomorrow", "2126-11-26T01:00Z"])
def test_what_is_no_night_is_refused(nights: Nights, at: str) -> None:
    from flows.nightly_retraining import nightly_retraining
    from tasks.nights import NightError

    with pytest.raises(NightError, match=f"^at: '?{at}"):
        nightly_retraining(**nights.parts, at=at)


def test_every_tag_of_nights_and_of_what_came_of_them_is_in_the_reference(nights: Nights) -> None:
    from tasks import tags, tracking

    client = tracking.client()
    runs = client.search_runs([tracking.experiment_id()])
    found = {name for run in runs for name in run.data.tags if not name.startswith("mlflow.")}
    assert unknown(found, tags.OF_RUNS) == set()
    assert {tags.NIGHT, tags.NIGHT_BEGAN_WITH, tags.NIGHT_DONE, tags.GATE, tags.GATE_WORDS} <= found
    found = set(tags_of(champion()))
    assert unknown(found, tags.OF_VERSIONS) == set()
    assert {tags.RELEASE_DIGEST, tags.GATE, tags.GATE_CHAMPION} <= found


def test_who_is_rolled_back_to_is_whom_the_champion_replaced(nights: Nights) -> None:
    from flows.roll_back import roll_back

    del nights
    now = champion()
    replaced = int(tags_of(now)["lopt.replaces.champion"])
    assert roll_back(dry_run=True).version == replaced
    assert champion() == now
    roll_back()
    assert champion() == replaced
    assert "lopt.rolled_back.champion" in tags_of(now)


@pytest.mark.slow
def test_a_person_promotes_what_the_gate_lets_through_and_nothing_else(nights: Nights) -> None:
    from flows.promote_release import promote_release

    before = champion()
    worse = nights.night(math.log(1e-4)).version.version
    assert not promote_release(version=str(worse)).promoted
    assert champion() == before
    better = next(n for n in range(worse, 0, -1) if tags_of(n).get("lopt.rolled_back.champion"))
    assert promote_release(version=str(better), dry_run=True).promoted
    assert champion() == before
    assert promote_release(version=str(better)).promoted
    assert champion() == better
    reasons = tags_of(worse)["gate.reasons"]
    assert promote_release(version=str(worse), force=True).promoted
    assert champion() == worse
    assert (tags_of(worse)["gate"], tags_of(worse)["gate.reasons"]) == ("forced", reasons)
    promote_release(version=str(better))


@pytest.mark.slow
def test_in_thirty_nights_the_champion_never_becomes_worse(nights: Nights) -> None:
    generator = np.random.default_rng(0)
    areas, outcomes = [area_of_champion()], []
    for number in range(30):
        kind = ("good", "bad", "diverged", "failed")[number % 4]
        rate = {
            "good": math.log(7e-2) + 0.03 * number + generator.normal(scale=0.02),
            "bad": math.log(1e-4) + generator.normal(),
            "diverged": DIVERGED,
            "failed": None,
        }[kind]
        try:
            outcomes.append((kind, nights.night(rate).promoted))
        except RuntimeError:
            outcomes.append((kind, False))
        areas.append(area_of_champion())
    assert np.diff(areas).max() <= 0
    assert {kind for kind, promoted in outcomes if promoted} == {"good"}
    assert areas[-1] < areas[0]
