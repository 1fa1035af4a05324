"""What a figure names has to be there, and has to be something that the figure can show."""

from collections.abc import Iterator

from tasks import hosts
from tasks.cell_orders import OURS
from tasks.confs import EvaluationConf, FigureConf


def refusals(figure: FigureConf, evaluation: EvaluationConf) -> list[str]:
    """Say what does not fit, in a line a mistake, before any work."""
    lines = [*_names(figure, evaluation), *_repeated(figure), *_apart(evaluation)]
    if not (figure.with_release or figure.variants):
        lines.append(
            "figure.with_release: False is not allowed; allowed: only with figure.variants, or "
            "there would be no learned optimizer"
        )
    if figure.number == 6 and len(figure.only or figure.variants) < 2:
        lines.append(
            f"figure.variants: {len(figure.only or figure.variants)} of them are not allowed; "
            "allowed: the full rule and at least another in figure 6"
        )
    if figure.number == 7:
        lines += _step_times(figure, evaluation)
    if hosts.mistakes() or hosts.hosts():
        lines.append(
            f"{' or '.join(hosts.named())}: names several processes; allowed: one, by which "
            "figures are made"
        )
    return lines


def _names(figure: FigureConf, evaluation: EvaluationConf) -> Iterator[str]:
    baselines = ", ".join(evaluation.baselines)
    for name, rate in figure.rates.items():
        if name not in evaluation.baselines:
            yield (
                f"figure.rates.{name}: {rate} is not allowed, for evaluation.baselines has no such "
                f"baseline; allowed: {baselines}"
            )
    for name in figure.variants:
        if name in (OURS, *evaluation.baselines):
            yield (
                f"figure.variants: {name!r} is not allowed; allowed: any name that is not one of "
                f"{OURS}, {baselines}"
            )
    for name in figure.panels:
        if name not in evaluation.targets and not name.startswith("held_out/"):
            yield (
                f"figure.panels: {name!r} is not allowed; allowed: a name of evaluation.targets, "
                f"which are {', '.join(evaluation.targets)}"
            )


def _repeated(figure: FigureConf) -> Iterator[str]:
    for key in ("initial_rates", "batch_sizes"):
        values = getattr(figure, key)
        for value in dict.fromkeys(values):
            if values.count(value) > 1:
                yield f"figure.{key}: {value} is there more than once; allowed: each once"


def _apart(evaluation: EvaluationConf) -> Iterator[str]:
    from lopt.evaluation.robustness import is_from_all_rates, trained_on

    for target in filter(is_from_all_rates, evaluation.targets):
        yield (
            f"evaluation.targets: {target!r} is not allowed in a figure; allowed: "
            f"{trained_on(target)!r}, which figure 5 begins at all figure.initial_rates"
        )


def _step_times(figure: FigureConf, evaluation: EvaluationConf) -> Iterator[str]:
    from lopt.datasets import SOURCES
    from lopt.evaluation.named_targets import networks_by_name

    networks = networks_by_name()
    for target in evaluation.targets:
        data_set, _, network = target.partition("/")
        if data_set not in SOURCES or network not in networks:
            yield (
                f"evaluation.targets: {target!r} is not allowed; allowed: in figure 7 "
                f"<data set>/<network> with a data set of {', '.join(SOURCES)} and a network of "
                f"{', '.join(sorted(networks))}"
            )
    known = (*evaluation.baselines, *([OURS] if figure.with_release else []), *figure.variants)
    if figure.reference not in known:
        yield (
            f"figure.reference: {figure.reference!r} is not allowed; allowed: one of "
            f"{', '.join(known)}"
        )
