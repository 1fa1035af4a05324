from pathlib import Path

import pytest

from tasks import settings


def test_a_home_that_cannot_be_written_to_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    monkeypatch.setenv("LOPT_HOME", str(file / "home"))
    monkeypatch.delenv("PREFECT_HOME", raising=False)
    with pytest.raises(
        SystemExit, match=r"home cannot be written to: Not a directory\. Set LOPT_HOME"
    ):
        settings.set_environment()


@pytest.mark.parametrize("name", ["what?", "100%20"])
def test_a_home_whose_database_would_lie_elsewhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("LOPT_HOME", str(tmp_path / name))
    with pytest.raises(SystemExit, match=r"has [?%] in its name.*Set LOPT_HOME"):
        settings.set_environment()
    assert list(tmp_path.iterdir()) == []


def test_what_the_user_has_set_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOPT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert settings.tracking_uri() == "http://127.0.0.1:5000"
    assert settings.artifact_location() is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            "postgresql+psycopg://lopt:s3%2Fcret@db:5432/mlflow",
            "postgresql+psycopg://db:5432/mlflow",
        ),
        ("http://ann:s3cret@127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("http://127.0.0.1:5000/@ann", "http://127.0.0.1:5000/@ann"),
        ("sqlite:////home/a@b/mlflow.db", "sqlite:////home/a@b/mlflow.db"),
    ],
)
def test_where_mlflow_records_is_said_without_a_password(
    monkeypatch: pytest.MonkeyPatch, given: str, said: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    assert settings.tracking_place() == said
