import os
import signal
import socket
from collections.abc import Callable, Iterator

import httpx
import pytest
from prefect.exceptions import TerminationSignal

from tasks.stopping import StoppedAtOnceError, heeded, stop_behind


@pytest.fixture
def handled() -> Iterator[None]:
    """Have both signals as at a terminal, however the tests were started and whatever ran before.

    Prefect, for one, has SIGTERM raise SystemExit from the first flow of a process on.
    """
    at_a_terminal = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in at_a_terminal.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("handled")
def test_a_first_signal_is_noted_and_a_second_one_ends_at_once(number: int) -> None:
    before, told = signal.getsignal(number), list[int]()
    with heeded(told.append) as wish:
        os.kill(os.getpid(), number)
        assert wish.number == number
        assert told == [number]
        with pytest.raises(StoppedAtOnceError):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


@pytest.mark.usefixtures("handled")
def test_a_wish_that_is_granted_is_what_the_signal_does_otherwise() -> None:
    with heeded() as wish, pytest.raises(KeyboardInterrupt):
        wish.grant(signal.SIGINT)
    # Nobody has told Python what SIGTERM is to do here.
    with heeded() as wish, pytest.raises(KeyboardInterrupt):
        wish.grant(signal.SIGTERM)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with heeded() as wish:
            os.kill(os.getpid(), signal.SIGINT)
        assert wish.number is None
    finally:
        signal.signal(signal.SIGINT, before)


def stopped_and(stop: BaseException, lose: Callable[[], object]) -> None:
    """Be stopped, and have something else go wrong while that is dealt with."""
    try:
        raise stop
    finally:
        lose()


def ask_a_server_that_is_gone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    httpx.get(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(143), TerminationSignal(15)])
def test_a_stop_is_found_behind_the_connection_that_prefect_lost_over_it(
    stop: BaseException,
) -> None:
    with pytest.raises(httpx.ConnectError) as lost:
        stopped_and(stop, ask_a_server_that_is_gone)
    assert stop_behind(lost.value) is stop is stop_behind(stop)


def test_an_error_of_our_own_is_no_stop_whatever_came_before_it() -> None:
    with pytest.raises(ValueError, match="invalid literal") as ours:
        stopped_and(KeyboardInterrupt(), lambda: int("x"))
    with pytest.raises(httpx.ConnectError) as lost:
        stopped_and(ValueError("no stop"), ask_a_server_that_is_gone)
    assert stop_behind(ours.value) is stop_behind(lost.value) is None
