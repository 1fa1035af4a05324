"""Which optimizers a figure compares at which rates, and the cells that it is drawn of."""

from collections.abc import Mapping, Sequence

from tasks.cell_orders import OURS, CandidateReference, CellOrder, orders_of
from tasks.confs import EnsembleConf, EvaluationConf, FigureConf
from tasks.ensembles import read_entries
from tasks.evaluation_targets import TargetReference, data_sets_of
from tasks.references import ReleaseReference


def figure_data_sets(
    figure: FigureConf, ensemble: EnsembleConf, evaluation: EvaluationConf
) -> tuple[str, ...]:
    """Return the names of the data sets that are evaluated on, and that variants learn from."""
    from lopt.problems.named_data_sets import named_data_sets

    learned_from = named_data_sets(read_entries(ensemble)) if figure.variants else ()
    return tuple(dict.fromkeys((*data_sets_of(evaluation), *learned_from)))


def figure_orders(
    figure: FigureConf,
    evaluation: EvaluationConf,
    targets: Sequence[TargetReference],
    release: ReleaseReference | None,
    trained: Mapping[str, ReleaseReference],
) -> list[CellOrder]:
    """Return the cells of a figure, target by target: the release, the variants, the baselines."""
    learned = trained if release is None else {OURS: release, **trained}
    candidates = [
        *(_learned(figure, name, one) for name, one in learned.items()),
        *(_baseline(figure, evaluation, name) for name in evaluation.baselines),
    ]
    return orders_of(evaluation, targets, candidates)


def facts_of(figure: FigureConf, orders: Sequence[CellOrder]) -> dict[str, str]:
    """Return where a figure came from: its conf, code, releases and data."""
    facts = {"figure": figure.canonical(), "library": orders[0].library}
    for order in orders:
        facts |= order.target.sources
        if order.candidate.release is not None:
            facts[f"{order.candidate.name}/release"] = order.candidate.release.digest
    return facts


def _learned(figure: FigureConf, name: str, release: ReleaseReference) -> CandidateReference:
    from lopt.architectures.learning_rates import DEFAULT_LEARNING_RATE

    rates = figure.initial_rates if figure.number == 5 else (DEFAULT_LEARNING_RATE,)
    return CandidateReference(name=name, learning_rates=rates, release=release)


def _baseline(figure: FigureConf, evaluation: EvaluationConf, name: str) -> CandidateReference:
    if figure.number == 5:
        rates = figure.initial_rates
    else:
        rates = (figure.rates[name],) if name in figure.rates else evaluation.learning_rates
    return CandidateReference(name=name, learning_rates=rates)
