"""Meta-training begins with what the conf says, and refuses what it cannot begin with."""

from pathlib import Path

import jax
import pytest

from tasks import initial_optimizers
from tasks.confs import MetaTrainingConf
from tasks.initial_optimizers import InitialReleaseError, initial_optimizer
from tasks.references import ReleaseReference
from tests.lopt.loops import OF_ONE_KIND

pytestmark = pytest.mark.filterwarnings("default")
KEY = jax.random.key(7)


def leaves(optimizer: object) -> list[bytes]:
    return [leaf.tobytes() for leaf in jax.device_get(jax.tree.leaves(optimizer))]


@pytest.mark.usefixtures("home")
def test_a_release_gives_its_meta_params_and_not_its_provenance(trained: ReleaseReference) -> None:
    from lopt.loading import load

    conf = MetaTrainingConf(initial_release=trained.directory)
    found = initial_optimizer(conf, KEY)
    assert leaves(found) == leaves(load(trained.directory))
    assert found.provenance is None
    assert initial_optimizers.refusal(conf) == []
    assert leaves(initial_optimizer(MetaTrainingConf(), KEY)) != leaves(found)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    "changes",
    [{"architecture": "LearnedAdam"}, {"preset": "paper"}, {"architecture_options": {"scales": 2}}],
)
def test_a_release_of_another_kind_is_refused_with_both_kinds(
    trained: ReleaseReference, changes: dict[str, object]
) -> None:
    conf = MetaTrainingConf(initial_release=trained.directory, **changes)
    (line,) = initial_optimizers.refusal(conf)
    assert f"{trained.directory} is HierarchicalRNN(" in line
    with pytest.raises(InitialReleaseError):
        initial_optimizer(conf, KEY)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("uri", ["models:/learned-optimizer@champion", "nowhere"])
def test_a_release_that_is_not_there_is_named_before_any_work(uri: str) -> None:
    (line,) = initial_optimizers.refusal(MetaTrainingConf(initial_release=uri))
    assert line.startswith(f"meta_training.initial_release: {uri} cannot be loaded: ")


@pytest.mark.usefixtures("home")
def test_a_damaged_release_is_refused(trained: ReleaseReference, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in Path(trained.directory).iterdir():
        content = bytearray(file.read_bytes())
        content[-1] ^= file.suffix == ".safetensors"
        (copy / file.name).write_bytes(content)
    (line,) = initial_optimizers.refusal(MetaTrainingConf(initial_release=str(copy)))
    assert "cannot be loaded" in line


@pytest.mark.parametrize("preset", ["release", "paper"])
def test_compiled_quickly_the_first_meta_params_have_the_same_bits(preset: str) -> None:
    import equinox as eqx

    from lopt.architectures import HierarchicalRNN

    conf = MetaTrainingConf(architecture="HierarchicalRNN", preset=preset)
    make = getattr(HierarchicalRNN, preset)
    # XLA's own, which tests have not.
    well = {"xla_backend_optimization_level": 3} | OF_ONE_KIND
    compiled_well = eqx.filter_jit(lambda key: make(key=key), compiler_options=well)
    for seed in range(3):
        key = jax.random.key(seed)
        quickly = initial_optimizers.new_optimizer(conf, key)
        assert leaves(quickly) == leaves(compiled_well(key))
