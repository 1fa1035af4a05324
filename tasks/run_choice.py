"""Which folder a meta-training works in: one that it goes on with, or a new one.

A cycle has more to do than the run: it takes up a finished one again until it is published.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tasks import code_version, settings
from tasks.confs import MetaTrainingConf
from tasks.locks import is_free, locked
from tasks.references import short
from tasks.run_folders import RunFolder, RunRecord, read, write

# What may change from one part of a run to the next; devices change sums by rounding alone.
DECIDE_NOTHING = {"when_finished", "devices", "memory_fraction"}


class RunFolderError(ValueError):
    """A folder that is not of the run that is wanted."""


def conf_digest(conf: MetaTrainingConf, ensemble_digest: str) -> str:
    """Return the digest of everything that decides what a run computes."""
    values = conf.model_dump(mode="json", exclude=DECIDE_NOTHING)
    text = json.dumps({"conf": values, "ensemble": ensemble_digest}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def opened(
    conf: MetaTrainingConf,
    ensemble_digest: str,
    *,
    publishing: bool = False,
    root: Path | None = None,
) -> Iterator[RunFolder]:
    """Give the folder that this conf works in, kept from other processes meanwhile.

    That is the unfinished run of this conf if there is one that nobody is working on; else a
    finished one where `when_finished` says so; else a new one. For a cycle, which is
    `publishing`, a run is not finished before it is published. `root` is where the runs lie, by
    default those of which the newest is the latest release.
    """
    digest = conf_digest(conf, ensemble_digest)
    parent = (root or settings.runs_root()) / short(digest)
    parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as kept:
        with locked(parent / "choosing", wait=True):
            folder = _choose(parent, conf, digest, ensemble_digest, publishing)
            # What another process evaluates and publishes can be shared where it is to be reused.
            if folder.to_be_done(publishing) and is_free(folder.directory / "lock"):
                kept.enter_context(locked(folder.directory / "lock", wait=False))
                if publishing:
                    folder = folder.noted(awaits_publication=True)
        yield folder


@contextmanager
def given_or_opened(
    directory: str | None, conf: MetaTrainingConf, ensemble_digest: str
) -> Iterator[RunFolder]:
    """Give the run in a folder that the caller has opened, or without one open that of the conf.

    Raises `RunFolderError` for a run of another conf or ensemble.
    """
    if directory is None:
        with opened(conf, ensemble_digest) as folder:
            yield folder
    else:
        yield _given(Path(directory), conf, ensemble_digest)


def _given(directory: Path, conf: MetaTrainingConf, ensemble_digest: str) -> RunFolder:
    folder = read(directory)
    if folder.record.conf_digest != conf_digest(conf, ensemble_digest):
        raise RunFolderError(
            f"{directory} holds a run of another conf or ensemble, which could not be gone on "
            "with. Leave the folder out: the right one is found by the conf."
        )
    return folder


def _choose(
    parent: Path, conf: MetaTrainingConf, digest: str, ensemble_digest: str, publishing: bool
) -> RunFolder:
    known = [read(path.parent) for path in sorted(parent.glob("*/run.json"))]
    for folder in known:
        if folder.to_be_done(publishing) and is_free(folder.directory / "lock"):
            # Anew, for the process that had it may have ended the work just now.
            newest = read(folder.directory)
            if newest.to_be_done(publishing):
                return newest
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
    write(directory, record)
    return RunFolder(directory=directory, record=record)
