"""One Prefect server for all tests of flows, and one home with MLflow and compiled programs."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.conf_files import read_conf
from tasks.references import ReportReference
from tests.flows.short_runs import BOWLS, LENGTHS

SECTIONS = ("ensemble", "evaluation")
SWEEP = ("baselines=[Adam]", "learning_rates=[1e-3, 1e-2]")


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Start a Prefect server; its address."""
    from prefect.settings import get_current_settings
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield str(get_current_settings().api.url)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A LOPT_HOME for the tests of a module; MLflow's default is put back after it."""
    import mlflow

    path = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOPT_HOME", str(path))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield path
        mlflow.set_tracking_uri(None)


@pytest.fixture(scope="session")
def jax_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where processes find each other's compiled programs."""
    return tmp_path_factory.mktemp("jax")


@pytest.fixture(scope="module", autouse=True)
def jax_as_flows_need_it() -> Iterator[None]:
    """Promote dtypes as in a user's process, which optax's Adam needs, and compile fast."""
    import jax

    changes = {"jax_numpy_dtype_promotion": "standard", "jax_disable_most_optimizations": True}
    before = {name: jax.config.values[name] for name in changes}
    for name, value in changes.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture(scope="module")
def evaluate(
    home: Path, server: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., ReportReference]:
    """A function that evaluates a release, untrained as it is, on targets."""
    import jax

    from flows.evaluate_release import evaluate_release
    from lopt import release
    from lopt.architectures.learned_adam import LearnedAdam

    del home, server
    folder = tmp_path_factory.mktemp("releases") / "release"
    # What compiles fastest.
    release.save(LearnedAdam(key=jax.random.key(0)), folder)
    bowls = folder.with_name("bowls.yaml")
    bowls.write_text(BOWLS)

    def evaluate(*targets: str) -> ReportReference:
        named = f"targets=[{', '.join(targets)}]"
        changes = [f"ensemble.entries={bowls}", named, *LENGTHS, *SWEEP]
        conf = read_conf(None, changes, SECTIONS)
        sections: dict[str, Any] = {name: getattr(conf, name) for name in SECTIONS}
        return evaluate_release(**sections, release=str(folder))

    return evaluate


@pytest.fixture
def tars_of_imagenet(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """ImageNet, prepared by its own loader from tars of three classes: of digits, and few.

    Only for this test: others of the home are refused what is not prepared.
    """
    from lopt.datasets.streams.encoded_digits import read_digits
    from lopt.datasets.streams.imagenet import TRAIN
    from lopt.datasets.streams.preparation import prepare_source
    from tests.lopt.datasets.streams import published

    published.expect_few_classes(monkeypatch)
    published.publish_tars(tmp_path)
    digits = list(itertools.islice(read_digits("train"), 300))
    members = {
        f"{name}.tar": published.tar(
            tmp_path / "inner.tar",
            {f"{name}_{one.name}": one.content for one in digits if one.label == label},
        )
        for label, name in enumerate(published.CLASSES)
    }
    published.tar(tmp_path / TRAIN, members)
    images = sum(one.label < len(members) for one in digits)
    source = published.fewer("imagenet2012", images, 5)
    prepared = prepare_source(source, home / "datasets", tmp_path)
    yield
    shutil.rmtree(prepared.directory)
