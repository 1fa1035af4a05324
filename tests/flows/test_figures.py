"""Every figure by its command's flow, with a tiny budget; all of them share one release."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.conf_errors import ConfError
from tasks.conf_files import read_conf
from tasks.references import FigureReference
from tests.flows.short_runs import BOWLS, LENGTHS, TRAINED_BRIEFLY

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(600)]

SECTIONS = ("figure", "ensemble", "meta_training", "evaluation")
TINY = [
    "figure.panels={}",
    *LENGTHS,
    "evaluation.baselines=[Adam]",
    "figure.rates={Adam: 1e-2}",
    "meta_training.architecture_options={hidden_sizes: [2]}",
    *TRAINED_BRIEFLY,
]


@pytest.fixture(scope="module")
def draw(
    home: Path, server: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., FigureReference]:
    """A function that draws a figure of the conf that is shipped, but for these changes."""
    import jax

    from flows.reproduce_figure import reproduce_figure
    from lopt import HierarchicalRNN, release

    del home, server
    folder = tmp_path_factory.mktemp("releases") / "release"
    release.save(HierarchicalRNN(hidden_sizes=(2,), key=jax.random.key(0)), folder)
    bowls = folder.with_name("bowls.yaml")
    bowls.write_text(BOWLS)

    def draw(name: str, *changes: str) -> FigureReference:
        overrides = [*TINY, f"ensemble.entries={bowls}", *changes]
        conf = read_conf(Path("conf/figures") / f"{name}.yaml", overrides, SECTIONS)
        sections: dict[str, Any] = {section: getattr(conf, section) for section in SECTIONS}
        return reproduce_figure(**sections, release=str(folder))

    return draw


def optimizers(drawn: FigureReference, table: str = "curves") -> list[str]:
    """The optimizers in a table, and that the picture and the page are there, too."""
    import pandas as pd

    assert Path(drawn.picture).read_bytes().startswith(b"\x89PNG")
    assert drawn.title in Path(drawn.page).read_text()
    (path,) = (Path(one) for one in drawn.tables if Path(one).stem == table)
    return list(dict.fromkeys(pd.read_parquet(path)["optimizer"]))


def test_figure_2_has_ours_an_optimizer_meta_trained_for_it_and_the_baselines(draw) -> None:
    drawn = draw("2", "evaluation.targets=[digits/softmax]")
    assert optimizers(drawn) == ["learned", "coordinatewise RNN", "Adam"]
    # Whoever asks for the latest release does not get what was trained for a figure.
    from tasks import settings
    from tasks.run_folders import newest_finished

    assert newest_finished(settings.runs_root()) is None
    assert newest_finished(settings.figure_runs_root()) is not None


@pytest.mark.parametrize("name", ["3", "4"])
def test_figures_3_and_4_have_ours_and_the_baselines(draw, name: str) -> None:
    assert optimizers(draw(name, "evaluation.targets=[digits/softmax]")) == ["learned", "Adam"]


def test_figure_5_has_everybody_at_all_rates(draw) -> None:
    import pandas as pd

    drawn = draw("5", "evaluation.targets=[papers/rosenbrock]", "initial_rates=[1e-3, 1e-1]")
    assert optimizers(drawn, "robustness") == ["learned", "Adam"]
    rows = pd.read_parquet(drawn.tables[0])
    assert rows["learning_rate"].tolist() == [1e-3, 1e-1, 1e-3, 1e-1]


def test_figure_6_has_every_variant_and_trains_none_of_them_twice(draw, monkeypatch) -> None:
    from flows import meta_train

    changes = (
        "evaluation.targets=[held_out]",
        # What compiles fastest.
        "meta_training.architecture=LearnedAdam",
        "meta_training.preset=release",
        "meta_training.architecture_options={}",
        "figure.variants={full: {}, no log objective: {objective: ClippedMeanLoss}}",
    )
    drawn = draw("6", *changes)
    assert optimizers(drawn) == ["full", "no log objective", "Adam"]
    assert [row[0] for row in drawn.rows] == ["no log objective", "Adam"]
    monkeypatch.setattr(meta_train, "meta_train_segment", None)
    assert draw("6", *changes) == drawn


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_variant_of_figure_6_is_meta_trained_without_its_feature(draw) -> None:
    import json

    from tasks import settings

    one_step = ("meta_steps=1", "segment_meta_steps=1", "warmup_meta_steps=0")
    drawn = draw("6", "evaluation.targets=[held_out]", *one_step)
    variants = read_conf(Path("conf/figures/6.yaml"), [], SECTIONS).figure.variants
    assert optimizers(drawn) == [*variants, "Adam"]
    assert len(variants) == 8
    releases = [
        json.loads(path.read_text())
        for path in settings.figure_runs_root().glob("*/*/release/config.json")
    ]
    trained = [
        (one["hyper_parameters"], json.loads(one["provenance"]["conf"])["meta_training"])
        for one in releases
        if "attention" in one["hyper_parameters"]
    ]
    differences = [changes.get("architecture_options", {}) for changes in variants.values()]
    # Whose features are all there, with either objective.
    full = next(one for one, _ in trained if [two for two, _ in trained].count(one) == 2)
    expected = [full | changes for changes in differences]
    assert sorted(map(json.dumps, expected)) == sorted(json.dumps(one) for one, _ in trained)
    assert len({*map(json.dumps, expected)}) == len(variants) - 1
    others = [one for one, conf in trained if conf["objective"] == "ClippedMeanLoss"]
    assert others == [full]


def test_figure_7_has_seconds_of_every_optimizer_at_every_size(draw) -> None:
    import pandas as pd

    sizes = ("batch_sizes=[1, 2]", "rounds=2", "reading_seconds=1e-6")
    drawn = draw("7", "evaluation.targets=[digits/softmax]", *sizes)
    assert optimizers(drawn, "step_times") == ["learned", "Adam"]
    rows = pd.read_parquet(drawn.tables[0])
    assert set(rows["batch_size"]) == {1, 2}
    assert (rows["seconds"] > 0).all()


def test_a_figure_is_an_artifact_of_its_run(draw) -> None:
    from tasks import tracking

    drawn = draw("3", "evaluation.targets=[digits/softmax]")
    runs = tracking.client().search_runs(
        [tracking.experiment_id()], f"tags.figure_digest = '{drawn.digest}'"
    )
    assert {run.info.status for run in runs} == {"FINISHED"}
    names = [one.path for one in tracking.client().list_artifacts(runs[0].info.run_id, "figure")]
    assert {"figure/figure_3.png", "figure/figure_3.html", "figure/curves.parquet"} <= {*names}


def test_a_flow_that_is_given_what_is_none_does_no_work(draw, monkeypatch) -> None:
    from flows import reproduce_figure

    monkeypatch.setattr(reproduce_figure, "find_release", None)
    with pytest.raises(
        ConfError, match=r"figure\.only: 'no head' is not allowed; allowed: of full"
    ):
        draw("6", "figure.only=[full, no head]")
