"""Which programs are compiled ahead of need, and how many at once."""

import subprocess
import sys
import threading

import jax
import pytest

from lopt import compiled_programs
from lopt.architectures import GlobalLearningRate
from lopt.compiled_programs import TooManyProgramsError
from lopt.meta_training import MetaTraining, ahead, init_meta_state
from lopt.meta_training.schedule import Schedule

SCHEDULE = Schedule(weights=(1.0, 1.0, 1.0), groups_per_step=1, steps_per_turn=10)


def compiling(schedule, done=0, last_meta_step=None):
    training = MetaTraining()
    optimizer = GlobalLearningRate.release(key=jax.random.key(0))
    state = init_meta_state(training, optimizer, (), jax.random.key(0))
    return ahead.compiling_ahead(training, (), state, schedule, None, done, last_meta_step)


@pytest.fixture
def compiled(monkeypatch):
    """The bundles that are compiled, in the order in which they are begun."""
    begun = []
    monkeypatch.setattr(ahead, "compile_turn", lambda *given: begun.append(given[3].bundle))
    monkeypatch.setattr(ahead, "MOST_AT_ONCE", 1)
    return begun


@pytest.mark.parametrize(
    ("done", "last_meta_step", "bundles"),
    [(0, None, [0, 1, 2]), (15, None, [1, 2, 0]), (15, 25, [1, 2]), (15, 18, [1])],
)
def test_bundles_are_compiled_in_the_order_of_need_and_no_others(
    compiled, done, last_meta_step, bundles
):
    with compiling(SCHEDULE, done, last_meta_step) as programs:
        for bundle in bundles:
            programs.wait_for(bundle)
            assert bundle in compiled
            programs.wait_for(bundle)
    assert compiled == bundles


def test_a_single_bundle_is_left_to_its_first_run(compiled):
    schedule = Schedule(weights=(1.0,), groups_per_step=1, steps_per_turn=10)
    with compiling(schedule) as programs:
        programs.wait_for(0)
    assert compiled == []


@pytest.mark.skipif(not compiled_programs.MAPPINGS.exists(), reason="Linux alone counts mappings")
def test_programs_for_which_there_is_no_room_are_refused_but_not_those_that_are_there(
    compiled, monkeypatch, tmp_path
):
    limit, schedule = tmp_path / "limit", Schedule((1.0, 1.0), groups_per_step=1, steps_per_turn=10)
    monkeypatch.setattr(compiled_programs, "LIMIT", limit)
    ahead._refuse_once.cache_clear()
    limit.write_text("10")
    with compiling(schedule) as programs:
        for bundle in range(2):
            with pytest.raises(TooManyProgramsError):
                programs.wait_for(bundle)
    assert compiled == []
    limit.write_text(str(10**9))
    for _segment in range(2):
        with compiling(schedule) as programs:
            programs.wait_for(0)
            programs.wait_for(1)
        limit.write_text("10")
    assert compiled == [0, 1, 0, 1]
    ahead._refuse_once.cache_clear()


def test_what_compiling_raises_is_raised_where_the_program_is_waited_for(monkeypatch):
    def refuse(*given):
        raise ValueError("no such program")

    monkeypatch.setattr(ahead, "compile_turn", refuse)
    with (
        compiling(SCHEDULE) as programs,
        pytest.raises(ValueError, match="no such program"),
    ):
        programs.wait_for(0)


@pytest.mark.parametrize(("cores", "at_once"), [(1, 1), (3, 3), (64, 4)])
def test_no_more_are_compiled_at_once_than_cores_may_be_used_and_never_many(
    cores, at_once, monkeypatch
):
    """Each of them waits until all are asked for: whoever has nothing to do is not begun."""
    asked_for, before = threading.Event(), set(threading.enumerate())
    monkeypatch.setattr(ahead, "usable_cores", lambda: cores)
    monkeypatch.setattr(ahead, "compile_turn", lambda *given: asked_for.wait(60))
    schedule = Schedule(weights=(1.0,) * 9, groups_per_step=1, steps_per_turn=10)
    with compiling(schedule) as programs:
        begun = len(set(threading.enumerate()) - before)
        asked_for.set()
        for bundle in range(9):
            programs.wait_for(bundle)
    assert begun == at_once


NEVER_CLOSED = """
import sys, threading, time
import jax
from lopt.architectures import GlobalLearningRate
from lopt.meta_training import MetaTraining, ahead, init_meta_state
from lopt.meta_training.schedule import Schedule

begun = threading.Event()

def compile_turn(training, groups, state, turn, mesh):
    print("begun", turn.bundle, flush=True)
    begun.set()
    time.sleep(1)
    print("done", turn.bundle, flush=True)

ahead.compile_turn, ahead.MOST_AT_ONCE = compile_turn, 1
training = MetaTraining()
optimizer = GlobalLearningRate.release(key=jax.random.key(0))
state = init_meta_state(training, optimizer, (), jax.random.key(0))
schedule = Schedule(weights=(1.0, 1.0, 1.0), groups_per_step=1, steps_per_turn=10)
opened = ahead.compiling_ahead(training, (), state, schedule, None, 0, None)
opened.__enter__()
begun.wait()
sys.exit(3)
"""


def test_a_process_that_ends_waits_for_what_is_being_compiled_and_begins_no_more():
    """As when it is stopped between two meta-steps, with whatever held their iterator alive."""
    ended = subprocess.run(
        [sys.executable, "-c", NEVER_CLOSED],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.stdout.splitlines() == ["begun 0", "done 0"], ended.stderr
    assert ended.returncode == 3
