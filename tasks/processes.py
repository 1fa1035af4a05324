"""The processes of one run, on one host or several, and what they say to each other.

Process 0 runs the flow: it alone writes, and owns the run in Prefect and MLflow. It says word by
word what all do next, and the others do it (`tasks.following`). Words go through the store of
JAX's coordination service, so that no device waits with them, and none is wasted while process
0 evaluates. Who dies is noticed by that service's heartbeats.
"""

import atexit
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from tasks import hosts
from tasks.conf_errors import ConfError
from tasks.heartbeats import SILENT_SECONDS, Beating, Listening
from tasks.hosts import Hosts
from tasks.stopping import ignore_signals

REFUSED = 2
"""Exit status for what is not valid, as for an option that there is not."""
JOIN_SECONDS = 300
"""How long processes wait for each other at the start."""
HEARTBEAT_SECONDS = 60
"""How long after a process has died without a word the others are ended."""
END_SECONDS = 20
"""How long process 0 waits at the end for the others, and a failed one for process 0."""
POLL_MILLISECONDS = 500
"""How long to wait for a word in one go: signals are only heeded in between."""
WORDS_KEPT = 8
"""Words that are not deleted yet; the others are at most two meta-training dispatches behind."""


GO_ON = "All processes end, and the same commands go on from the last checkpoint."


class CompanyError(RuntimeError):
    """The processes of a run cannot go on together; says which one is the reason."""


class Word(NamedTuple):
    """What all processes are to do next."""

    what: str
    facts: dict[str, Any]


class Presence(NamedTuple):
    """Where a process is, and whether it is to do the same as the others."""

    host: str
    cores: int
    conf: str
    code: str


class Company:
    """The processes of a run, as one of them sees them. Process 0 leads, the others follow."""

    def __init__(self, client: Any, number: int, count: int) -> None:
        self._client, self._words = client, 0
        self._listening = Listening()
        self._lost: set[int] = set()
        self._beating: Beating | None = None
        self._status: int | None = None
        self.number: Final = number
        self.count: Final = count
        self.present: tuple[Presence, ...] = ()

    def __str__(self) -> str:
        return f"process {self.number} of {self.count} on {socket.gethostname()}"

    @property
    def leads(self) -> bool:
        """Whether this is process 0."""
        return self.number == 0

    @property
    def left(self) -> bool:
        """Whether this process ends without the others."""
        return self._status is not None

    def say(self, what: str, **facts: Any) -> None:
        """Say what all do next; raise `CompanyError` if another process has failed."""
        self.check()
        self._say(what, facts)

    def next_word(self) -> Word:
        """Wait for what process 0 says; raise `SystemExit` when it says that this is the end."""
        self._words += 1
        word = Word(*json.loads(self._wait(f"word/{self._words}")))
        if word.what == "end":
            raise SystemExit(word.facts["status"])
        return word

    def arrive(self, value: str = "") -> None:
        """Tell process 0 that this one is ready for what comes after the last word."""
        self._set(f"arrived/{self._words}/{self.number}", value)

    def arrivals(self) -> list[str]:
        """Wait for all others to arrive, in order; raise `CompanyError` if one has failed."""
        others = range(1, self.count)
        return [self._wait(f"arrived/{self._words}/{number}") for number in others]

    def ask_to_stop(self, number: int) -> None:
        """Ask process 0 to stop the run, as if it had been sent this signal."""
        self._set("signal", str(number))

    def asked_to_stop(self) -> int | None:
        """Return the signal that another process has been sent, `None` for none."""
        found = self._found("signal")
        return None if found is None else int(found)

    def fail(self, reason: str) -> None:
        """Tell process 0 that this one cannot go on; what others say later is a consequence."""
        if self._found("failure") is None:
            self._set("failure", f"{self}: {reason}")

    def wait_for_end(self, seconds: float) -> None:
        """Raise `SystemExit` if process 0 says within that time that this is the end."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            if self._found(f"word/{self._words + 1}") is None:
                time.sleep(0.1)
            else:
                self.next_word()

    def check(self) -> None:
        """Raise `CompanyError` if another process has said that it cannot go on."""
        found = self._found("failure")
        if found is not None:
            raise CompanyError(f"The run cannot go on without {found} {GO_ON}")

    def end(self, status: int) -> None:
        """Say with which exit status all end, and wait for the others, but not for ever."""
        if not self.leads:
            self._stop_beating()
            self._set(f"gone/{self.number}", "")
            return
        self._say("end", {"status": status})
        limit = time.monotonic() + END_SECONDS
        waited_for = set(range(1, self.count)) - self._lost
        while any(self._found(f"gone/{other}") is None for other in waited_for):
            if time.monotonic() > limit:
                self.leave(status)
                break
            time.sleep(0.05)
        if self._lost:
            self.leave(status)

    def leave(self, status: int) -> None:
        """Let this process end with this exit status without waiting for the others."""
        self._stop_beating()
        self._status = status

    def begin_beating(self) -> None:
        """Give process 0 signs of life from now on."""
        self._beating = Beating(lambda count: self._set(f"alive/{self.number}", str(count)))

    def _stop_beating(self) -> None:
        if self._beating is not None:
            self._beating.stop()

    def _say(self, what: str, facts: dict[str, Any]) -> None:
        self._words += 1
        self._set(f"word/{self._words}", json.dumps(Word(what, facts)))
        if self._words > WORDS_KEPT:
            self._client.key_value_delete(f"lopt/word/{self._words - WORDS_KEPT}")

    def _wait(self, key: str) -> str:
        from jax.errors import JaxRuntimeError

        while True:
            try:
                return str(self._client.blocking_key_value_get(f"lopt/{key}", POLL_MILLISECONDS))
            except JaxRuntimeError as error:
                if "DEADLINE_EXCEEDED" not in str(error):
                    raise CompanyError(f"{self} has lost process 0: {error}") from None
            if self.leads:
                self.check()
                self._listen()

    def _listen(self) -> None:
        signs = {number: self._found(f"alive/{number}") for number in range(1, self.count)}
        self._lost.update(self._listening.silent(signs, time.monotonic()))
        if self._lost:
            raise CompanyError(
                f"{self} cannot go on: no sign of life from {self._names()} for "
                f"{SILENT_SECONDS:.0f} seconds. {GO_ON}"
            )

    def _names(self) -> str:
        hosts_of = dict(enumerate(self.present))
        names = [
            f"process {number}" + (f" on {hosts_of[number].host}" if number in hosts_of else "")
            for number in sorted(self._lost)
        ]
        return " and ".join(names)

    def _set(self, key: str, value: str) -> None:
        self._client.key_value_set(f"lopt/{key}", value, allow_overwrite=True)

    def _found(self, key: str) -> str | None:
        from jax.errors import JaxRuntimeError

        try:
            return str(self._client.key_value_try_get(f"lopt/{key}"))
        except JaxRuntimeError as error:
            if "NOT_FOUND" not in str(error):
                raise
            return None

    def _leave_at_exit(self) -> None:
        """End here and now, for JAX would wait for the others and then abort."""
        if self._status is not None:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(self._status)


_joined: list[Company] = []


def company() -> Company | None:
    """Return the processes that this one has joined, `None` if it is alone."""
    return _joined[0] if _joined else None


def leave(status: int) -> None:
    """Let this process, if it has joined others, end without waiting for them."""
    found = company()
    if found is not None:
        found.leave(status)


def refuse_elsewhere() -> None:
    """Raise `ConfError` if there should be several processes and this one has joined none.

    Those that a flow's command starts have; a flow that is started otherwise would be alone.
    """
    if company() is not None or not (hosts.mistakes() or hosts.hosts()):
        return
    raise ConfError(
        [
            f"{' or '.join(hosts.named())}: names several processes; allowed: only where "
            "the flow's command, python -m flows.NAME, is started on each host, or a worker's "
            "command is python -m tasks.together"
        ]
    )


def join(wanted: Hosts, presence: Presence) -> Company:
    """Wait until all processes are there and make sure that they are to do the same.

    Has to come before JAX looks for devices. Raises `ConfError`, on process 0 alone, if one was
    started with another conf or other code.
    """
    import jax

    # It would take SIGTERM for itself; processes are stopped by `tasks.stopping`.
    jax.config.update("jax_enable_preemption_service", False)
    _refuse_taken(wanted)
    with _time_limit(wanted):
        try:
            jax.distributed.initialize(
                wanted.coordinator,
                wanted.processes,
                wanted.number,
                # Without a word it would look for a cluster even though everything is said.
                cluster_detection_method=wanted.cluster or "deactivate",
                coordinator_bind_address=wanted.bound_to,
                # Not its own limit, at which it aborts.
                initialization_timeout=2 * JOIN_SECONDS,
                heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
                shutdown_timeout_seconds=END_SECONDS,
            )
        except (RuntimeError, ValueError) as error:
            raise ConfError([_not_joined(wanted, str(error).splitlines()[0])]) from None
    found = _company()
    _joined.append(found)
    # JAX's own is there already, and what Prefect registers comes later: it is called in between.
    atexit.register(found._leave_at_exit)
    _meet(found, presence)
    return found


def _company() -> Company:
    # JAX has no public way to its store, which needs no device; orbax takes it from here, too.
    from jax._src.distributed import global_state

    return Company(global_state.client, global_state.process_id, global_state.num_processes)


def _meet(found: Company, presence: Presence) -> None:
    if not found.leads:
        found.begin_beating()
        found.arrive(json.dumps(presence))
        return
    others = [Presence(*json.loads(text)) for text in found.arrivals()]
    found.present = (presence, *others)
    lines = [
        f"process {number} of {found.count} on {other.host}: has {what}; allowed: the same on "
        "all, which begin with the same command"
        for number, other in enumerate(others, start=1)
        for what in _differences(presence, other)
    ]
    if lines:
        raise ConfError(lines)


def _differences(one: Presence, other: Presence) -> list[str]:
    found = {
        "another conf than process 0": one.conf != other.conf,
        "other code or packages than process 0": one.code != other.code,
    }
    return [what for what, differs in found.items() if differs]


def _refuse_taken(wanted: Hosts) -> None:
    """Raise `ConfError` where process 0 could not listen, of which JAX's service would die."""
    if wanted.number != 0 or wanted.coordinator is None:
        return
    host, _, port = wanted.coordinator.rpartition(":")
    try:
        with socket.create_server((host if wanted.bound_to else "", int(port))):
            return
    except OSError as error:
        reason = f"process 0 cannot listen there ({error.strerror})"
    raise ConfError(
        [f"{hosts.COORDINATOR}: {wanted.coordinator!r}: {reason}; allowed: a port that is free"]
    )


@contextmanager
def _time_limit(wanted: Hosts) -> Iterator[None]:
    """End this process, with what to do in a line, if joining takes too long."""

    def end() -> None:
        sys.stderr.write(_not_joined(wanted, f"waited {JOIN_SECONDS} seconds") + "\n")
        sys.stderr.flush()
        os._exit(REFUSED)

    timer = threading.Timer(JOIN_SECONDS, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _not_joined(wanted: Hosts, reason: str) -> str:
    where = wanted.coordinator or f"the address that {wanted.cluster} says"
    return (
        f"processes: could not join the others at {where}: {reason}; allowed: the same command "
        "on each host, begun within that time, where process 0 can be reached, each with a "
        "number of its own"
    )


@contextmanager
def ending_together() -> Iterator[None]:
    """End all processes, if others are joined, with the exit status of what is done inside."""
    status = 1
    try:
        yield
        status = 0
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
        raise
    finally:
        found = company()
        if found is not None and not found.left:
            # An end that is interrupted is an abort, and of all processes.
            ignore_signals()
            found.end(status)
