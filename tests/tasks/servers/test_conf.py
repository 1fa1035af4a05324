import pytest

from tasks.conf_errors import ConfError
from tasks.servers.conf import ServersConf, read_servers


@pytest.fixture(autouse=True)
def no_other_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ServersConf.model_fields:
        monkeypatch.delenv(f"LOPT_{key.upper()}", raising=False)


def test_the_file_says_what_the_models_say() -> None:
    assert read_servers() == ServersConf()


def test_the_environment_goes_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOPT_PREFECT_PORT", "4300")
    monkeypatch.setenv("LOPT_START_SECONDS", "7.5")
    conf = read_servers()
    assert (conf.prefect_url, conf.start_seconds) == ("http://127.0.0.1:4300", 7.5)


@pytest.mark.parametrize("text", ["0", "65536", "http", "[5000]"])
def test_a_port_that_is_none_is_refused_with_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("LOPT_MLFLOW_PORT", text)
    with pytest.raises(ConfError) as error:
        read_servers()
    (line,) = error.value.lines
    assert line.startswith("mlflow_port: ")
    assert line.endswith("allowed: an integer from 1 to 65535")


def test_two_servers_at_one_port_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOPT_MLFLOW_PORT", "4200")
    with pytest.raises(ConfError, match="prefect_port and mlflow_port have to differ"):
        read_servers()
