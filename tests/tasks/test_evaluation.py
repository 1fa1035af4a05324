"""What is kept of evaluations, and what is refused; the evaluations themselves are stand-ins."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tasks import evaluation
from tasks.confs import DEFAULTS
from tasks.evaluation import (
    NotHeldOutError,
    check_held_out,
    evaluate_baselines,
    evaluate_learned,
)
from tasks.references import DataSetReference, EnsembleReference, ReleaseReference

if TYPE_CHECKING:
    from lopt.evaluation import Report

HELD_OUT = EnsembleReference(path="x.parquet", digest="a" * 64, entries=3, programs=2)
DIGITS = DataSetReference(name="digits", version="1", digest="b" * 64, directory="x", counts={})


@pytest.fixture
def computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_report: "Callable[..., Report]"
) -> list[Any]:
    """Grows at each evaluation, which is the same random one each time."""
    cells = make_report((1e-3, 1e-2), {}).cells
    calls: list[Any] = []

    def stand_in(conf: Any, held_out: Any, digits: Any, candidates: Any, first: int) -> Any:
        calls.append(candidates)
        return [cell for cell in cells if cell.optimizer in {one.name for one in candidates}]

    monkeypatch.setenv("LOPT_HOME", str(tmp_path))
    monkeypatch.setattr(evaluation, "_cells", stand_in)
    return calls


def baselines() -> Path:
    return Path(evaluate_baselines.fn(DEFAULTS.evaluation, HELD_OUT, DIGITS))


def test_baselines_are_computed_once(computed: list[Any]) -> None:
    assert baselines() == baselines()
    assert len(computed) == 1


@pytest.mark.parametrize("file", ["report.json", "curves.parquet"])
def test_damaged_baselines_are_put_aside_with_a_line_and_computed_again(
    computed: list[Any], capsys: pytest.CaptureFixture[str], file: str
) -> None:
    from lopt.evaluation import Report

    directory = baselines()
    sound = Report.read(directory).digest
    (directory / file).write_bytes(b"{")
    capsys.readouterr()
    assert baselines() == directory
    assert len(computed) == 2
    assert Report.read(directory).digest == sound
    (aside,) = directory.parent.glob("damaged-*")
    assert (aside / file).read_bytes() == b"{"
    assert f"{directory.name} is damaged: now in {aside}" in capsys.readouterr().out


def test_a_damaged_report_is_put_aside_and_written_again(
    computed: list[Any], trained: ReleaseReference
) -> None:
    from lopt.evaluation import Report

    def learned() -> Path:
        done = evaluate_learned.fn(DEFAULTS.evaluation, HELD_OUT, DIGITS, trained, str(baselines()))
        return Path(done.directory)

    (learned() / "scores.parquet").write_bytes(b"")
    assert Report.read(learned()).optimizers == ("learned", "Adam")


def test_what_a_release_was_trained_on_is_not_held_out(trained: ReleaseReference) -> None:
    seen = HELD_OUT.model_copy(update={"digest": "e" * 64})
    with pytest.raises(NotHeldOutError, match=r"held_out_seed = 1000000 draws: nothing would be"):
        check_held_out(DEFAULTS.evaluation, seen, trained)
