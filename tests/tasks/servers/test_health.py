import socket
from pathlib import Path

import pytest

from tasks.servers import health


def test_a_program_whose_page_is_away_is_not_well(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/health"
    monkeypatch.setenv(health.URL_VARIABLE, url)
    with pytest.raises(SystemExit, match=f"{url} does not answer"):
        health.main()


def test_a_flow_is_well_where_it_can_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(health.URL_VARIABLE, raising=False)
    monkeypatch.setenv("LOPT_HOME", str(tmp_path / "home"))
    health.main()
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("LOPT_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(SystemExit, match="cannot be written to"):
        health.main()
