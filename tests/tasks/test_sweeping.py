"""Sweeping takes what is old and needed by nobody, and nothing else."""

import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks import nights, promotion, run_choice, run_folders, settings, tracking
from tasks.confs import DEFAULTS, MetaTrainingConf, RetentionConf
from tasks.leftovers import (
    CELLS,
    ENSEMBLES,
    HALVES,
    LOCKS,
    MODELS,
    REPORTS,
    RUNS,
    leftovers,
    remove,
)
from tasks.locks import locked
from tasks.needed import needed
from tasks.publication import register_release
from tasks.references import ModelVersionReference, ReleaseReference, short
from tasks.run_folders import RunFolder

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.usefixtures("home")]

CONF = RetentionConf(checkpoint_days=10.0, artifact_days=50.0)
Make = Callable[..., ReleaseReference]


@pytest.fixture
def make_release(home: Path) -> Make:
    """A function that makes a finished run with checkpoints and a release that no other has."""
    import jax

    from lopt import registry, release
    from lopt.architectures import LearnedAdam

    del home
    count = 0

    def make(*, log: bool = True) -> ReleaseReference:
        nonlocal count
        count += 1
        optimizer = LearnedAdam.release(key=jax.random.key(0))
        object.__setattr__(optimizer, "log_learning_rate", optimizer.log_learning_rate + count)
        with run_choice.opened(MetaTrainingConf(), f"ensemble {count}") as folder:
            fill(folder)
        with tracking.tracked("meta-train", {}) as mlflow_run_id:
            uri = None
            if log:
                info = registry.log_model(optimizer, "optimizer", run_id=mlflow_run_id)
                uri = str(info.model_uri)
        folder = folder.noted(mlflow_run_id=mlflow_run_id)
        release.save(optimizer, folder.release)
        return ReleaseReference(
            directory=str(folder.release),
            digest=release.digest(folder.release),
            mlflow_run_id=mlflow_run_id,
            model_uri=uri,
        )

    return make


def fill(folder: RunFolder) -> None:
    for name in ("checkpoints", "best"):
        (folder.directory / name / "3").mkdir(parents=True)
        (folder.directory / name / "3" / "state").write_bytes(b"x" * 1000)


def age(path: Path, days: float) -> None:
    then = time.time() - days * 86_400
    for one in (path, *path.rglob("*")):
        os.utime(one, (then, then))


def register(release: ReleaseReference) -> ModelVersionReference:
    assert release.mlflow_run_id is not None
    return register_release.fn(DEFAULTS.publication, release, "none", release.mlflow_run_id)


def found(conf: RetentionConf = CONF) -> list[tuple[str, str]]:
    return [(one.kind, one.place) for one in leftovers(conf, needed())]


def parts_of(release: ReleaseReference) -> list[tuple[str, str]]:
    folder = Path(release.directory).parent
    return [(RUNS, str(folder / name)) for name in ("checkpoints", "best")]


def test_checkpoints_of_a_finished_run_go_when_they_are_old_and_its_release_stays(
    make_release: Make,
) -> None:
    release = make_release(log=False)
    assert found() == []
    age(Path(release.directory).parent, 11)
    assert found() == parts_of(release)
    for one in leftovers(CONF, needed()):
        assert one.bytes == 1000
        assert remove(one, CONF)
    assert found() == []
    from lopt.loading import load

    load(release.directory)
    assert run_folders.read(Path(release.directory).parent).finished


def test_what_an_alias_needs_stays_however_old(make_release: Make) -> None:
    champion, former = make_release(), make_release()
    for release in (former, champion):
        promotion.take(register(release))
    for release in (champion, former):
        age(Path(release.directory).parent, 1000)
    assert found(RetentionConf(checkpoint_days=0, artifact_days=0)) == parts_of(former)


@pytest.mark.parametrize("logged", [True, False])
def test_of_a_run_that_is_never_published_all_stays_but_its_checkpoints(
    make_release: Make, logged: bool
) -> None:
    release = make_release(log=logged)
    folder = run_folders.read(Path(release.directory).parent).noted(awaits_publication=True)
    if logged:
        assert release.model_uri is not None
        folder = folder.noted(model_uri=release.model_uri)
    age(folder.directory, 9)
    assert found() == []
    age(folder.directory, 1000)
    everything = RetentionConf(checkpoint_days=0, artifact_days=0)
    assert found(everything) == parts_of(release)
    assert all(remove(one, everything) for one in leftovers(everything, needed()))
    promotion.take(register(release))


def test_checkpoints_of_a_cycle_that_is_being_published_stay(make_release: Make) -> None:
    release = make_release(log=False)
    folder = run_folders.read(Path(release.directory).parent)
    age(folder.directory, 1000)
    with locked(folder.directory / "lock", wait=False):
        folder.noted(awaits_publication=True)
        assert [remove(one, CONF) for one in leftovers(CONF, needed())] == [False, False]


def test_a_run_that_is_worked_on_stays(make_release: Make) -> None:
    release = make_release(log=False)
    age(Path(release.directory).parent, 11)
    with locked(Path(release.directory).parent / "lock", wait=False):
        assert [remove(one, CONF) for one in leftovers(CONF, needed())] == [False, False]
    assert found() == parts_of(release)


def test_an_unfinished_run_goes_as_a_whole_when_nobody_went_on_with_it() -> None:
    with run_choice.opened(MetaTrainingConf(), "ensemble") as folder:
        fill(folder)
    age(folder.directory, 49)
    assert found() == []
    age(folder.directory, 51)
    assert found() == [(RUNS, str(folder.directory))]
    assert all(remove(one, CONF) for one in leftovers(CONF, needed()))
    assert not folder.directory.exists()
    with run_choice.opened(MetaTrainingConf(), "ensemble") as folder:
        assert not folder.begun


def test_a_logged_model_goes_only_where_no_version_is_made_of_it(make_release: Make) -> None:
    from lopt.loading import load
    from lopt.registry import RegistryError

    registered, other = make_release(), make_release()
    version = register(registered)
    everything = RetentionConf(checkpoint_days=36_500, artifact_days=0)
    assert other.model_uri is not None
    assert found(everything) == [(MODELS, other.model_uri.removeprefix("models:/"))]
    assert found() == []
    assert all(remove(one, everything) for one in leftovers(everything, needed()))
    load(f"models:/{version.name}/{version.version}")
    with pytest.raises(RegistryError):
        load(other.model_uri)


@pytest.mark.parametrize("way", ["by its place", "as a copy of a version"])
def test_a_logged_model_stays_however_a_version_was_made_of_it(
    make_release: Make, way: str
) -> None:
    from lopt.loading import load

    release, client = make_release(), tracking.client()
    assert release.model_uri is not None
    model = client.get_logged_model(release.model_uri.removeprefix("models:/"))
    client.create_registered_model("other")
    if way == "by its place":
        client.create_model_version("other", model.artifact_location)
    else:
        version = register(release)
        client.copy_model_version(f"models:/{version.name}/{version.version}", "other")
        client.delete_model_version(version.name, str(version.version))
    everything = RetentionConf(checkpoint_days=36_500, artifact_days=0)
    assert MODELS not in {kind for kind, _ in found(everything)}
    load("models:/other/1")


def test_a_model_that_is_registered_after_it_was_found_stays(make_release: Make) -> None:
    from lopt.loading import load

    everything = RetentionConf(checkpoint_days=36_500, artifact_days=0)
    release = make_release()
    (one,) = leftovers(everything, needed())
    version = register(release)
    assert not remove(one, everything)
    load(f"models:/{version.name}/{version.version}")


def test_a_run_that_was_gone_on_with_after_it_was_found_stays() -> None:
    with run_choice.opened(MetaTrainingConf(), "ensemble") as folder:
        fill(folder)
    age(folder.directory, 51)
    (one,) = leftovers(CONF, needed())
    folder.noted(mlflow_run_id="0a1b")
    assert not remove(one, CONF)
    assert folder.directory.exists()


def test_what_cannot_be_removed_keeps_nothing_else_from_it(
    make_release: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    from tasks.sweeping import remove_leftovers

    release, rmtree = make_release(log=False), shutil.rmtree
    age(Path(release.directory).parent, 11)
    both = list(leftovers(CONF, needed()))
    failures = iter([OSError("busy")])

    def once_busy(path: Path) -> None:
        for error in failures:
            raise error
        rmtree(path)

    monkeypatch.setattr(shutil, "rmtree", once_busy)
    assert remove_leftovers.fn(CONF, both) == both[1:]
    assert "could not be removed: OSError: busy" in capsys.readouterr().out


def test_what_a_sweep_has_left_by_half_is_removed_by_the_next(make_release: Make) -> None:
    import shutil

    age(Path(make_release(log=False).directory).parent, 11)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda _: None)
        assert all(remove(one, CONF) for one in leftovers(CONF, needed()))
    halves = list(leftovers(CONF, needed()))
    assert [one.kind for one in halves] == [HALVES, HALVES]
    assert all(remove(one, CONF) for one in halves)
    assert found() == []


def test_a_damaged_cell_keeps_no_sweep_from_its_work() -> None:
    folder = settings.cells_root() / "bowls" / "damaged-learned-1"
    folder.mkdir(parents=True)
    (folder / "report.json").write_text('{"facts": {"libr')
    age(folder, 51)
    assert found() == [(CELLS, str(folder))]


def test_what_was_begun_of_a_cell_goes_when_nobody_went_on_with_it() -> None:
    old, young = (settings.cells_root() / "bowls" / f"Adam-{n}.begun" for n in (1, 2))
    for folder in (old, young):
        (folder / "checkpoints" / "40").mkdir(parents=True)
    age(old, 51)
    assert found() == [(CELLS, str(old))]


def test_reports_and_cells_go_where_no_version_is_of_their_release(make_release: Make) -> None:
    from tasks import code_version

    registered, other = make_release(), make_release(log=False)
    register(registered)
    library = code_version.library_digest()
    cells = {
        "learned-1": {"library": library, "release": registered.digest},
        "learned-2": {"library": library, "release": other.digest},
        "Adam-3": {"library": library},
        "Adam-4": {"library": "of another version"},
    }
    for name, facts in cells.items():
        folder = settings.cells_root() / "bowls" / name
        folder.mkdir(parents=True)
        (folder / "report.json").write_text(json.dumps({"facts": facts}))
    for release in (registered, other):
        (settings.reports_root() / f"{short(release.digest)}-0").mkdir(parents=True)
    for root in (settings.cells_root(), settings.reports_root()):
        age(root, 51)
    root = settings.cells_root() / "bowls"
    assert found() == [
        (REPORTS, str(settings.reports_root() / f"{short(other.digest)}-0")),
        (CELLS, str(root / "Adam-4")),
        (CELLS, str(root / "learned-2")),
    ]


def ensemble(digest: str, days: float) -> Path:
    path = settings.ensembles_root() / f"tiny-{short(digest)}.parquet"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x" * 70)
    age(path, days)
    return path


def test_ensembles_go_that_nobody_has_drawn_for_long(home: Path) -> None:
    del home
    old, _ = ensemble("a" * 64, 51), ensemble("b" * 64, 49)
    assert found() == [(ENSEMBLES, str(old))]
    (one,) = leftovers(CONF, needed())
    assert one.bytes == 70
    # Somebody draws it now.
    old.write_bytes(b"x")
    assert not remove(one, CONF)
    age(old, 51)
    assert remove(one, CONF)
    assert not old.exists()


def test_ensembles_of_unfinished_runs_and_of_those_of_an_alias_stay(make_release: Make) -> None:
    champion, former = make_release(), make_release()
    for release in (former, champion):
        promotion.take(register(release))
    with run_choice.opened(MetaTrainingConf(), "c" * 64):
        pass
    digests = [
        run_folders.read(Path(release.directory).parent).record.ensemble_digest
        for release in (champion, former)
    ]
    _, old, _ = [ensemble(digest, 51) for digest in (*digests, "c" * 64)]
    assert found() == [(ENSEMBLES, str(old))]


def test_the_lock_of_an_old_night_goes_unless_somebody_is_doing_it() -> None:
    times = [datetime.now(UTC) - timedelta(days=days) for days in (60, 61, 2)]
    for time_of_night in times:
        with nights.alone(time_of_night.isoformat()) as night:
            age(
                settings.nights_root() / f"{night.seed}.lock",
                (datetime.now(UTC) - time_of_night).days,
            )
    with nights.alone(times[0].isoformat()) as night:
        both = list(leftovers(CONF, needed()))
        assert {one.kind for one in both} == {LOCKS}
        gone = [one.place for one in both if remove(one, CONF)]
        assert len(both) == 2
        held = settings.nights_root() / f"{night.seed}.lock"
        assert held.exists()
        assert str(held) not in gone
        assert len(gone) == 1
    assert found() == [(LOCKS, str(held))]


def test_nothing_is_found_where_the_registry_cannot_be_asked(
    make_release: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    def away(*_: object, **__: object) -> None:
        raise ConnectionError("the registry is away")

    age(Path(make_release(log=False).directory).parent, 11)
    monkeypatch.setattr(MlflowClient, "search_model_versions", away)
    with pytest.raises(ConnectionError):
        found()


def test_every_page_of_the_registry_is_asked_for(
    make_release: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    search = MlflowClient.search_model_versions
    releases = [make_release() for _ in range(3)]
    for release in releases:
        register(release)
    monkeypatch.setattr(
        MlflowClient,
        "search_model_versions",
        lambda self, **more: search(self, max_results=1, **more),
    )
    assert needed().releases == {release.digest for release in releases}
