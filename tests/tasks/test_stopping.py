import os
import signal

import pytest

from tasks.stopping import StoppedAtOnceError, heeded


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_first_signal_is_noted_and_a_second_one_ends_at_once(number: int) -> None:
    before, told = signal.getsignal(number), list[int]()
    with heeded(told.append) as wish:
        os.kill(os.getpid(), number)
        assert wish.number == number
        assert told == [number]
        with pytest.raises(StoppedAtOnceError):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_a_wish_that_is_granted_is_what_the_signal_does_otherwise() -> None:
    with heeded() as wish, pytest.raises(KeyboardInterrupt):
        wish.grant(signal.SIGINT)
    # Nobody has told Python what SIGTERM is to do here.
    with heeded() as wish, pytest.raises(KeyboardInterrupt):
        wish.grant(signal.SIGTERM)
