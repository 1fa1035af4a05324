import re
from types import SimpleNamespace

import pytest

from tasks import terminal


def lines_of(written: str) -> list[str]:
    """What a terminal has shown, line by line, without its codes and what is empty."""
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written)
    return [line.rstrip() for line in re.split(r"[\r\n]", text) if line.strip()]


def test_without_a_terminal_the_last_step_is_a_line_and_the_quick_ones_are_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with terminal.stage("work", 3):
        for step in (1, 2, 3):
            terminal.reach(step, "fine")
    assert capsys.readouterr().out.split() == ["work", "3/3", "fine"]


def test_the_first_step_is_a_line_at_once_where_the_next_may_have_to_be_compiled(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with terminal.stage("work", 9, steady_from=3):
        for step in (1, 2, 3):
            terminal.reach(step, "fine")
    assert capsys.readouterr().out.split() == ["work", "1/9", "fine"]


def test_the_time_left_does_not_count_the_first_step_which_compiles(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 500.0, 520.0])
    monkeypatch.setattr(terminal, "time", SimpleNamespace(monotonic=lambda: next(now)))
    with terminal.stage("work", 100, completed=60):
        terminal.reach(61)
        terminal.reach(71)
    first, second = capsys.readouterr().out.splitlines()
    assert "left" not in first
    assert "work 71/100  0:58 left" in second


@pytest.mark.parametrize("width", [80, 120])
def test_a_bar_shows_all_numbers_and_no_more_than_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    with terminal.stage("optimizers x targets", 1000):
        terminal.reach(1000, "SGD+momentum on held_out/softmax_regression")
    line = lines_of(capsys.readouterr().out)[-1]
    assert len(line) <= width
    assert re.search(r"targets ━+ 1000/1000 \d:\d\d:\d\d left \d:\d\d:\d\d SGD\+", line)


@pytest.mark.parametrize("width", [80, 120])
def test_what_is_said_beside_a_bar_stands_on_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    with terminal.stage("work", 2):
        terminal.reach(1, "halfway")
        terminal.say("  something else")
        terminal.reach(2, "done")
    lines = lines_of(capsys.readouterr().out)
    assert [line for line in lines if "something" in line] == ["  something else"]


def test_a_step_that_is_reached_twice_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.stage("work", 3):
        terminal.reach(3, "done")
        terminal.reach(3, "done once more")
    assert capsys.readouterr().out.split() == ["work", "3/3", "done"]


def test_a_sentence_is_broken_between_words_on_a_terminal_and_not_in_a_log(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sentence = " ".join(["word"] * 100)
    terminal.paragraph(sentence)
    assert capsys.readouterr().out == sentence + "\n"
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    terminal.paragraph(sentence)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert " ".join(" ".join(lines).split()) == sentence


def test_outside_a_stage_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.reach(1, "unseen")
    assert capsys.readouterr().out == ""


def test_a_bar_on_a_terminal_says_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with terminal.stage("work", 4):
        terminal.reach(4, "fine")
    text = capsys.readouterr().out
    assert "4/4" in text
    assert "fine" in text
