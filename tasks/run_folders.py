"""Folders of meta-training runs: which one a conf goes on with, or that it begins a new one.

A conf's runs are numbered folders under the digest of the conf and of the ensemble. Each has
`run.json` (what is run, from which seed), `checkpoints/` and, once it is finished, `release/`.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tasks import code_version
from tasks.confs import MetaTrainingConf
from tasks.references import RunReference

DIGITS_OF_DIGEST = 16


class RunRecord(BaseModel):
    """What `run.json` says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    conf_digest: str
    ensemble_digest: str
    seed: int
    library: str
    """Digest of the code that the run began with."""
    mlflow_run_id: str | None = None
    model_uri: str | None = None


class RunFolder(BaseModel):
    """One run's folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    directory: Path
    record: RunRecord

    def __str__(self) -> str:
        doing = "finished" if self.finished else "goes on" if self.begun else "begins"
        name = f"{self.directory.parent.name}/{self.directory.name}"
        text = f"run {name}, seed {self.record.seed}: {doing}"
        return text if self._same_code() else f"{text}, with other code than it began with"

    def _same_code(self) -> bool:
        return self.finished or self.record.library == code_version.library_digest()

    @property
    def begun(self) -> bool:
        """Whether something of the run has been done already."""
        return self.record.mlflow_run_id is not None

    @property
    def release(self) -> Path:
        """Where the release lies once the run is finished."""
        return self.directory / "release"

    @property
    def finished(self) -> bool:
        """Whether the run is finished; a release appears whole or not at all."""
        return self.release.is_dir()

    def reference(self) -> RunReference:
        """Return what tasks are given; the MLflow run has to be known by now."""
        return RunReference(
            directory=str(self.directory),
            conf_digest=self.record.conf_digest,
            seed=self.record.seed,
            mlflow_run_id=str(self.record.mlflow_run_id),
        )

    def noted(self, **changes: str) -> "RunFolder":
        """Write more into the record: which MLflow run or model belongs to this run."""
        record = self.record.model_copy(update=changes)
        _write(self.directory, record)
        return self.model_copy(update={"record": record})


def conf_digest(conf: MetaTrainingConf, ensemble_digest: str) -> str:
    """Return the digest of everything that decides what a run computes."""
    values = conf.model_dump(mode="json", exclude={"when_finished"})
    text = json.dumps({"conf": values, "ensemble": ensemble_digest}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def opened(root: Path, conf: MetaTrainingConf, ensemble_digest: str) -> Iterator[RunFolder]:
    """Give the folder that this conf works in, kept from other processes meanwhile.

    That is the unfinished run of this conf if there is one that nobody is working on; else a
    finished one where `when_finished` says so; else a new one.
    """
    digest = conf_digest(conf, ensemble_digest)
    parent = root / digest[:DIGITS_OF_DIGEST]
    parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as kept:
        with _locked(parent / "choosing", wait=True):
            folder = _choose(parent, conf, digest, ensemble_digest)
            if not folder.finished:
                kept.enter_context(_locked(folder.directory / "lock", wait=False))
        yield folder


def newest_finished(root: Path) -> RunFolder | None:
    """Return the run that was finished last, `None` if there is none."""
    releases = [path for path in root.glob("*/*/release") if path.is_dir()]
    newest = max(releases, key=lambda path: path.stat().st_mtime_ns, default=None)
    return None if newest is None else read(newest.parent)


def read(directory: Path) -> RunFolder:
    """Return the run in a folder."""
    text = (directory / "run.json").read_text(encoding="utf-8")
    return RunFolder(directory=directory, record=RunRecord.model_validate_json(text))


def _choose(parent: Path, conf: MetaTrainingConf, digest: str, ensemble_digest: str) -> RunFolder:
    known = [read(path.parent) for path in sorted(parent.glob("*/run.json"))]
    for folder in known:
        if not folder.finished and _is_free(folder.directory / "lock"):
            return folder
    finished = [folder for folder in known if folder.finished]
    if finished and conf.when_finished == "reuse":
        return finished[-1]
    seed = max((folder.record.seed + 1 for folder in known), default=conf.seed)
    record = RunRecord(
        conf_digest=digest,
        ensemble_digest=ensemble_digest,
        seed=seed,
        library=code_version.library_digest(),
    )
    return _begin(parent, record)


def _begin(parent: Path, record: RunRecord) -> RunFolder:
    numbers = [int(path.name) for path in parent.iterdir() if path.name.isdecimal()]
    directory = parent / f"{max(numbers, default=0) + 1:03d}"
    directory.mkdir()
    _write(directory, record)
    return RunFolder(directory=directory, record=record)


def _write(directory: Path, record: RunRecord) -> None:
    aside = directory / f".run.json.{os.getpid()}"
    aside.write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
    aside.replace(directory / "run.json")


@contextmanager
def _locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold a lock that the operating system takes back when the process ends, however it ends."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _is_free(path: Path) -> bool:
    try:
        with _locked(path, wait=False):
            return True
    except BlockingIOError:
        return False
