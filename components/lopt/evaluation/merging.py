"""One report of several, where they hold the same targets with the same seeds."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from lopt.evaluation.cell import Cell
from lopt.evaluation.failures import Failure
from lopt.evaluation.report import LEARNED, Report, ReportError
from lopt.evaluation.robustness import is_from_all_rates

Named = TypeVar("Named", Cell, Failure)

TOLERANCE = 1e-3
"""By which part first losses may differ that machines have computed by other roundings."""


def merged(reports: Mapping[str, Report]) -> Report:
    """Return one report with every learned optimizer and every baseline of several, by name.

    Each report's learned optimizer gets the report's name; a report that was merged already
    keeps the names it has, and one may hold baselines alone. A baseline that several reports
    have is the first one's, which has seen the same problems. Targets that some report lacks
    are left out, and are named among the failures. Of one report it is that one, by its name.

    Raises `ReportError` for reports that cannot be paired: of no common target, with other
    seeds, recorded steps or metrics, whose trajectories begin elsewhere at the same seed, or
    which sweep one baseline over different learning rates; and for names that are taken.

    **Example**

    ```python
    both = merged({"version 1": Report.read(Path("one")), "version 2": Report.read(Path("two"))})
    both.differences("version 2", "area")
    ```
    """
    named = {name: _named(report, name) for name, report in reports.items()}
    for complaint in _complaints(named):
        raise ReportError(f"These reports cannot be compared: {complaint}.")
    first = next(iter(named.values()))
    targets = [name for name in _all(first) if all(name in _all(r) for r in named.values())]
    cells: dict[tuple[str, str], Cell] = {}
    for report in named.values():
        cells |= {_place(cell): cell for cell in report.cells if _place(cell) not in cells}
    optimizers = dict.fromkeys(name for report in named.values() for name in report.ours)
    optimizers |= dict.fromkeys(cell.optimizer for one in named.values() for cell in one.cells)
    return Report(
        cells=tuple(
            cells[target, name]
            for target in targets
            for name in optimizers
            # Where optimizers begin at all rates, one that is compared elsewhere may lack.
            if (target, name) in cells
        ),
        facts={key: value for report in named.values() for key, value in report.facts.items()},
        failures=tuple(dict.fromkeys(_failures(named, targets))),
    )


def _named(report: Report, name: str) -> Report:
    """Return the report with its learned optimizer under this name, and its facts under it."""
    if LEARNED in report.optimizers and name in report.optimizers:
        raise ReportError(
            f"A learned optimizer cannot be called {name!r}, for another optimizer of its report "
            f"is. Choose another name."
        )
    names = {LEARNED: name}
    facts = {"release": "unknown", **report.facts} if LEARNED in report.optimizers else report.facts
    return Report(
        cells=tuple(_renamed(cell, names) for cell in report.cells),
        facts={key if "/" in key else f"{name}/{key}": value for key, value in facts.items()},
        failures=tuple(_renamed(failure, names) for failure in report.failures),
    )


def _renamed(one: Named, names: Mapping[str, str]) -> Named:
    return dataclasses.replace(one, optimizer=names.get(one.optimizer, one.optimizer))


def _complaints(reports: Mapping[str, Report]) -> Iterator[str]:
    if not reports:
        yield "there are none"
        return
    owners: dict[str, str] = {}
    for name, report in reports.items():
        for ours in report.ours:
            if ours in owners:
                yield f"{ours!r} is in {owners[ours]!r} and in {name!r}; give them other names"
            owners[ours] = name
    (first_name, first), *others = reports.items()
    for name, other in others:
        for complaint in _pair_complaints(first, other):
            yield f"{first_name!r} and {name!r} {complaint}"
    yield from _baseline_complaints(reports)


def _pair_complaints(one: Report, other: Report) -> Iterator[str]:
    common = [target for target in one.targets if target in other.targets]
    if not common:
        yield f"have no target in common ({_listed(one.targets)}; {_listed(other.targets)})"
        return
    seeds = one.cells[0].seeds, other.cells[0].seeds
    if seeds[0] != seeds[1]:
        yield f"have {seeds[0]} and {seeds[1]} seeds"
        return
    apart = [name for name in one.robustness_targets if name in other.robustness_targets]
    for target in (*common, *apart):
        mine, theirs = (
            next(cell for cell in report.cells if cell.target == target) for report in (one, other)
        )
        yield from (f"{complaint} on {target}" for complaint in _cell_complaints(mine, theirs))


def _cell_complaints(one: Cell, other: Cell) -> Iterator[str]:
    if not np.array_equal(one.steps, other.steps):
        yield f"have other recorded steps ({_steps(one)}; {_steps(other)})"
        return
    if sorted(one.metrics) != sorted(other.metrics):
        yield f"have other metrics ({_listed(one.metrics)}; {_listed(other.metrics)})"
    # Nothing has been learned yet there: problem, initial params and data alone decide.
    begun = one.losses[0, :, 0], other.losses[0, :, 0]
    if not np.allclose(*begun, rtol=TOLERANCE, atol=0.0):
        seed = int(np.argmax(~np.isclose(*begun, rtol=TOLERANCE, atol=0.0)))
        yield (
            f"begin at other losses ({begun[0][seed]:g}; {begun[1][seed]:g} at seed {seed}), so "
            "their problems, initial params or data are others; evaluate both with the same conf"
        )


def _baseline_complaints(reports: Mapping[str, Report]) -> Iterator[str]:
    swept: dict[tuple[str, bool], tuple[str, tuple[float, ...]]] = {}
    for name, report in reports.items():
        for cell in report.cells:
            rates, baseline = cell.learning_rates, cell.optimizer
            kind = baseline, is_from_all_rates(cell.target)
            first_name, first = swept.setdefault(kind, (name, rates))
            if rates != first:
                yield (
                    f"{baseline} has {len(first)} learning rates in {first_name!r} "
                    f"({_listed(first)}) and {len(rates)} in {name!r} ({_listed(rates)})"
                )


def _failures(reports: Mapping[str, Report], targets: Sequence[str]) -> Iterator[Failure]:
    for name, report in reports.items():
        yield from report.failures
        for other in reports.values():
            for target in _all(other):
                if target not in targets and target not in _all(report):
                    yield Failure(target, name, "is not in this report")


def _all(report: Report) -> tuple[str, ...]:
    return (*report.targets, *report.robustness_targets)


def _place(cell: Cell) -> tuple[str, str]:
    return cell.target, cell.optimizer


def _steps(cell: Cell) -> str:
    return f"{cell.steps.size} up to {cell.steps[-1]}"


def _listed(things: Iterable[object]) -> str:
    names = [f"{one:g}" if isinstance(one, float) else str(one) for one in things]
    return ", ".join(names) or "none"
