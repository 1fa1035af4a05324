"""Folders of meta-training runs.

A conf's runs are numbered folders under the digest of the conf and of the ensemble. Each has
`run.json` (what is run, from which seed), `checkpoints/` and, once it is finished, `release/`.
"""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tasks import code_version
from tasks.confs import MetaTrainingConf
from tasks.references import RunReference


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
    awaits_publication: bool = False
    """Whether a cycle works on the run that has not published its release yet."""


class RunFolder(BaseModel):
    """One run's folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    directory: Path
    record: RunRecord

    def __str__(self) -> str:
        name = f"{self.directory.parent.name}/{self.directory.name}"
        text = f"run {name}, seed {self.record.seed}: {self._doing()}"
        return text if self._same_code() else f"{text}, with other code than it began with"

    def _doing(self) -> str:
        if self.finished:
            left = "finished, to be published" if self.record.awaits_publication else "finished"
            return left if self.logged else f"{left}, to be logged"
        return "goes on" if self.begun else "begins"

    def _same_code(self) -> bool:
        return self.finished or self.record.library == code_version.library_digest()

    def to_be_done(self, publishing: bool) -> bool:
        """Return whether something is left to do, for a cycle or for a meta-training alone."""
        return not self.logged or (publishing and self.record.awaits_publication)

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

    @property
    def logged(self) -> bool:
        """Whether MLflow has the release of the run, which so is finished."""
        return self.finished and self.record.model_uri is not None

    def seeded(self, conf: MetaTrainingConf) -> MetaTrainingConf:
        """Return the conf with the seed of this run, which may be a later one."""
        return conf.model_copy(update={"seed": self.record.seed})

    def reference(self) -> RunReference:
        """Return what tasks are given; the MLflow run has to be known by now."""
        return RunReference(
            directory=str(self.directory),
            conf_digest=self.record.conf_digest,
            seed=self.record.seed,
            mlflow_run_id=str(self.record.mlflow_run_id),
        )

    def noted(self, **changes: str | bool) -> "RunFolder":
        """Write more into the record: which MLflow run or model belongs to this run."""
        record = self.record.model_copy(update=changes)
        write(self.directory, record)
        return self.model_copy(update={"record": record})


def note_published(release: Path) -> None:
    """Note in the run of a release, if it is of one here, that it is published."""
    if (release.parent / "run.json").is_file():
        read(release.parent).noted(awaits_publication=False)


def newest_finished(root: Path) -> RunFolder | None:
    """Return the run that was finished last, `None` if there is none."""
    releases = [path for path in root.glob("*/*/release") if path.is_dir()]
    newest = max(releases, key=lambda path: path.stat().st_mtime_ns, default=None)
    return None if newest is None else read(newest.parent)


def read(directory: Path) -> RunFolder:
    """Return the run in a folder."""
    text = (directory / "run.json").read_text(encoding="utf-8")
    return RunFolder(directory=directory, record=RunRecord.model_validate_json(text))


def write(directory: Path, record: RunRecord) -> None:
    """Write `run.json`, whole or not at all."""
    aside = directory / f".run.json.{os.getpid()}"
    with aside.open("w", encoding="utf-8") as file:
        file.write(record.model_dump_json(indent=2) + "\n")
        file.flush()
        # Or a machine that loses its power may be left with the new name of nothing.
        os.fsync(file.fileno())
    aside.replace(directory / "run.json")
