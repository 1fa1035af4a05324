"""Whether the servers of a home are up, and where: asked at the start of every flow.

It knows nothing but the home, for the settings of all else follow from it.
"""

import json
import socket
from pathlib import Path
from typing import NamedTuple

SOCKET = "supervisor.sock"
ADDRESSES = "addresses.json"


class Addresses(NamedTuple):
    """Where the servers of a home are, as `http://127.0.0.1:PORT`."""

    prefect: str
    mlflow: str

    @property
    def prefect_api(self) -> str:
        """Where Prefect's clients ask."""
        return f"{self.prefect}/api"

    def write(self, folder: Path) -> None:
        """Write them down for those who start later."""
        aside = folder / f".{ADDRESSES}"
        aside.write_text(json.dumps(self._asdict()) + "\n", encoding="utf-8")
        aside.replace(folder / ADDRESSES)


def folder_of(home: Path) -> Path:
    """Return where the servers of a home have their logs and what tells of them."""
    return home / "servers"


def is_supervised(home: Path) -> bool:
    """Return whether a supervisor answers: a file that a killed one has left does not."""
    with socket.socket(socket.AF_UNIX) as asked:
        try:
            asked.connect(str(folder_of(home) / SOCKET))
        except OSError:
            return False
    return True


def addresses(home: Path) -> Addresses | None:
    """Return where the servers of a home are, `None` if they are not up.

    **Example**

    ```python
    addresses(Path(".lopt"))  # None, before `make up`
    ```
    """
    path = folder_of(home) / ADDRESSES
    if not path.is_file() or not is_supervised(home):
        return None
    return Addresses(**json.loads(path.read_text(encoding="utf-8")))
