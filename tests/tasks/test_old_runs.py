"""Files of runs in MLflow go when all of their cycle is old and no version is made of it."""

import time

import pytest

from tasks import run_choice, tracking
from tasks.confs import MetaTrainingConf, RetentionConf
from tasks.leftovers import FILES, leftovers, remove
from tasks.needed import needed
from tasks.tags import EMPTIED

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.usefixtures("home")]

CONF = RetentionConf(checkpoint_days=36_500, artifact_days=50)
DIGEST = "0a1b" * 16


def log(name: str, parent: str | None = None, days: float = 51, **tags: str) -> str:
    """Make a run with two files that has ended so many days ago."""
    with tracking.tracked(name, {}, parent, tags=tags) as mlflow_run_id:
        for file in ("page.html", "plots/curves.txt"):
            tracking.client().log_text(mlflow_run_id, "x" * 1000, file)
        tracking.client().log_metric(mlflow_run_id, "score", 2.0)
    end(mlflow_run_id, days)
    return mlflow_run_id


def end(mlflow_run_id: str, days: float) -> None:
    then = round((time.time() - days * 86_400) * 1000)
    tracking.client().set_terminated(mlflow_run_id, "FINISHED", then)


def files(mlflow_run_id: str) -> list[str]:
    return [file.path for file in tracking.client().list_artifacts(mlflow_run_id)]


def found() -> set[str]:
    return {one.place for one in leftovers(CONF, needed()) if one.kind == FILES}


def make_version(mlflow_run_id: str, digest: str = DIGEST) -> None:
    client = tracking.client()
    client.create_registered_model("some")
    tags = {"release_digest": digest}
    client.create_model_version("some", "file:///nowhere", run_id=mlflow_run_id, tags=tags)


def test_files_go_and_all_else_stays() -> None:
    young, old = log("evaluate-release", days=49), log("evaluate-release")
    (one,) = leftovers(CONF, needed())
    assert (one.kind, one.place, one.bytes) == (FILES, old, 2000)
    assert remove(one, CONF)
    assert files(old) == []
    assert files(young) == ["page.html", "plots"]
    run = tracking.client().get_run(old)
    assert run.data.metrics == {"score": 2.0}
    assert run.data.tags[EMPTIED].startswith("20")
    assert found() == set()


def test_a_cycle_stays_where_one_of_its_runs_made_a_version() -> None:
    cycle = log("nightly-retraining")
    challenge = log("challenge-champion", cycle)
    parts = {cycle, challenge, log("meta-train", cycle), log("evaluate-release", challenge)}
    other = log("meta-train")
    assert found() == {*parts, other}
    make_version(challenge)
    assert found() == {other}


def test_a_cycle_stays_where_a_version_is_loaded_from_the_files_of_one_of_its_runs() -> None:
    cycle = log("nightly-retraining")
    part, other = log("meta-train", cycle), log("meta-train")
    place = tracking.client().get_run(part).info.artifact_uri
    tracking.client().create_registered_model("some")
    tracking.client().create_model_version("some", f"{place}/model")
    assert found() == {other}


def test_what_evaluated_the_release_of_a_version_stays() -> None:
    log("evaluate-release", **{"release.1": DIGEST})
    other = log("evaluate-release", **{"release.0": "of another"})
    make_version(log("meta-train"))
    assert found() == {other}


def test_a_cycle_stays_while_one_of_its_runs_is_young_or_works() -> None:
    one, other = log("full-cycle"), log("full-cycle")
    log("meta-train", one, days=49)
    part = log("meta-train", other)
    tracking.client().update_run(part, status="RUNNING")
    assert found() == set()
    end(part, 51)
    assert found() == {other, part}


def test_what_waits_to_be_published_stays() -> None:
    mlflow_run_id = log("meta-train")
    with run_choice.opened(MetaTrainingConf(), "ensemble") as folder:
        noted = folder.noted(mlflow_run_id=mlflow_run_id, awaits_publication=True)
    assert found() == set()
    noted.noted(awaits_publication=False)
    assert found() == {mlflow_run_id}


def test_runs_of_others_stay() -> None:
    client = tracking.client()
    mlflow_run_id = client.create_run(tracking.experiment_id()).info.run_id
    client.log_text(mlflow_run_id, "by hand", "notes.txt")
    end(mlflow_run_id, 1000)
    assert found() == set()


@pytest.mark.parametrize("since", ["gone on with", "registered"])
def test_what_is_needed_since_it_was_found_stays(since: str) -> None:
    mlflow_run_id = log("meta-train")
    (one,) = leftovers(CONF, needed())
    if since == "registered":
        make_version(mlflow_run_id)
    else:
        tracking.client().update_run(mlflow_run_id, status="RUNNING")
    assert not remove(one, CONF)
    assert files(mlflow_run_id) == ["page.html", "plots"]


def test_what_is_logged_when_a_run_is_gone_on_with_goes_in_its_turn() -> None:
    mlflow_run_id = log("meta-train")
    (one,) = leftovers(CONF, needed())
    assert remove(one, CONF)
    with tracking.tracked("meta-train", {}, resumed=mlflow_run_id):
        tracking.client().log_text(mlflow_run_id, "again", "page.html")
    assert found() == set()
    client = tracking.client()
    client.set_tag(mlflow_run_id, EMPTIED, "2020-01-01T00:00:00.000+00:00")
    end(mlflow_run_id, 51)
    assert found() == {mlflow_run_id}
