"""`python -m tasks.servers up`, `down`, `status`, `declare` or `watch`.

What cannot be done is one line.
"""

import argparse
import signal
import sys
from types import FrameType

from tasks import settings
from tasks.conf_errors import ConfError
from tasks.errors import is_ours
from tasks.processes import REFUSED


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tasks.servers", description=__doc__)
    parser.add_argument("command", choices=["up", "down", "status", "declare", "watch"])
    command = parser.parse_args().command
    signal.signal(signal.SIGTERM, _exit)
    try:
        sys.exit(_do(command))
    except ConfError as error:
        sys.stderr.writelines(line + "\n" for line in error.lines)
        sys.exit(REFUSED)
    except KeyboardInterrupt:
        sys.exit("Interrupted.")
    except OSError as error:
        sys.exit(f"{settings.servers_root()}: {error}")
    except Exception as error:
        if not is_ours(error):
            raise
        sys.exit(str(error))


def _do(command: str) -> int:
    from tasks.servers import commands
    from tasks.servers.conf import read_servers

    if command == "status":
        return 0 if commands.status() else 1
    if command in {"declare", "watch"}:
        getattr(commands, command)()
    else:
        getattr(commands, command)(read_servers())
    return 0


def _exit(number: int, frame: FrameType | None) -> None:
    del frame
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
