"""Every figure by its own command line and conf, only shorter; what is seen of it and kept."""

import runpy
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.flows.short_runs import LENGTHS, TRAINED_BRIEFLY
from tests.flows.test_commands import run

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(1200)]

LOSS = ("inner step", "loss / initial loss")
# Where nothing is evaluated on it, a small ensemble, for drawing one of hundreds takes seconds.
SHORT = (*LENGTHS, "ensemble.entries=conf/ensembles/tiny.yaml")
slow = pytest.mark.slow


class Figured(NamedTuple):
    """What a command has drawn, and the tables that it has kept."""

    folder: Path
    figure: "Figure"
    tables: "dict[str, pd.DataFrame]"

    @property
    def labels(self) -> list[tuple[str, str]]:
        return [(axes.get_xlabel(), axes.get_ylabel()) for axes in self.figure.axes]

    @property
    def titles(self) -> list[str]:
        return [axes.get_title() for axes in self.figure.axes]

    @property
    def legend(self) -> list[str]:
        (legend,) = self.figure.legends
        return [text.get_text() for text in legend.get_texts()]


@pytest.fixture(scope="module")
def released(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release, untrained as it is, and what compiles fastest."""
    import jax

    from lopt import release
    from lopt.architectures.learned_adam import LearnedAdam

    del home
    folder = tmp_path_factory.mktemp("releases") / "release"
    release.save(LearnedAdam(key=jax.random.key(0)), folder)
    return folder


@pytest.fixture
def command(released: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Figured]:
    """A function that gives `python -m flows.reproduce_figure` a number and changes."""
    from matplotlib.figure import Figure

    del server
    saved: dict[Path, Figure] = {}
    original = Figure.savefig

    def remembered(self: Figure, path: Path, **arguments: object) -> None:
        saved[Path(path)] = self
        original(self, path, **arguments)

    monkeypatch.setattr(Figure, "savefig", remembered)

    def command(name: str, *changes: str, with_release: bool = True) -> Figured:
        options = [part for change in changes for part in ("--set", change)]
        given = ["--release", str(released)] if with_release else []
        program = ["reproduce_figure", "--figure", name, *given, *options]
        before = signal.getsignal(signal.SIGTERM)
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", program)
                # Another test may have imported it, of which Python warns.
                patch.delitem(sys.modules, "flows.reproduce_figure", raising=False)
                runpy.run_module("flows.reproduce_figure", run_name="__main__", alter_sys=True)
        finally:
            # A command has its own answer to SIGTERM, and the tests that follow have another.
            signal.signal(signal.SIGTERM, before)
        number = name.partition("-")[0]
        pictures = [path for path in saved if path.name == f"figure_{number}.png"]
        return kept(number, saved[pictures[-1]])

    return command


def kept(number: str, figure: "Figure") -> Figured:
    """What lies in the folder of a figure: a picture, a page that holds it, and tables."""
    import base64

    import pandas as pd

    from tasks import settings

    folders = (settings.home() / "figures").glob(f"figure_{number}-*")
    folder = max(folders, key=lambda path: path.stat().st_mtime_ns)
    picture = (folder / f"figure_{number}.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert base64.b64encode(picture).decode() in (folder / f"figure_{number}.html").read_text()
    tables = {path.stem: pd.read_parquet(path) for path in folder.glob("*.parquet")}
    return Figured(folder, figure, tables)


def holds_every_loss(
    figured: Figured, optimizers: list[str], targets: list[str], steps: tuple[int, ...] = (0, 2, 4)
) -> None:
    import numpy as np

    curves = figured.tables["curves"]
    assert list(dict.fromkeys(curves["optimizer"])) == optimizers
    assert list(dict.fromkeys(curves["target"])) == targets
    for _, one in curves.groupby(["target", "optimizer", "learning_rate", "seed"]):
        assert one["step"].tolist() == list(steps)
        assert np.isfinite(one["loss"]).all()
    assert set(curves["seed"]) == {0, 1}


def test_figure_3_has_three_problems_of_the_corpus_at_the_paper_s_rates(command) -> None:
    figured = command("3", *SHORT)
    assert figured.labels == [LOSS] * 3
    assert [axes.get_yscale() for axes in figured.figure.axes] == ["log"] * 3
    assert figured.titles[1] == "Rosenbrock's valley\npapers/rosenbrock"
    assert figured.legend == ["learned", "Adam, 0.01", "RMSProp, 0.01"]
    targets = ["papers/quadratic-noisy", "papers/rosenbrock", "papers/softmax"]
    holds_every_loss(figured, ["learned", "Adam", "RMSProp"], targets)
    assert set(figured.tables) == {"curves", "finals"}


@slow
def test_figure_5_has_scores_against_the_rates_that_all_begin_at(command) -> None:
    import numpy as np

    figured = command("5", *SHORT)
    label = ("initial learning rate", "mean log10(loss / initial loss)")
    assert figured.labels == [label] * 2
    assert [axes.get_xscale() for axes in figured.figure.axes] == ["log"] * 2
    optimizers = ["learned", "Adam", "RMSProp", "SGD+momentum"]
    holds_every_loss(figured, optimizers, ["papers/quadratic", "digits/mlp"])
    scores = figured.tables["robustness"]
    rates = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0]
    for _, one in scores.groupby(["target", "optimizer"]):
        np.testing.assert_allclose(one["learning_rate"], rates)
    assert (scores["low"] <= scores["high"]).all()
    assert len(scores) == len(rates) * len(optimizers) * 2


@slow
def test_figure_2_has_an_earlier_optimizer_and_marks_how_long_it_was_meta_trained(command) -> None:
    figured = command("2", *LENGTHS, *TRAINED_BRIEFLY)
    assert figured.labels == [LOSS] * 3
    assert figured.titles[0] == "the network of its meta-training\ndigits/mlp-sigmoid-20"
    assert figured.legend == [
        "learned",
        "coordinatewise RNN",
        "Adam, 0.002",
        "RMSProp, 0.01",
        "longest meta-training of coordinatewise RNN: 4 steps",
    ]
    targets = ["digits/mlp-sigmoid-20", "digits/mlp-relu", "digits/papers-convnet-relu"]
    optimizers = ["learned", "coordinatewise RNN", "Adam", "RMSProp"]
    holds_every_loss(figured, optimizers, targets)


@pytest.fixture
def mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MNIST where TFDS looks for it: its files by HTTP, with fewer images, and made-up ones."""
    import numpy as np

    from lopt.datasets.builders import Mnist
    from tests.lopt.datasets.publisher import published, write_mnist

    random = np.random.default_rng(0)
    counts = {"train": 1100, "t10k": 80}
    images = {one: random.integers(0, 256, (counts[one], 28, 28), np.uint8) for one in counts}
    labels = {one: random.integers(0, 10, counts[one], np.uint8) for one in counts}
    write_mnist(tmp_path, {one: (images[one], labels[one]) for one in counts})
    monkeypatch.setenv("no_proxy", "*")
    with published(tmp_path) as url_infos:
        monkeypatch.setattr(Mnist, "url_infos", url_infos)
        yield


@slow
@pytest.mark.usefixtures("mnist")
def test_figure_2_on_mnist_fetches_what_is_published_and_trains_and_compares_on_it(command) -> None:
    figured = command("2-mnist", *LENGTHS, *TRAINED_BRIEFLY)
    assert figured.labels == [LOSS] * 3
    assert figured.titles[0] == "the network of its meta-training\nmnist/mlp-sigmoid-20"
    targets = ["mnist/mlp-sigmoid-20", "mnist/mlp-relu", "mnist/papers-convnet-relu"]
    optimizers = ["learned", "coordinatewise RNN", "Adam", "RMSProp"]
    holds_every_loss(figured, optimizers, targets)


@slow
def test_figure_4_has_new_kinds_of_problems_and_each_baseline_s_best_rate(command) -> None:
    figured = command("4", *SHORT)
    assert figured.labels == [LOSS] * 3
    assert figured.titles[1] == "convolutions\ndigits/papers-convnet-relu"
    assert [name.partition(",")[0] for name in figured.legend] == [
        "learned",
        "Adam (best rate)",
        "RMSProp (best rate)",
        "SGD+momentum (best rate)",
    ]
    targets = ["digits/mlp-relu", "digits/papers-convnet-relu", "digits/convnet-batchnorm"]
    optimizers = ["learned", "Adam", "RMSProp", "SGD+momentum"]
    holds_every_loss(figured, optimizers, targets)
    adam = figured.tables["finals"].query("optimizer == 'Adam'")
    assert set(adam["learning_rate"].round(6)) == {1e-3, 3e-3, 1e-2, 3e-2, 1e-1}


@pytest.fixture
def fast_programs() -> Iterator[None]:
    """Compile for speed, which is otherwise left out here: a step of a ResNet took minutes."""
    import jax

    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@slow
@pytest.mark.usefixtures("tars_of_imagenet", "fast_programs")
def test_figure_4_on_imagenet_trains_on_what_is_prepared(command) -> None:
    """One step of ResNet V2-50, at the fewest pixels that it takes, beside one baseline.

    Even that is three minutes of a processor. Inception V3 is left out: that it learns from
    ImageNet's tars is a test of `image_streams`.
    """
    target = "imagenet2012@32/resnet50"
    figured = command(
        "4-imagenet",
        SHORT[-1],
        f"targets=[{target}]",
        f"figure.panels={{{target}: ResNet V2-50}}",
        "baselines=[Adam]",
        "figure.rates={Adam: 1e-3}",
        "network_steps=1",
        "record_every=1",
    )
    assert figured.labels == [LOSS]
    assert figured.titles == [f"ResNet V2-50\n{target}"]
    assert figured.legend == ["learned", "Adam, 0.001"]
    holds_every_loss(figured, ["learned", "Adam"], [target], steps=(0, 1))


@slow
def test_figure_6_has_curves_and_the_difference_that_a_feature_makes(command) -> None:
    two = "figure.only=[full, no attention]"
    small = "meta_training.architecture_options={hidden_sizes: [2]}"
    figured = command("6", two, small, *LENGTHS, *TRAINED_BRIEFLY, with_release=False)
    curves, differences = figured.labels
    assert curves == LOSS
    assert differences[0].startswith("mean log10(loss / initial loss), minus that of full\n")
    assert figured.titles[0] == "a ConvNet of two layers\ndigits/convnet"
    targets = list(dict.fromkeys(figured.tables["curves"]["target"]))
    assert targets[0] == "digits/convnet"
    assert len(targets) > 2
    assert all(name.startswith("held_out/") for name in targets[1:])
    holds_every_loss(figured, ["full", "no attention", "Adam"], targets)
    assert set(figured.tables["differences"]["other"]) == {"no attention", "Adam"}


@slow
def test_figure_7_has_seconds_against_the_size_of_a_minibatch(command) -> None:
    figured = command("7", SHORT[-1], "batch_sizes=[1, 4]", "rounds=2", "reading_seconds=1e-3")
    assert figured.labels == [
        ("images in a minibatch", "seconds per gradient and update"),
        ("images in a minibatch", "times Adam's seconds, round by round"),
    ]
    times = figured.tables["step_times"]
    assert list(dict.fromkeys(times["optimizer"])) == ["learned", "Adam", "RMSProp"]
    for _, one in times.groupby(["optimizer", "batch_size"]):
        assert len(one) == 2
    assert set(times["batch_size"]) == {1, 4}
    assert (times["seconds"] > 0).all()


@slow
def test_a_shell_draws_the_same_figure_of_the_same_cells_and_says_where_it_is(
    command, released: Path, home: Path
) -> None:
    drawn = command("3", *SHORT)
    options = [part for change in SHORT for part in ("--set", change)]
    given = ("--figure", "3", "--release", str(released), *options)
    done = run(home, "flows.reproduce_figure", *given)
    assert done.returncode == 0, done.stderr
    assert any("9/9" in line and "computed before" in line for line in done.stdout.splitlines())
    said = [line.partition(": ") for line in done.stdout.splitlines()[-4:]]
    assert [name for name, _, _ in said] == ["Picture", "Data", "Data", "Page"]
    (picture, *tables, page) = (Path(path.strip()) for _, _, path in said)
    assert "python -m flows.reproduce_figure --figure 3 --release" in page.read_text()
    # The page names its command, so that only it is another one.
    assert page.parent != drawn.folder
    for path in (picture, *tables):
        assert path.read_bytes() == (drawn.folder / path.name).read_bytes()


@pytest.mark.parametrize("name", ["4-imagenet", "8", "ImageNet"])
def test_figures_that_there_are_not_or_of_images_that_are_not_here_are_refused(
    command, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks import releases

    monkeypatch.setattr(releases, "find_release", None)
    with pytest.raises(SystemExit) as ending:
        command(name)
    assert ending.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    if name == "4-imagenet":
        assert last.startswith("evaluation.targets: those on imagenet2012 are not allowed; ")
        assert "lacks ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar" in last
    else:
        assert (
            f"argument --figure: {name!r} is not allowed; allowed: one of 2-mnist, 2, 3, " in last
        )
