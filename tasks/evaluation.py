"""Comparing a release with hand-made optimizers."""

import hashlib
import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import task

from tasks import code_version, settings, terminal
from tasks.confs import EvaluationConf
from tasks.ensembles import groups_of
from tasks.references import (
    DataSetReference,
    EnsembleReference,
    ReleaseReference,
    ReportReference,
    short,
)

if TYPE_CHECKING:
    from lopt.evaluation import Candidate, Cell, Target

OURS = "learned"


class NotHeldOutError(ValueError):
    """A release would be evaluated on what it was trained on."""


@task(name="evaluate-baselines")
def evaluate_baselines(
    conf: EvaluationConf, held_out: EnsembleReference, digits: DataSetReference
) -> str:
    """Run the baselines, or find that they have been run on the very same; return the folder."""
    from lopt.evaluation import Report, baselines

    facts = _facts(conf, held_out, digits)
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    directory = settings.reports_root() / f"baselines-{short(key)}"
    _move_aside_if_damaged(directory)
    if not directory.is_dir():
        candidates = baselines(conf.learning_rates, conf.baselines)
        cells = _cells(conf, held_out, digits, candidates, first=0)
        Report(tuple(cells), facts).write(directory)
    return str(directory)


@task(name="evaluate-release")
def evaluate_learned(
    conf: EvaluationConf,
    held_out: EnsembleReference,
    digits: DataSetReference,
    release: ReleaseReference,
    baselines: str,
) -> ReportReference:
    """Run the release on the same targets with the same seeds; write the report on all."""
    from lopt.evaluation import Report, learned
    from lopt.loading import load

    theirs = Report.read(Path(baselines))
    # Where it came from is part of a compiled program's key, and would compile all anew.
    optimizer = load(release.directory).with_provenance(None)
    done = len(theirs.cells)
    cells = _cells(conf, held_out, digits, (learned(optimizer, OURS),), first=done)
    report = Report((*cells, *theirs.cells), {**theirs.facts, "release": release.digest})
    name = f"{short(release.digest)}-{short(report.digest)}"
    directory = settings.reports_root() / name
    _move_aside_if_damaged(directory)
    report.write(directory)
    return ReportReference(
        directory=str(directory), digest=report.digest, release_digest=release.digest
    )


def check_held_out(
    conf: EvaluationConf, held_out: EnsembleReference, release: ReleaseReference
) -> None:
    """Raise `NotHeldOutError` if the release was trained on the held-out ensemble itself."""
    from lopt.loading import load

    provenance = load(release.directory).provenance
    if provenance is not None and provenance.ensemble_digest == held_out.digest:
        raise NotHeldOutError(
            f"The release {release.directory} was trained on the very ensemble "
            f"({held_out.digest[:12]}) that evaluation.held_out_seed = {conf.held_out_seed} draws: "
            "nothing would be held out. Choose another held_out_seed."
        )


def steps_in_all(conf: EvaluationConf, held_out: EnsembleReference) -> int:
    """Return how many pairs of an optimizer and a target there are to run."""
    from lopt.evaluation.targets import digits

    return (1 + len(conf.baselines)) * (len(groups_of(held_out)) + len(digits.NETWORKS))


def _move_aside_if_damaged(directory: Path) -> None:
    from lopt.evaluation import Report, ReportError

    if not directory.exists():
        return
    try:
        Report.read(directory)
    except ReportError as error:
        aside = directory.with_name(f"damaged-{directory.name}-{uuid.uuid4().hex[:8]}")
        directory.rename(aside)
        terminal.say(f"  report {directory.name} is damaged: now in {aside} ({error})")


def _cells(
    conf: EvaluationConf,
    held_out: EnsembleReference,
    digits: DataSetReference,
    candidates: "tuple[Candidate, ...]",
    first: int,
) -> "list[Cell]":
    import jax

    from lopt.evaluation import evaluate

    key = jax.random.key(conf.seed)
    cells = []
    for cell in evaluate(_targets(conf, held_out, digits), candidates, conf.seeds, key):
        cells.append(cell)
        terminal.reach(first + len(cells), f"{cell.optimizer} on {cell.target}")
    return cells


def _targets(
    conf: EvaluationConf, held_out: EnsembleReference, digits: DataSetReference
) -> "list[Target]":
    from lopt.datasets import open_dataset
    from lopt.evaluation.targets.digits import NETWORKS
    from lopt.evaluation.targets.held_out import HeldOut

    data = open_dataset(Path(digits.directory))
    return [
        *(HeldOut.of(g, conf.held_out_steps, conf.record_every) for g in groups_of(held_out)),
        *(make(data, conf.digits_steps, conf.record_every) for make in NETWORKS),
    ]


def _facts(
    conf: EvaluationConf, held_out: EnsembleReference, digits: DataSetReference
) -> dict[str, Any]:
    """Return everything that decides what the baselines do."""
    return {
        "conf": conf.canonical(),
        "held_out_ensemble": held_out.digest,
        "digits": digits.digest,
        "library": code_version.library_digest(),
    }
