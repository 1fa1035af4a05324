"""What is taken from the registry is the optimizer that was put there."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import mlflow
import numpy as np
import optax
import pytest

from lopt import registry, release
from lopt.architectures.base import LearnedOptimizer
from lopt.architectures.hierarchical_rnn import HierarchicalRNN
from lopt.loading import load
from lopt.provenance import Provenance
from lopt.registry import RegistryError
from lopt.release import ReleaseError

# Both are said once, of mlflow 3.17's own code, while it is imported.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ..noload.. loader:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning"),
]

NAME = "learned-optimizer"
PROVENANCE = Provenance(lopt_version="0.1.0", seed=5, git_commit="abc", conf='{"a|b": 1}')
GRADIENTS = np.array([[0.3, -2.0, 1e-4], [0.1, -1.0, 0.0], [-0.2, 0.0, 5.0]], np.float32)


@pytest.fixture
def optimizer(getkey: Callable[[], jax.Array]) -> LearnedOptimizer:
    return HierarchicalRNN.release(key=getkey()).with_provenance(PROVENANCE)


@pytest.fixture
def published(tracking: None, optimizer: LearnedOptimizer) -> Any:
    with mlflow.start_run():
        mlflow.log_metric("meta/loss", -1.5, step=20)
        info = registry.log_model(optimizer, "optimizer", registered_model_name=NAME, step=20)
    client = mlflow.MlflowClient()
    client.set_registered_model_alias(NAME, "champion", info.registered_model_version)
    return info


def updates(optimizer: LearnedOptimizer) -> list[bytes]:
    """The bits of some updates of params of two tensors."""
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(_three_updates(optimizer))]


@eqx.filter_jit
def _three_updates(optimizer: LearnedOptimizer) -> list[Any]:
    transformation = optimizer.transformation()
    params = {"w": jnp.ones((2, 3)), "b": jnp.zeros(2)}
    opt_state, found = transformation.init(params), []
    for step in range(3):
        gradient = jax.tree.map(jnp.cos, optax.tree.scale(step + 1, params))
        update, opt_state = transformation.update(gradient, opt_state, params)
        found.append(update)
    return found


def test_by_alias_version_run_model_and_path_it_is_the_same_optimizer(
    published: Any, optimizer: LearnedOptimizer, tmp_path: Path
) -> None:
    registry.save_model(optimizer, tmp_path / "model")
    release.save(optimizer, tmp_path / "release")
    uris = [
        f"models:/{NAME}@champion",
        f"models:/{NAME}/1",
        f"runs:/{published.run_id}/optimizer",
        published.model_uri,
        tmp_path / "model",
        tmp_path / "release",
        str(tmp_path / "release"),
    ]
    expected = updates(optimizer)
    for uri in uris:
        loaded = load(uri)
        assert loaded.provenance == PROVENANCE
        assert updates(loaded) == expected, uri


def test_the_pyfunc_flavour_computes_the_updates_of_the_optimizer(
    published: Any, optimizer: LearnedOptimizer
) -> None:
    model = mlflow.pyfunc.load_model(f"models:/{NAME}@champion")
    transformation = optimizer.transformation(0.01)
    opt_state, expected = transformation.init(jnp.zeros(3)), []
    for gradient in GRADIENTS:
        update, opt_state = transformation.update(jnp.asarray(gradient), opt_state)
        expected.append(update)
    found = model.predict(GRADIENTS, params={"initial_learning_rate": 0.01})
    # The loop is compiled there and is not here; rounding differs by a few units in the last place.
    np.testing.assert_allclose(found, np.stack(expected), rtol=1e-5, atol=1e-9)
    assert found.dtype == np.float32


def test_the_model_says_how_it_is_called_and_its_example_works(published: Any) -> None:
    model = mlflow.pyfunc.load_model(published.model_uri)
    np.testing.assert_array_equal(model.input_example, registry.INPUT_EXAMPLE)
    assert model.predict(model.input_example).shape == registry.INPUT_EXAMPLE.shape
    inputs = model.metadata.signature.inputs.inputs[0]
    assert (inputs.type, inputs.shape) == (np.dtype("float32"), (-1, -1))
    with pytest.raises(mlflow.MlflowException, match="float32"):
        model.predict(GRADIENTS.astype(np.float64))


def test_the_artifact_holds_text_and_numbers_only(
    optimizer: LearnedOptimizer, tmp_path: Path
) -> None:
    registry.save_model(optimizer, tmp_path / "model")
    files = {str(p.relative_to(tmp_path / "model")) for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {
        "MLmodel",
        "README.md",
        "conda.yaml",
        "input_example.json",
        "python_env.yaml",
        "release/config.json",
        "release/meta_params.safetensors",
        "requirements.txt",
    }
    flavors = mlflow.models.Model.load(str(tmp_path / "model")).flavors
    assert set(flavors) == {"lopt", "python_function"}
    assert flavors["python_function"]["loader_module"] == "lopt.registry"
    assert not any("code" in flavor for flavor in flavors.values())


def test_the_registered_version_carries_card_metrics_and_digest(
    published: Any, optimizer: LearnedOptimizer, tmp_path: Path
) -> None:
    client = mlflow.MlflowClient()
    card = client.get_model_version_by_alias(NAME, "champion").description
    assert f'lopt.load("models:/{NAME}/1")' in card
    assert "HierarchicalRNN, version 1" in card
    assert "`git_commit` | `abc`" in card
    model = client.get_logged_model(published.model_id)
    assert [(metric.key, metric.value) for metric in model.metrics] == [("meta/loss", -1.5)]
    digest = release.digest(release.save(optimizer, tmp_path / "release"))
    assert published.metadata == {"architecture": "HierarchicalRNN", "release_digest": digest}


@pytest.mark.parametrize("registered", [None, "another-name"])
def test_the_readme_of_a_logged_model_says_how_that_model_is_loaded(
    tracking: None, optimizer: LearnedOptimizer, registered: str | None, tmp_path: Path
) -> None:
    with mlflow.start_run():
        info = registry.log_model(optimizer, "optimizer", registered_model_name=registered)
    folder = mlflow.artifacts.download_artifacts(info.model_uri, dst_path=str(tmp_path))
    readme = Path(folder, "README.md").read_text(encoding="utf-8")
    (uri,) = re.findall(r'lopt\.load\("(.*)"\)', readme)
    assert updates(load(uri)) == updates(optimizer)


def test_the_readme_of_a_saved_model_names_no_registered_one(
    optimizer: LearnedOptimizer, tmp_path: Path
) -> None:
    registry.save_model(optimizer, tmp_path / "model")
    readme = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "models:/" not in readme
    assert 'lopt.load("the/folder/of/this/file")' in readme


def test_a_run_can_be_named_where_none_is_active(
    tracking: None, optimizer: LearnedOptimizer
) -> None:
    client = mlflow.MlflowClient()
    experiment = client.create_experiment("another than the active one")
    run = client.create_run(experiment)
    info = registry.log_model(optimizer, "optimizer", run_id=run.info.run_id, tags={"a": "b"})
    model = client.get_logged_model(info.model_id)
    assert (info.run_id, model.experiment_id) == (run.info.run_id, experiment)
    assert (model.status, model.tags["a"]) == ("READY", "b")
    assert not client.search_registered_models()
    assert load(f"runs:/{run.info.run_id}/optimizer").provenance == PROVENANCE


def test_registering_again_makes_a_new_version_and_moves_no_alias(
    published: Any, getkey: Callable[[], jax.Array]
) -> None:
    other = HierarchicalRNN.release(key=getkey())
    with mlflow.start_run():
        registry.log_model(other, "optimizer", registered_model_name=NAME)
    assert load(f"models:/{NAME}@champion").provenance == PROVENANCE
    assert updates(load(f"models:/{NAME}/2")) == updates(other)
    assert updates(load(f"models:/{NAME}/latest")) == updates(other)


@pytest.mark.parametrize(
    ("uri", "there_is"),
    [
        (f"models:/{NAME}@nope", r"Aliases of '.*': champion \(version 1\); versions: 1\."),
        (f"models:/{NAME}/7", r"versions: 1\."),
        ("models:/other@champion", rf"Registered models: {NAME}\. If this is the wrong registry"),
        ("models:/m-0123", rf"Registered models: {NAME}"),
        ("models:/", r"models:/"),
        ("runs:/{run}/nope", r"Models of that run: optimizer\."),
        ("runs:/0123456789abcdef/optimizer", r"could not be listed either: .*0123456789abcdef"),
    ],
)
def test_what_is_not_there_is_answered_by_what_is(published: Any, uri: str, there_is: str) -> None:
    uri = uri.replace("{run}", published.run_id)
    with pytest.raises(RegistryError, match=there_is):
        load(uri)


def test_an_empty_registry_says_that_it_is_empty(tracking: None) -> None:
    with pytest.raises(RegistryError, match=r"Registered models: none\."):
        load(f"models:/{NAME}@champion")


def test_a_model_of_another_flavour_is_refused_and_not_run(tracking: None, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    model = mlflow.models.Model()
    mlflow.pyfunc.add_to_model(model, loader_module="evil", code=".")
    model.save(str(folder / "MLmodel"))
    with pytest.raises(ReleaseError, match="has the flavours python_function, but not 'lopt'"):
        load(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("flavor", ["lopt", "python_function"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("loader_module", "evil"),
        ("code", "code"),
        ("model_code_path", "evil.py"),
        ("python_model", "python_model.pkl"),
    ],
)
def test_code_beside_our_flavour_is_refused_and_not_run(
    optimizer: LearnedOptimizer, tmp_path: Path, flavor: str, key: str, value: str
) -> None:
    folder = tmp_path / "model"
    registry.save_model(optimizer, folder)
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    model = mlflow.models.Model.load(str(folder))
    model.flavors[flavor][key] = value
    model.save(str(folder / "MLmodel"))
    with pytest.raises(ReleaseError, match=f"{key} is '{value}', which lopt never writes"):
        load(folder)
    assert not (tmp_path / "ran").exists()


def test_a_release_put_in_place_of_another_is_refused(
    optimizer: LearnedOptimizer, tmp_path: Path, getkey: Callable[[], jax.Array]
) -> None:
    registry.save_model(optimizer, tmp_path / "model")
    shutil.rmtree(tmp_path / "model" / "release")
    release.save(HierarchicalRNN.release(key=getkey()), tmp_path / "model" / "release")
    with pytest.raises(ReleaseError, match="'release_digest' differs"):
        load(tmp_path / "model")


def test_a_flipped_bit_in_the_artifact_is_refused(
    optimizer: LearnedOptimizer, tmp_path: Path
) -> None:
    registry.save_model(optimizer, tmp_path / "model")
    path = tmp_path / "model" / "release" / "meta_params.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ReleaseError, match="was changed"):
        load(tmp_path / "model")


@pytest.mark.parametrize("flavor", ["lopt", "python_function"])
@pytest.mark.parametrize("data", ["../elsewhere", "/etc", "release/../../elsewhere"])
def test_a_path_that_climbs_out_of_the_artifact_is_refused(
    optimizer: LearnedOptimizer, tmp_path: Path, flavor: str, data: str
) -> None:
    registry.save_model(optimizer, tmp_path / "model")
    model = mlflow.models.Model.load(str(tmp_path / "model"))
    model.flavors[flavor]["data"] = data
    model.save(str(tmp_path / "model" / "MLmodel"))
    with pytest.raises(ReleaseError, match="has to be the folder 'release' of the model itself"):
        load(tmp_path / "model")


def test_a_link_in_place_of_the_release_is_refused(
    optimizer: LearnedOptimizer, tmp_path: Path
) -> None:
    registry.save_model(optimizer, tmp_path / "model")
    (tmp_path / "model" / "release").rename(tmp_path / "elsewhere")
    (tmp_path / "model" / "release").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ReleaseError, match="the data is a link"):
        load(tmp_path / "model")


@pytest.mark.parametrize("content", [None, "flavors: [1", "a: 1", "- 1", ""])
def test_a_directory_that_is_no_model_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "MLmodel").write_text(content)
    with pytest.raises(ReleaseError, match=str(tmp_path)):
        registry.load_model(str(tmp_path))


def test_a_model_is_never_overwritten(optimizer: LearnedOptimizer, tmp_path: Path) -> None:
    registry.save_model(optimizer, tmp_path / "model")
    with pytest.raises(ReleaseError, match="holds a model already"):
        registry.save_model(optimizer.with_provenance(None), tmp_path / "model")


def test_the_artifact_is_kept_where_it_was_asked_to_be(published: Any, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    registry.load_model(f"models:/{NAME}@champion", dst_path=kept)
    assert list(kept.rglob("meta_params.safetensors"))


def test_loading_says_nothing_but_mlflows_progress(
    published: Any, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    capfd.readouterr()
    load(f"models:/{NAME}@champion")
    assert capfd.readouterr() == ("", "")


WITHOUT_MLFLOW = """
import sys
sys.modules["mlflow"] = None
from lopt.loading import load
print(load(sys.argv[1]).provenance.seed)
try:
    load("models:/learned-optimizer@champion")
except ImportError as error:
    print(error)
"""


def test_without_mlflow_releases_load_and_the_registry_says_what_to_install(
    optimizer: LearnedOptimizer, tmp_path: Path
) -> None:
    release.save(optimizer, tmp_path / "release")
    command = [sys.executable, "-W", "error", "-c", WITHOUT_MLFLOW, str(tmp_path / "release")]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    first, second = result.stdout.splitlines()
    assert first == "5"
    assert "pip install lopt[mlflow]" in second


def test_requirements_are_the_installed_version_of_lopt(tmp_path: Path) -> None:
    (requirement,) = registry.get_default_pip_requirements()
    assert requirement.startswith("lopt[mlflow]")
    assert {"pip": [requirement]} in registry.get_default_conda_env()["dependencies"]
    json.dumps(registry.get_default_conda_env())
