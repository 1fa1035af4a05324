"""A PostgreSQL of one's own, set up as PostgreSQL's image does it from the same service."""

import os
import pwd
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.e2e.compose import ROOT

DEBIAN = Path("/usr/lib/postgresql")


def programs() -> Path | None:
    """Return the folder of the newest PostgreSQL that is installed, `None` without one."""
    found = [path.parent for path in DEBIAN.glob("*/bin/initdb")]
    return max(found, key=lambda path: float(path.parent.name), default=None)


def owner() -> str | None:
    """Return who may run it: root may not, and needs Debian's user for it."""
    try:
        return pwd.getpwnam("postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid())[0])[0]
    except KeyError:
        return None


class Postgres(NamedTuple):
    """A cluster in a folder, answering at a port of this machine alone."""

    service: dict[str, Any]
    folder: Path
    port: int

    def make(self) -> None:
        """Make the cluster, the only user and the only database that the service names."""
        environment = self.service["environment"]
        password = self.folder / "password"
        password.write_text(environment["POSTGRES_PASSWORD"])
        os.chown(self.folder, self._uid, -1)
        os.chown(password, self._uid, -1)
        self.run(
            "initdb",
            f"--pgdata={self.folder}/data",
            f"--username={environment['POSTGRES_USER']}",
            f"--pwfile={password}",
            *environment["POSTGRES_INITDB_ARGS"].split(),
            "--auth=scram-sha-256",
            "--no-sync",
        )
        password.unlink()

    def start(self) -> "subprocess.Popen[bytes]":
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.folder,
            "fsync": "off",
        }
        command: list[str | Path] = [self._program("postgres"), "-D", self.folder / "data"]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with (self.folder / "postgres.log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._environment,
                user=self._uid,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def is_ready(self) -> bool:
        """Ask as the service's own health check does."""
        word, program, *arguments = self.service["healthcheck"]["test"]
        assert word == "CMD"
        return self._done(program, arguments).returncode == 0

    def fill(self) -> None:
        """Make the databases: that of the service, and those of the file that it mounts."""
        environment = self.service["environment"]
        ask = ("--host=127.0.0.1", f"--username={environment['POSTGRES_USER']}", "--no-psqlrc")
        stop = "--set=ON_ERROR_STOP=1"
        database = environment["POSTGRES_DB"]
        (source,) = [v.split(":")[0] for v in self.service["volumes"] if v.startswith("./")]
        self.run("psql", *ask, "--dbname=postgres", f"--command=CREATE DATABASE {database}")
        text = (ROOT / source).read_text()
        self.run("psql", *ask, f"--dbname={database}", stop, said=text)

    def dump(self, database: str) -> str:
        """Return all that a database holds, as text."""
        user = self.service["environment"]["POSTGRES_USER"]
        return self.run("pg_dump", "--host=127.0.0.1", f"--username={user}", database)

    def run(self, program: str, *arguments: str, said: str = "") -> str:
        done = self._done(program, arguments, said)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _done(
        self, program: str, arguments: Sequence[str], said: str = ""
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self._program(program), *arguments],
            cwd=self.folder,
            env=self._environment,
            user=self._uid,
            input=said,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def _program(self, name: str) -> Path:
        folder = programs()
        assert folder is not None
        return folder / name

    @property
    def _uid(self) -> int:
        name = owner()
        assert name is not None
        return pwd.getpwnam(name).pw_uid

    @property
    def _environment(self) -> dict[str, str]:
        password = self.service["environment"]["POSTGRES_PASSWORD"]
        return {"PATH": os.defpath, "PGPORT": str(self.port), "PGPASSWORD": password}
