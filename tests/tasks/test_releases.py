import dataclasses
from pathlib import Path

import pytest

from tasks import tracking
from tasks.references import ReleaseReference
from tasks.releases import find_release, logged_model_id

pytestmark = pytest.mark.filterwarnings("default")


@dataclasses.dataclass(frozen=True)
class Logged:
    """A release as MLflow has it."""

    mlflow_run_id: str
    model_uri: str


@pytest.fixture
def logged(home: Path, trained: ReleaseReference) -> Logged:
    from lopt import registry
    from lopt.loading import load

    with tracking.tracked("meta-train", {}) as mlflow_run_id:
        info = registry.log_model(load(trained.directory), "optimizer", run_id=mlflow_run_id)
    tracking.client().create_registered_model("learned-optimizer")
    tracking.client().create_model_version(
        "learned-optimizer", info.model_uri, model_id=info.model_id
    )
    tracking.client().set_registered_model_alias("learned-optimizer", "champion", "1")
    return Logged(mlflow_run_id, info.model_uri)


def test_a_logged_model_is_registered_as_it_is(logged: Logged, trained: ReleaseReference) -> None:
    found = find_release.fn(logged.model_uri)
    assert found.digest == trained.digest
    assert found.model_uri == logged.model_uri


@pytest.mark.parametrize(
    "uri",
    [
        "runs:/{mlflow_run_id}/optimizer",
        "models:/learned-optimizer/1",
        "models:/learned-optimizer@champion",
    ],
)
def test_what_only_leads_to_a_model_is_not_what_is_registered(
    logged: Logged, trained: ReleaseReference, uri: str
) -> None:
    # MLflow keeps such a URI as the version's source, and cannot load it again.
    found = find_release.fn(uri.format(mlflow_run_id=logged.mlflow_run_id))
    assert found.digest == trained.digest
    assert found.model_uri is None
    assert Path(found.directory, "config.json").is_file()


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("models:/m-0123", "m-0123"),
        ("models:/m-mine/1", None),
        ("models:/m-mine@champion", None),
        ("runs:/0123/m-mine", None),
        ("/folder/m-mine", None),
    ],
)
def test_the_id_of_a_logged_model_is_no_name_in_the_registry(
    uri: str, expected: str | None
) -> None:
    assert logged_model_id(uri) == expected
