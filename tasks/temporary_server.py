"""The server that Prefect's client starts for a flow where nobody has named one, and Ctrl-C."""

import contextvars
import logging
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from prefect.context import SettingsContext, get_settings_context
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, get_current_settings

if TYPE_CHECKING:
    from prefect.server.api.server import SubprocessASGIServer

SERVERS = "prefect.server.api.server"
SECONDS_TO_ANSWER = 2.0


def start_out_of_reach() -> None:
    """Start it, if the flow to come would, as a process that a terminal's Ctrl-C does not end.

    A terminal sends Ctrl-C to all that a command has started. Without its server Prefect cannot
    be told that the flow was stopped, and waits for minutes until it has given up.
    """
    server = _one_to_come()
    if server is None:
        return
    # What blocks a signal hands that down to what it starts. This thread has to hear it.
    aside = ThreadPoolExecutor(1, initializer=_block_ctrl_c)
    started = aside.submit(contextvars.copy_context().run, server.start)
    aside.shutdown(wait=False)
    started.result()
    _be_silent_about_its_end()


def _be_silent_about_its_end() -> None:
    """Let Prefect not write on the terminal, without an end of line, that nobody takes its lines.

    It dies of the same SIGTERM as this command, and is sooner at its end.
    https://docs.python.org/3.11/library/logging.html#logging.raiseExceptions
    """
    logging.raiseExceptions = False
    for handler in logging.getLogger("prefect._internal").handlers:
        handler.setLevel(logging.CRITICAL)


def ask_less_often() -> None:
    """Let Prefect's client ask it once more at most if it does not answer: this command is stopped.

    It would ask six times in a minute, where the server has died of the same signal.
    """
    if SERVERS not in sys.modules or _one_to_come() is None:
        return
    now = get_settings_context()
    fewer = now.settings.copy_with_update(updates={PREFECT_CLIENT_MAX_RETRIES: 1})
    # For all that is left of the process: nobody leaves this context.
    SettingsContext(profile=now.profile, settings=fewer).__enter__()


def is_gone() -> bool:
    """Tell whether there was one, which no longer answers."""
    # Who has started none has not imported it, which takes seconds.
    server = _one_to_come() if SERVERS in sys.modules else None
    if server is None or server.port is None or not server.running:
        return False
    try:
        socket.create_connection(("127.0.0.1", server.port), SECONDS_TO_ANSWER).close()
    except OSError:
        return True
    return False


def _one_to_come() -> "SubprocessASGIServer | None":
    """Return the server that Prefect's client asks here, running or not."""
    settings = get_current_settings()
    if settings.api.url or not settings.server.ephemeral.enabled:
        return None
    from prefect.server.api.server import SubprocessASGIServer

    return SubprocessASGIServer()


def _block_ctrl_c() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
