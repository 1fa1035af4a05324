"""Nothing of a model is downloaded or parsed before it is known to be of a size."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import mlflow
import pytest
from mlflow.entities import FileInfo
from mlflow.store.artifact import artifact_repository_registry
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from lopt import model_limits, registry
from lopt.architectures.global_learning_rate import GlobalLearningRate
from lopt.loading import load
from lopt.registry import RegistryError
from lopt.release import LARGEST_CONFIG, LARGEST_META_PARAMS, ReleaseError

# Both are said once, of mlflow 3.17's own code, while it is imported.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ..noload.. loader:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning"),
]

NAME = "learned-optimizer"
LIMITS = [
    ("MLmodel", model_limits.LARGEST_MLMODEL),
    ("release/config.json", LARGEST_CONFIG),
    ("release/meta_params.safetensors", LARGEST_META_PARAMS),
    ("another/file", model_limits.LARGEST_MODEL),
]


@pytest.fixture
def published(tracking: None, getkey: Callable[[], jax.Array]) -> Any:
    """A version in a store of files, where MLflow tells sizes as a server does."""
    with mlflow.start_run():
        info = registry.log_model(GlobalLearningRate(key=getkey()), "optimizer", NAME)
    client = mlflow.MlflowClient()
    client.set_registered_model_alias(NAME, "champion", info.registered_model_version)
    return info


@pytest.fixture
def folder(published: Any) -> Path:
    """Where the files of the version are."""
    location = mlflow.MlflowClient().get_logged_model(published.model_id).artifact_location
    return Path(location.removeprefix("file://"))


@pytest.fixture
def uris(published: Any) -> list[str]:
    return [f"models:/{NAME}@champion", f"runs:/{published.run_id}/optimizer", published.model_uri]


def grow(path: Path, size: int) -> None:
    """Make a file so large, which takes no room on the disk."""
    path.parent.mkdir(exist_ok=True)
    with path.open("ab") as file:
        file.truncate(size)


def refused(uri: str, kept: Path, said: str) -> None:
    """Nothing was downloaded to where it would have been kept, and `said` was said."""
    with pytest.raises(ReleaseError, match=said):
        registry.load_model(uri, dst_path=kept)
    assert not kept.exists()


@pytest.mark.parametrize(("path", "limit"), LIMITS)
def test_a_file_beyond_its_limit_is_named_with_both_sizes_and_nothing_is_downloaded(
    uris: list[str], folder: Path, tmp_path: Path, path: str, limit: int
) -> None:
    grow(folder / path, limit + 1)
    said = f"'{path}' has {limit + 1} bytes, and the limit is {limit}. Nothing was downloaded"
    for uri in [*uris, str(folder)]:
        refused(uri, tmp_path / "kept", re.escape(said))


def test_files_that_are_too_large_together_are_not_downloaded(
    uris: list[str], folder: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        grow(folder / name, model_limits.LARGEST_MODEL // 2)
    for uri in [*uris, str(folder)]:
        refused(uri, tmp_path / "kept", f"limit for a model is {model_limits.LARGEST_MODEL}")


def test_too_many_files_are_not_downloaded(uris: list[str], folder: Path, tmp_path: Path) -> None:
    for number in range(model_limits.MOST_FILES):
        (folder / str(number)).touch()
    for uri in [*uris, str(folder)]:
        refused(uri, tmp_path / "kept", f"more than {model_limits.MOST_FILES} files and folders")


def test_a_folder_without_an_end_is_left_at_the_limit(
    uris: list[str], folder: Path, tmp_path: Path
) -> None:
    (folder / "again").symlink_to(folder)
    for uri in uris:
        refused(uri, tmp_path / "kept", f"more than {model_limits.MOST_FILES} files and folders")
    assert load(folder)  # where a link is a link


def test_what_is_listed_is_what_is_downloaded_though_the_alias_moves_in_between(
    published: Any, getkey: Callable[[], jax.Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    with mlflow.start_run():
        info = registry.log_model(GlobalLearningRate(key=getkey()), "optimizer", NAME)
    client = mlflow.MlflowClient()
    location = client.get_logged_model(info.model_id).artifact_location
    grow(Path(location.removeprefix("file://")) / "MLmodel", model_limits.LARGEST_MLMODEL + 1)

    def checked(*arguments: Any) -> int:
        found = model_limits.check_limits(*arguments)
        client.set_registered_model_alias(NAME, "champion", "2")
        return found

    monkeypatch.setattr(registry, "check_limits", checked)
    assert load(f"models:/{NAME}@champion")
    with pytest.raises(ReleaseError, match="'MLmodel' has"):
        load(f"models:/{NAME}@champion")


class Reticent(LocalArtifactRepository):
    """A store that does not tell sizes, which MLflow lets a store do."""

    def __init__(self, artifact_uri: str, **others: Any) -> None:
        super().__init__(artifact_uri.replace("reticent:", "file:"), **others)

    def list_artifacts(self, path: str | None = None) -> list[Any]:
        return [FileInfo(one.path, one.is_dir, None) for one in super().list_artifacts(path)]


def test_of_a_store_that_tells_no_sizes_nothing_is_downloaded(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = artifact_repository_registry._artifact_repository_registry._registry
    monkeypatch.setitem(known, "reticent", Reticent)
    uri = folder.as_uri().replace("file:", "reticent:")
    said = "does not tell the size of 'MLmodel', or it is empty, so nothing was downloaded"
    refused(uri, tmp_path / "kept", said)


def test_a_file_alone_is_no_model_and_is_not_downloaded(
    published: Any, folder: Path, tmp_path: Path
) -> None:
    grow(folder / "README.md", model_limits.LARGEST_MODEL + 1)
    uri = f"runs:/{published.run_id}/optimizer/README.md"
    with pytest.raises(RegistryError, match="no model with files in it"):
        registry.load_model(uri, dst_path=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_of_an_mlmodel_that_has_grown_since_it_was_listed_no_more_is_read(folder: Path) -> None:
    grow(folder / "MLmodel", 2**33)
    with pytest.raises(ReleaseError, match=f"more than {model_limits.LARGEST_MLMODEL} bytes"):
        model_limits.read_mlmodel(folder)


def test_an_mlmodel_that_is_no_text_is_named(folder: Path) -> None:
    (folder / "MLmodel").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ReleaseError, match="is not an MLflow model"):
        load(folder)


def test_what_lopt_writes_is_far_from_every_limit(folder: Path) -> None:
    assert model_limits.check_limits(model_limits.local_listing(folder), "model") == 9
    assert (folder / "MLmodel").stat().st_size < model_limits.LARGEST_MLMODEL / 30


@pytest.mark.parametrize("uri", ["file:///a-model-of-nobody", "file:/a-model-of-nobody"])
def test_a_folder_below_the_root_is_not_looked_for_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    (tmp_path / "a-model-of-nobody").mkdir()
    (tmp_path / "a-model-of-nobody" / "MLmodel").write_text("flavors: {}")
    monkeypatch.chdir(tmp_path)
    store, folder = registry._store(uri)
    assert folder == "a-model-of-nobody"
    assert store.list_artifacts(folder) == []
