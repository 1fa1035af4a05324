"""A report: every curve of an evaluation, and what follows from them."""

import dataclasses
import functools
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lopt.evaluation.cell import Cell
from lopt.evaluation.choices import choices, chosen
from lopt.evaluation.divergence import EVERY_RATE, Divergence, divergence
from lopt.evaluation.failures import Failure
from lopt.evaluation.measures import measures
from lopt.evaluation.reaching import Reaching, reachings, references, with_speed_ups
from lopt.evaluation.report_files import (
    DIFFERENCES,
    DIVERGENCES,
    REACHINGS,
    ROBUSTNESS,
    SCORES,
    Contents,
    ReportError,
    Row,
    read_directory,
    write_directory,
)
from lopt.evaluation.robustness import is_from_all_rates, robustness
from lopt.evaluation.scores import Difference, Score, difference, score, slices

__all__ = ["Report", "ReportError"]

LEARNED = "learned"
"""What the learned optimizer is called where there is one."""


@dataclasses.dataclass(frozen=True, eq=False)
class Report:
    """The cells of an evaluation, every optimizer on every target with the same seeds.

    Targets that are called "initial_rates/...", on which optimizers begin at all rates, stand
    apart: `from_all_rates` are their cells, and nothing else here is about them.

    Raises `ReportError` if that is not so: then no scores could be compared.

    **Example**

    ```python
    report = Report(tuple(evaluate(targets, candidates, seeds=8, key=jax.random.key(0))))
    report.write(Path("report"))
    held_out = Report.read(Path("report")).only("held_out/").scores("area")
    ```
    """

    cells: tuple[Cell, ...]
    facts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Where the report came from (digest of the release, of the ensemble, ...), by name."""
    failures: tuple[Failure, ...] = ()
    """What could not be computed, and is why targets or optimizers may be missing here."""

    def __post_init__(self) -> None:
        for complaint in _complaints(self):
            raise ReportError(f"No report can be made of these cells: {complaint}.")

    @functools.cached_property
    def compared(self) -> tuple[Cell, ...]:
        """The cells on which optimizers are compared, each at its default or its best rates."""
        return tuple(cell for cell in self.cells if not is_from_all_rates(cell.target))

    @functools.cached_property
    def from_all_rates(self) -> tuple[Cell, ...]:
        """The cells in which every optimizer begins at all rates: its robustness over them."""
        return tuple(cell for cell in self.cells if is_from_all_rates(cell.target))

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the targets of `compared`, in the order of the evaluation."""
        return _targets(self.compared)

    @property
    def robustness_targets(self) -> tuple[str, ...]:
        """The names of the targets of `from_all_rates`, in the order of the evaluation."""
        return _targets(self.from_all_rates)

    @property
    def optimizers(self) -> tuple[str, ...]:
        """The names of the optimizers of `compared`, in the order of the evaluation."""
        return _optimizers(self.compared)

    @property
    def ours(self) -> tuple[str, ...]:
        """The learned optimizers at their default rate.

        That is "learned", and whatever a fact tells the release of.
        """
        return tuple(
            name
            for name in self.optimizers
            if (name == LEARNED or f"{name}/release" in self.facts) and not self.of(name)[0].tuned
        )

    @property
    def measures(self) -> tuple[str, ...]:
        """The names of all measures that any target has, "area" and "final" first.

        Where Adam is among the optimizers, its speed-ups are the last.
        """
        cells = itertools.chain.from_iterable(self._measured.values())
        return tuple(dict.fromkeys(name for cell in cells for name in measures(cell)))

    @property
    def digest(self) -> str:
        """SHA-256 of all cells, facts and failures, whatever file they are in.

        Not of how long anything took, for the same work done again takes another time.
        """
        digest = hashlib.sha256(json.dumps(dict(self.facts), sort_keys=True).encode())
        for cell in self.cells:
            names = sorted(cell.metrics)
            head = [cell.target, cell.optimizer, cell.learning_rates, names, cell.losses.shape]
            head.append([cell.better[name] for name in names])
            digest.update(json.dumps(head).encode())
            for array in (cell.steps, cell.losses, *[cell.metrics[name] for name in names]):
                digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
        for failure in self.failures:
            digest.update(json.dumps(dataclasses.astuple(failure)).encode())
        return digest.hexdigest()

    def of(self, optimizer: str) -> tuple[Cell, ...]:
        """Return the cells of one optimizer, in the order of the targets.

        Raises `ReportError`, naming the optimizers there are, if it is none of them.
        """
        if optimizer not in self.optimizers:
            raise ReportError(
                f"No optimizer is called {optimizer!r} in this report; there are: "
                f"{', '.join(self.optimizers)}."
            )
        by_target = {cell.target: cell for cell in self.compared if cell.optimizer == optimizer}
        return tuple(by_target[target] for target in self.targets)

    def only(self, prefix: str) -> "Report":
        """Return the report on the targets whose names begin so; the best rates are theirs.

        Raises `ReportError`, naming the targets there are, if there is none.
        """
        if prefix not in self._parts:
            cells = tuple(cell for cell in self.compared if cell.target.startswith(prefix))
            if not cells:
                raise ReportError(
                    f"No target's name begins with {prefix!r}; there are: "
                    f"{', '.join(self.targets)}."
                )
            self._parts[prefix] = dataclasses.replace(self, cells=cells)
        return self._parts[prefix]

    def scores(self, measure: str) -> tuple[Score, ...]:
        """Return every optimizer's score on every target that has the measure, and its mean.

        An optimizer with a sweep is scored twice: at its best single rate over all targets,
        and at the best rate of each target. The rates are chosen by the area in any case.
        """
        if measure not in self._scores:
            self._scores[measure] = tuple(
                score(name, part, choice, measure, cells[0].learning_rates)
                for cells in self._measured.values()
                for choice in choices(cells)
                for name, part in slices(chosen(cells, choice), measure)
            )
        return self._scores[measure]

    def differences(self, ours: str, measure: str) -> tuple[Difference, ...]:
        """Return by how much one optimizer without a sweep differs from every other.

        Raises `ReportError` if `ours` is not in the report or has several learning rates.
        """
        if len(choices(self.of(ours))) > 1:
            raise ReportError(
                f"{ours!r} has a sweep of learning rates, so it is not clear which of them to "
                f"compare with; evaluate it with one."
            )
        if (ours, measure) not in self._differences:
            self._differences[ours, measure] = tuple(self._compared(ours, measure))
        return self._differences[ours, measure]

    def reachings(self) -> tuple[Reaching, ...]:
        """Return how soon each optimizer reaches Adam's final loss on each target.

        Adam has its best rate for each target, and seeds are paired. Nothing without Adam.
        """
        adam = references(self.compared)
        return tuple(
            row
            for optimizer in self.optimizers
            for choice in choices(self.of(optimizer))
            if adam
            for row in reachings(self.of(optimizer), choice, adam)
        )

    def divergences(self) -> tuple[Divergence, ...]:
        """Return how many trajectories of each optimizer have diverged, at each choice of rate.

        A sweep has a third row, which is on all its rates together.
        """
        return tuple(row for name in self.optimizers for row in _divergences_of_one(self.of(name)))

    def write(self, directory: Path) -> Path:
        """Write the report as a new directory of Parquet files, and return that.

        The directory appears whole or not at all. Where it holds this very report already
        nothing is done; raises `ReportError` if anything else is there.
        """
        contents = Contents(self.cells, self.facts, self.failures, self.digest)
        tables: dict[str, Sequence[Row]] = {
            SCORES: [row for measure in self.measures for row in self.scores(measure)],
            DIFFERENCES: [
                row
                for ours in self.ours
                for measure in self.measures
                for row in self.differences(ours, measure)
            ],
            REACHINGS: self.reachings(),
            DIVERGENCES: self.divergences(),
        }
        if self.from_all_rates:
            tables[ROBUSTNESS] = robustness(self.from_all_rates)
        return write_directory(directory, contents, tables)

    @functools.cached_property
    def _measured(self) -> dict[str, tuple[Cell, ...]]:
        """The cells of each optimizer, with what is measured by comparing them with Adam's."""
        by_place = {(cell.optimizer, cell.target): cell for cell in with_speed_ups(self.compared)}
        return {
            optimizer: tuple(by_place[optimizer, target] for target in self.targets)
            for optimizer in self.optimizers
        }

    # Bootstrapping takes seconds where there are many optimizers, and all who show it ask again.
    @functools.cached_property
    def _parts(self) -> "dict[str, Report]":
        # Kept, since each of them keeps what it has scored.
        return {}

    @functools.cached_property
    def _scores(self) -> dict[str, tuple[Score, ...]]:
        return {}

    @functools.cached_property
    def _differences(self) -> dict[tuple[str, str], tuple[Difference, ...]]:
        return {}

    def _compared(self, ours: str, measure: str) -> Iterator[Difference]:
        mine = slices(self._measured[ours], measure)
        for other, cells in self._measured.items():
            for choice in choices(cells) if other != ours else ():
                theirs = slices(chosen(cells, choice), measure)
                for (name, part), (_, other_part) in zip(mine, theirs, strict=True):
                    yield difference(name, part, other_part, choice, measure)

    @classmethod
    def read(cls, directory: Path) -> "Report":
        """Read what `write` wrote; raises `ReportError` if it is anything else, or damaged."""
        cells, facts, failures, digest = read_directory(directory)
        report = cls(cells, facts, failures)
        if report.digest != digest:
            raise ReportError(
                f"{directory}: the curves have the digest {report.digest}, but the report "
                f"states {digest}. Make the report again."
            )
        return report


def _divergences_of_one(cells: tuple[Cell, ...]) -> Iterator[Divergence]:
    for choice in choices(cells):
        yield divergence(chosen(cells, choice), choice)
    if cells[0].tuned:
        yield divergence(cells, EVERY_RATE)


def _targets(cells: Sequence[Cell]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(cell.target for cell in cells))


def _optimizers(cells: Sequence[Cell]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(cell.optimizer for cell in cells))


def _complaints(report: Report) -> Iterator[str]:
    if not report.cells:
        yield "there are none"
    if len({cell.seeds for cell in report.cells}) > 1:
        yield "they do not have the same number of seeds"
    yield from _gaps(report.compared)
    yield from _gaps(report.from_all_rates)


def _gaps(cells: Sequence[Cell]) -> Iterator[str]:
    """Say why these cells are no grid of targets and optimizers, if they are none."""
    targets, optimizers = _targets(cells), _optimizers(cells)
    pairs = [(cell.target, cell.optimizer) for cell in cells]
    if sorted(pairs) != sorted(itertools.product(targets, optimizers)):
        yield "every optimizer must be there on every target, and once"
    if len({(cell.optimizer, cell.learning_rates) for cell in cells}) > len(optimizers):
        yield "an optimizer must have the same learning rates on every target"
    if len({(cell.target, cell.steps.tobytes()) for cell in cells}) > len(targets):
        yield "a target must have the same recorded steps for every optimizer"
    if len({(cell.target, *sorted(cell.metrics)) for cell in cells}) > len(targets):
        yield "a target must have the same metrics for every optimizer"
