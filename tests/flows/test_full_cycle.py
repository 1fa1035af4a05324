import json
from pathlib import Path
from typing import Any

import pytest

from tasks.conf_files import read_conf
from tasks.confs import Conf
from tasks.references import ModelVersionReference
from tests.flows.cycles import parts_of
from tests.known_tags import unknown

COMMIT = "c0ffee" * 6 + "c0ff"

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def conf() -> Conf:
    return read_conf(Path("conf/tiny.yaml"), ["baselines=[Adam, RMSProp]"], list(Conf.model_fields))


@pytest.fixture(scope="module")
def versions(home: Path, server: str, conf: Conf) -> list[ModelVersionReference]:
    """The cycle twice, on a commit that stays the same meanwhile."""
    from flows.full_cycle import full_cycle
    from tasks import code_version

    del home, server
    parts = parts_of(conf)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_version, "git_commit", lambda: COMMIT)
        patch.setattr(code_version, "git_dirty", lambda: True)
        return [full_cycle(**parts), full_cycle(**parts)]


@pytest.fixture(scope="module")
def runs(versions: list[ModelVersionReference]) -> dict[str, list[Any]]:
    """MLflow's runs by stage, oldest first."""
    from tasks import tracking

    del versions
    client = tracking.client()
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
    found = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    stages: dict[str, list[Any]] = {}
    for run in found:
        stages.setdefault(run.data.tags["mlflow.source.name"], []).append(run)
    return stages


def test_each_cycle_publishes_a_version_and_the_alias_moves_to_the_newest(
    versions: list[ModelVersionReference],
) -> None:
    from lopt.loading import load
    from tasks import tracking

    assert [version.version for version in versions] == [1, 2]
    champion = tracking.client().get_model_version_by_alias("learned-optimizer", "champion")
    assert int(champion.version) == 2
    tracking.client()  # points the registry to this home
    assert load(versions[-1].uri).provenance.seed == 1


def test_the_second_cycle_uses_the_same_data_and_ensemble(
    home: Path, versions: list[ModelVersionReference]
) -> None:
    del versions
    assert len([path for path in (home / "datasets" / "digits").iterdir() if path.is_dir()]) == 1
    # One to train on, one to validate on, one held out.
    assert len(list((home / "ensembles").glob("*.parquet"))) == 3


def test_baselines_are_run_once_for_both_cycles(
    home: Path, versions: list[ModelVersionReference]
) -> None:
    del versions
    targets = list((home / "cells").iterdir())
    for target in targets:
        of_baselines = [path for path in target.iterdir() if not path.name.startswith("learned-")]
        assert len(of_baselines) == 2
        assert len(list(target.glob("learned-*"))) == 2
    assert {"digits_mlp", "digits_convnet", "held_out_quadratics"} <= {p.name for p in targets}
    assert len(list((home / "reports").iterdir())) == 2


def test_a_release_is_evaluated_on_nothing_that_it_was_trained_on(
    home: Path, versions: list[ModelVersionReference], conf: Conf
) -> None:
    from flows.evaluate_release import evaluate_release
    from tasks.evaluation import NotHeldOutError

    seed, before = conf.ensemble.seed, sorted((home / "cells").rglob("*"))
    with pytest.raises(NotHeldOutError):
        evaluate_release(
            conf.ensemble.model_copy(update={"seed": seed + 1}),
            conf.evaluation.model_copy(update={"held_out_seed": seed, "seed": 5}),
            versions[-1].uri,
        )
    assert sorted((home / "cells").rglob("*")) == before, "a trajectory was run"


def test_every_stage_is_a_finished_child_of_its_cycle(runs: dict[str, list[Any]]) -> None:
    stages = {"prepare-datasets", "generate-ensemble", "meta-train", "evaluate-release"}
    assert set(runs) == {"full-cycle", "publish-release", *stages}
    for name, found in runs.items():
        assert [run.info.status for run in found] == ["FINISHED"] * 2, name
        if name != "full-cycle":
            parents = [run.data.tags["mlflow.parentRunId"] for run in found]
            assert parents == [run.info.run_id for run in runs["full-cycle"]]
        assert all("prefect.flow_run_id" in run.data.tags for run in found)


def test_meta_training_logs_every_dispatch_by_level_and_its_inputs(
    runs: dict[str, list[Any]], conf: Conf
) -> None:
    from tasks import tracking

    first = runs["meta-train"][0]
    names = {"meta/loss", "meta/gradient_norm", "meta/nonfinite", "inner/resets", "inner/steps"}
    assert {*names, "inner/steps_per_second"} <= set(first.data.metrics)
    history = tracking.client().get_metric_history(first.info.run_id, "meta/loss")
    # A segment, here shorter than a dispatch might be, has one.
    meta_steps, each = conf.meta_training.meta_steps, conf.meta_training.segment_meta_steps
    assert [point.step for point in history] == list(range(each, meta_steps + 1, each))
    assert first.data.params["meta_training.meta_steps"] == str(conf.meta_training.meta_steps)
    (ensemble,) = first.inputs.dataset_inputs
    assert ensemble.dataset.name.startswith("tiny-")
    assert first.outputs.model_outputs


def test_a_run_records_the_seed_that_it_was_trained_with(runs: dict[str, list[Any]]) -> None:
    seeds = [run.data.params["meta_training.seed"] for run in runs["meta-train"]]
    assert seeds == ["0", "1"]


def test_every_run_says_which_commit_of_the_code_ran(runs: dict[str, list[Any]]) -> None:
    for name, found in runs.items():
        assert [run.data.tags["git_commit"] for run in found] == [COMMIT] * 2, name
        assert {run.data.tags["git_dirty"] for run in found} == {"True"}, name


@pytest.mark.parametrize("stage", ["prepare-datasets", "evaluate-release"])
def test_a_data_set_is_an_input_with_its_digest(
    home: Path, runs: dict[str, list[Any]], stage: str
) -> None:
    from lopt.datasets import open_dataset

    (folder,) = [path for path in (home / "datasets" / "digits").iterdir() if path.is_dir()]
    digest = open_dataset(folder).digest
    for run in runs[stage]:
        inputs = {one.dataset.name: one.dataset for one in run.inputs.dataset_inputs}
        assert inputs["digits"].digest == digest[:36]
        assert json.loads(inputs["digits"].source)["sha256"] == digest


def test_plots_and_tables_are_artifacts(runs: dict[str, list[Any]]) -> None:
    from tasks import tracking

    def files(stage: str, folder: str) -> set[str]:
        listed = tracking.client().list_artifacts(runs[stage][0].info.run_id, folder)
        return {Path(file.path).name for file in listed}

    assert {"ensemble.html", "beginnings.parquet"} <= files("generate-ensemble", "")
    assert {"counts.png", "landscapes_1.png"} <= files("generate-ensemble", "plots")
    assert files("meta-train", "plots") == {"meta_loss.png"}
    plots = {"scores.png", "speed_up.png", "loss_digits_mlp.png"}
    assert plots <= files("evaluate-release", "plots")
    tables = {"curves.parquet", "scores.parquet", "reachings.parquet", "divergences.parquet"}
    assert {*tables, "scores.md", "report.html"} <= files("evaluate-release", "report")


def test_the_version_says_how_it_compares_and_where_it_came_from(
    versions: list[ModelVersionReference],
) -> None:
    from tasks import tracking

    version = tracking.client().get_model_version("learned-optimizer", str(versions[0].version))
    assert {"held_out_difference.adam", "held_out_difference.rmsprop"} <= set(version.tags)
    assert len(version.tags["release_digest"]) == 64
    assert "A learned optimizer" in version.description
    # By its number: the alias is another version's by now.
    assert f'lopt.load("models:/learned-optimizer/{version.version}")' in version.description


def test_every_tag_of_runs_and_versions_is_in_the_reference(
    versions: list[ModelVersionReference], runs: dict[str, list[Any]]
) -> None:
    from tasks import tags, tracking

    set_here: set[str] = set().union(*(run.data.tags for found in runs.values() for run in found))
    ours = {name for name in set_here if not name.startswith("mlflow.")}
    assert unknown(ours, tags.OF_RUNS) == set()
    of_all = {
        name for name, tag in tags.OF_RUNS.items() if tag.where in {"all", "parts of a cycle"}
    }
    assert of_all | {tags.GIT_COMMIT, tags.GIT_DIRTY, tags.REPORT, f"{tags.RELEASE}0"} <= set_here
    for version in versions:
        found = tracking.client().get_model_version("learned-optimizer", str(version.version)).tags
        assert unknown(set(found), tags.OF_VERSIONS) == set()
        assert {tags.RELEASE_DIGEST, f"{tags.REPLACES}champion"} <= set(found)


def test_a_release_says_which_run_confs_and_ensemble_made_it(
    home: Path, versions: list[ModelVersionReference], conf: Conf, runs: dict[str, list[Any]]
) -> None:
    from lopt.loading import load

    del versions
    (path,) = home.glob("runs/*/001/release")
    provenance = load(path).provenance
    assert provenance is not None
    assert provenance.mlflow_run_id == runs["meta-train"][0].info.run_id
    asked = json.loads(str(provenance.conf))
    assert asked["meta_training"] == conf.meta_training.model_dump(mode="json")
    assert asked["ensemble"] == {"entries": "conf/ensembles/tiny.yaml", "seed": 0}
    assert provenance.git_commit == COMMIT
    assert asked["code"]["git_dirty"] is True
    assert provenance.dataset_digests == (), "the ensemble draws its own data"
    assert provenance.ensemble_digest is not None
    assert provenance.checkpoint_digest is not None


@pytest.mark.usefixtures("versions")
def test_the_stages_run_alone_on_the_newest_release(
    conf: Conf, capsys: pytest.CaptureFixture[str]
) -> None:
    from flows.evaluate_release import evaluate_release
    from flows.publish_release import publish_release

    evaluate_release(conf.ensemble, conf.evaluation)
    version = publish_release(conf.publication.model_copy(update={"alias": "staging"}))
    text = capsys.readouterr().out
    assert version.uri == "models:/learned-optimizer@staging"
    assert version.version == 3
    for word in ("Adam", "RMSProp", "digits/convnet", "held_out/quadratics", "lopt.load", "mlflow"):
        assert word in text


@pytest.mark.usefixtures("versions")
def test_a_version_is_evaluated_by_its_uri(conf: Conf, home: Path) -> None:
    from flows.evaluate_release import evaluate_release

    report = evaluate_release(conf.ensemble, conf.evaluation, "models:/learned-optimizer/1")
    assert report.release_digest[:16] in {path.name[:16] for path in (home / "reports").iterdir()}


def test_versions_are_compared_by_their_uris(
    versions: list[ModelVersionReference], capsys: pytest.CaptureFixture[str]
) -> None:
    from flows.compare_reports import compare_reports
    from lopt.evaluation import Report

    names = [f"learned-optimizer/{version.version}" for version in versions]
    report = compare_reports([f"models:/{name}" for name in names])
    assert Report.read(Path(report.directory)).ours == tuple(names)
    text = capsys.readouterr().out
    assert "Ours were not tuned: each has its default initial learning rate" in text
    assert text.splitlines()[-1].endswith("/artifacts/report/report.html")
