"""Which cells an evaluation consists of: an optimizer on a target each, all seeds and rates."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks import code_version, settings
from tasks.confs import EvaluationConf
from tasks.evaluation_targets import TargetReference
from tasks.references import Reference, ReleaseReference, short

OURS = "learned"
BEGUN = ".begun"
"""How the folder of a cell ends that is not finished."""


class CandidateReference(Reference):
    """An optimizer by its name, and the learning rates that it is tried at."""

    name: str
    learning_rates: tuple[float, ...]
    release: ReleaseReference | None = None
    """`None` for a baseline."""


class CellOrder(Reference):
    """Everything that decides what a cell holds."""

    target: TargetReference
    candidate: CandidateReference
    seed: int
    seeds: int
    library: str
    """Digest of the code that computes it."""
    timed_at_one_rate: bool = False
    """Whether its seconds are those of one learning rate, while no other cell computes."""

    @property
    def name(self) -> str:
        """What people know the cell by."""
        return f"{self.candidate.name} on {self.target.name}"

    @property
    def facts(self) -> dict[str, str]:
        """What decides the cell's content, and nothing of where that lies."""
        release = self.candidate.release
        facts = {
            "target": json.dumps(self.target.facts, sort_keys=True),
            "optimizer": self.candidate.name,
            "learning_rates": json.dumps(self.candidate.learning_rates),
            "release": release.digest if release else None,
            "seed": str(self.seed),
            "seeds": str(self.seeds),
            "library": self.library,
            "timed_at_one_rate": "true" if self.timed_at_one_rate else None,
        }
        return {key: value for key, value in facts.items() if value is not None}

    @property
    def directory(self) -> Path:
        """Where the cell lies once it is finished; the name holds the digest of its facts."""
        digest = hashlib.sha256(json.dumps(self.facts, sort_keys=True).encode()).hexdigest()
        name = f"{_file_name(self.candidate.name)}-{short(digest)}"
        return settings.cells_root() / _file_name(self.target.name) / name


def cell_orders(
    conf: EvaluationConf, targets: Sequence[TargetReference], release: ReleaseReference
) -> list[CellOrder]:
    """Return all cells of an evaluation, target by target, of each first the release's."""
    candidates = [_ours(release), *(_baseline(conf, name) for name in conf.baselines)]
    return list(map(_from_all_rates, orders_of(conf, targets, candidates)))


def orders_of(
    conf: EvaluationConf,
    targets: Sequence[TargetReference],
    candidates: Sequence[CandidateReference],
) -> list[CellOrder]:
    """Return a cell for each candidate on each target, target by target."""
    library = code_version.library_digest()
    return [
        CellOrder(
            target=target,
            candidate=one,
            seed=conf.seed,
            seeds=conf.seeds,
            library=library,
            timed_at_one_rate=conf.compare_seconds,
        )
        for target in targets
        for one in candidates
    ]


def _from_all_rates(order: CellOrder) -> CellOrder:
    """Let an optimizer begin at all rates where the name of the target says so; untimed there."""
    from lopt.evaluation.robustness import INITIAL_LEARNING_RATES, is_from_all_rates

    if not is_from_all_rates(order.target.name):
        return order
    candidate = order.candidate.model_copy(update={"learning_rates": INITIAL_LEARNING_RATES})
    return order.model_copy(update={"candidate": candidate, "timed_at_one_rate": False})


def _ours(release: ReleaseReference) -> CandidateReference:
    from lopt.architectures.learning_rates import DEFAULT_LEARNING_RATE

    return CandidateReference(name=OURS, learning_rates=(DEFAULT_LEARNING_RATE,), release=release)


def _baseline(conf: EvaluationConf, name: str) -> CandidateReference:
    return CandidateReference(name=name, learning_rates=conf.learning_rates)


def candidate_of(reference: CandidateReference) -> Any:
    """Return the optimizer as the library takes it."""
    from lopt.evaluation import Candidate, baselines
    from lopt.loading import load

    if reference.release is None:
        (baseline,) = baselines(reference.learning_rates, (reference.name,))
        return baseline
    # Where it came from is part of a compiled program's key, and would compile all anew.
    optimizer = load(reference.release.directory).with_provenance(None)
    return Candidate(reference.name, optimizer.transformation, reference.learning_rates)


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9+.-]+", "_", text)
