"""What a figure's conf must not say is refused before any work; what is shipped is sound."""

from pathlib import Path

import pytest

from tasks.conf_checks import check, mistakes
from tasks.conf_errors import ConfError
from tasks.conf_files import read_conf
from tasks.confs import Conf
from tasks.variants import variants

SHIPPED = sorted(Path("conf/figures").glob("*.yaml"))
BESIDE = "evaluation.targets: 'initial_rates/digits/mlp' is not allowed in a figure; allowed: "
SECTIONS = ("figure", "ensemble", "meta_training", "evaluation")


def conf_of(figure: str, *changes: str) -> Conf:
    return read_conf(Path("conf/figures") / f"{figure}.yaml", changes, SECTIONS)


def refused(figure: str, *changes: str) -> str:
    (line,) = mistakes(conf_of(figure, *changes), SECTIONS)
    return line


def test_there_is_a_conf_for_each_figure_under_its_number() -> None:
    numbers = {path.stem: read_conf(path, [], SECTIONS).figure.number for path in SHIPPED}
    assert {int(name.partition("-")[0]) for name in numbers} == {2, 3, 4, 5, 6, 7}
    assert all(int(name.partition("-")[0]) == number for name, number in numbers.items())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_figure_s_conf_is_sound(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As where ImageNet is prepared.
    monkeypatch.setenv("LOPT_HOME", str(tmp_path))
    (tmp_path / "datasets" / "imagenet2012" / "5.1.0-0123456789ab").mkdir(parents=True)
    check(read_conf(path, [], SECTIONS), SECTIONS)


@pytest.mark.parametrize(
    ("figure", "change", "line"),
    [
        ("3", "rates={Lion: 0.1}", "figure.rates.Lion: 0.1 is not allowed, for evaluation.baselin"),
        ("3", "panels={digits/mpl: x}", "figure.panels: 'digits/mpl' is not allowed; allowed: a n"),
        ("3", "with_release=false", "figure.with_release: False is not allowed; allowed: only wit"),
        ("5", "targets=[digits/mlp, papers/quadratic, initial_rates/digits/mlp]", BESIDE),
        ("5", "initial_rates=[1e-3, 1e-3]", "figure.initial_rates: 0.001 is there more than once"),
        ("6", "only=[full, no head]", "figure.only: 'no head' is not allowed; allowed: of full, n"),
        ("6", "only=[full]", "figure.variants: 1 of them are not allowed; allowed: the full rule"),
        ("7", "batch_sizes=[1, 1]", "figure.batch_sizes: 1 is there more than once; allowed: each"),
        (
            "7",
            "reference=Lion",
            "figure.reference: 'Lion' is not allowed; allowed: one of Adam, RM",
        ),
        ("7", "targets=[papers/mlp]", "evaluation.targets: 'papers/mlp' is not allowed; allowed: "),
    ],
)
def test_what_a_figure_cannot_show_is_refused(figure: str, change: str, line: str) -> None:
    assert refused(figure, change).startswith(line)


def test_a_variant_may_not_have_the_name_of_another_optimizer() -> None:
    assert "'Adam' is not allowed" in refused("2", "figure.variants={Adam: {}}")


def test_what_is_wrong_with_a_variant_is_said_where_it_stands() -> None:
    line = refused("6", "figure.variants={full: {}, headless: {meta_stepz: 3}}")
    assert line.startswith("figure.variants.headless.meta_stepz: 3 is not allowed, for there is no")
    options = "{full: {}, headless: {architecture_options: {attentoin: false}}}"
    assert refused("6", f"figure.variants={options}").startswith(
        "figure.variants.headless.architecture_options.attentoin: False is not allowed, for Hierar"
    )


def test_what_is_wrong_with_all_variants_is_said_once() -> None:
    assert refused("6", "meta_training.preset=papers").startswith("meta_training.preset: 'papers'")


def test_a_figure_of_another_number_is_refused() -> None:
    with pytest.raises(ConfError, match=r"figure\.number: 1 is not allowed; allowed: one of 2, 3"):
        conf_of("3", "figure.number=1")


def test_variants_differ_in_what_they_say_and_their_runs_are_taken_again() -> None:
    conf = conf_of("6", "meta_training.architecture_options={hidden_sizes: [3]}")
    base = conf.meta_training.model_copy(update={"when_finished": "reuse"})
    made = variants(conf.figure, conf.meta_training)
    assert made["full"] == base
    assert made["no log objective"] == base.model_copy(update={"objective": "ClippedMeanLoss"})
    options = made["no attention"].architecture_options
    assert options == {"hidden_sizes": [3], "attention": False}


def test_only_some_variants_stay_in_the_order_of_the_conf() -> None:
    conf = conf_of("6", "only=[no input decay, full]")
    assert list(variants(conf.figure, conf.meta_training)) == ["full", "no input decay"]


def test_figures_are_made_by_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "JAX_COORDINATOR_ADDRESS": "127.0.0.1:9911",
        "JAX_NUM_PROCESSES": "2",
        "JAX_PROCESS_ID": "0",
    }.items():
        monkeypatch.setenv(name, value)
    assert "names several processes; allowed: one, by which figures are made" in refused("3")
