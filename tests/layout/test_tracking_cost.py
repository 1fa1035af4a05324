"""What the benchmark of tracking's cost leaves out is what a segment tells."""

from pathlib import Path
from typing import Any

from benchmarks.tracked_segments import nobody_told
from tasks.outbox import Outbox


def test_what_is_untracked_is_written_nowhere_and_sent_to_nobody(tmp_path: Path) -> None:
    sent: list[Any] = []

    class Store:
        def log(self, rows: Any, times: Any) -> None:
            del times
            sent.append(rows)

    outbox: Any = Outbox(tmp_path, Store())  # type: ignore[arg-type]
    with nobody_told():
        outbox.keep([(1, {"loss": 0.5})])
        outbox.send_if_there()
    assert not list(tmp_path.iterdir())
    assert not sent
    outbox.keep([(1, {"loss": 0.5})])
    outbox.send_if_there()
    assert sent
