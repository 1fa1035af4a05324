"""Comparing a release with hand-made optimizers: cells by a task runner, a report of them all."""

import json
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from prefect import task, unmapped
from prefect.futures import as_completed

from tasks import cells, settings, terminal
from tasks.cell_orders import OURS, CellOrder
from tasks.confs import EvaluationConf
from tasks.references import EnsembleReference, ReleaseReference, ReportReference, short
from tasks.task_runners import task_runner_of, worker_has_died

if TYPE_CHECKING:
    from lopt.evaluation import Failure


class NotHeldOutError(ValueError):
    """A release would be evaluated on what it was trained on."""


class NothingToReportError(RuntimeError):
    """So many cells have failed that nothing can be compared with ours."""


def check_held_out(
    conf: EvaluationConf, held_out: EnsembleReference, release: ReleaseReference
) -> None:
    """Raise `NotHeldOutError` if the release was trained or chosen on the held-out problems."""
    from lopt.loading import load

    provenance = load(release.directory).provenance
    if provenance is None:
        return
    if conf.held_out_seed == _validation_seed(provenance.conf):
        raise NotHeldOutError(
            f"The release {release.directory} is the checkpoint that was the best on the problems "
            f"that the seed {conf.held_out_seed} draws, so evaluation.held_out_seed has to be "
            "another one."
        )
    if provenance.ensemble_digest == held_out.digest:
        raise NotHeldOutError(
            f"The release {release.directory} was trained on the very ensemble "
            f"({held_out.digest[:12]}) that evaluation.held_out_seed = {conf.held_out_seed} draws: "
            "nothing would be held out. Choose another held_out_seed."
        )


def _validation_seed(conf: str | None) -> int | None:
    """Return the seed of the problems on which a meta-training's best checkpoint was chosen."""
    known = {} if conf is None else json.loads(conf)
    seed: int | None = known.get("meta_training", {}).get("validation_seed")
    return seed


def evaluate_cells(conf: EvaluationConf, orders: Sequence[CellOrder]) -> "list[Failure]":
    """Compute the cells that are not there yet, side by side; return those that have failed.

    Whatever becomes of one, the others are computed and stay. Those whose Dask workers have died
    are tried again, one at a time: thus no worker dies but by the cell that is computed.
    """
    missing = [order for order in orders if cells.find_cell(order) is None]
    done = len(orders) - len(missing)
    terminal.reach(done, "computed before" if done else "")
    if not missing:
        return []
    cells.STOP.clear()
    failures: list[Failure] = []
    again: list[CellOrder] = []
    with closing(_ended(conf, missing)) as ended:
        for order, future in ended:
            if not order.directory.is_dir() and worker_has_died(future):
                terminal.warn(f"{order.name}: workers died with it; it is tried again alone")
                again.append(order)
                continue
            failures += _failures(order, future)
            done += 1
            terminal.reach(done, order.name)
    for order in again:
        # By a runner of its own: that of the others holds their results, and would compute them
        # again beside it where they are lost with a worker.
        with closing(_ended(conf, [order])) as ended:
            for _, future in ended:
                failures += _failures(order, future)
        done += 1
        terminal.reach(done, order.name)
    return failures


def _ended(
    conf: EvaluationConf, orders: Sequence[CellOrder]
) -> Generator[tuple[CellOrder, Any], None, None]:
    """Compute cells side by side, and yield each with its future once that has ended."""
    seconds = unmapped(conf.checkpoint_seconds)
    mapped = {"order": list(orders), "checkpoint_seconds": seconds}
    with task_runner_of(conf) as runner:
        futures = runner.map(cells.evaluate_cell, mapped)
        ordered = dict(zip(futures, orders, strict=True))
        try:
            for future in as_completed(list(futures)):
                future.wait()
                yield ordered[future], future
        except BaseException:
            # Threads get no signals, and whoever leaves the runner waits for them.
            cells.STOP.set()
            raise


@task(name="write-report")
def write_report(
    conf: EvaluationConf, orders: "Sequence[CellOrder]", failures: "Sequence[Failure]"
) -> ReportReference:
    """Write the report on all cells that can be compared; those that failed are named in it."""
    from lopt.evaluation import Report
    from lopt.evaluation.robustness import is_from_all_rates

    kept = cells.whole_grid(orders)
    if OURS not in {cell.optimizer for cell in kept if not is_from_all_rates(cell.target)}:
        reasons = "; ".join(f"{one.optimizer} on {one.target}: {one.reason}" for one in failures)
        raise NothingToReportError(
            f"{len(failures)} of {len(orders)} cells have failed, and nothing is left to compare "
            f"the release on. The others are kept: the same command goes on. {reasons}"
        )
    facts = _facts(conf, orders) | cells.left_out(orders, kept)
    report = Report(kept, facts, tuple(failures))
    release = report.facts["release"]
    directory = settings.reports_root() / f"{short(release)}-{short(report.digest)}"
    # Where it is damaged it is put aside, and otherwise it is this very one.
    cells.read_whole(directory)
    report.write(directory)
    return ReportReference(directory=str(directory), digest=report.digest, release_digest=release)


def _failures(order: CellOrder, future: Any) -> "Iterator[Failure]":
    """Yield why a cell has failed, nothing if it has not."""
    from lopt.evaluation import Failure

    if order.directory.is_dir():
        return
    # Where a process died that Dask had started, nobody was left to say how it ended.
    said = future.state.message or "the process that computed it has died"
    reason = str(said).removeprefix("Task run encountered an exception ").splitlines()[0]
    terminal.warn(f"{order.name} has failed: {reason}")
    yield Failure(order.target.name, order.candidate.name, reason)


def _facts(conf: EvaluationConf, orders: Sequence[CellOrder]) -> dict[str, str]:
    """Return where a report came from."""
    facts = {"conf": conf.decisive(), "library": orders[0].library}
    for order in orders:
        facts |= order.target.sources
        if order.candidate.release is not None:
            facts["release"] = order.candidate.release.digest
    return facts
