"""What a report says, in sentences: who was tuned, who is better, who diverged, what is missing."""

import json
from collections.abc import Iterable, Iterator

from lopt.evaluation.choices import DEFAULT, SINGLE, TUNED
from lopt.evaluation.failures import LEFT_OUT
from lopt.evaluation.measures import AREA, REFERENCE, SPEED_UP, SPEED_UP_IN_SECONDS
from lopt.evaluation.report import Report
from lopt.evaluation.scores import MEAN, Difference
from lopt.evaluation.texts import AT_END, part_text, value_text

HELD_OUT = "held_out/"
ROBUSTNESS = (
    "Here every optimizer, ours too, begins at every one of these learning rates, and nobody "
    "chooses: it is the paper's test of how much an optimizer minds. It enters neither the overall "
    "score nor the choice of the best single rate nor the gate: the target would count twice, and "
    "there is no rate to choose. Scores are areas, lower is better, with 95 % intervals over seeds."
)


def tuning(report: Report) -> str:
    """Say what was tuned: never ours, and the others on what they are scored on.

    **Example**

    ```python
    tuning(report)  # "Ours was not tuned: it has its default initial learning rate, ..."
    ```
    """
    swept = {len(report.of(name)[0].learning_rates) for name in report.optimizers} - {1}
    counts = " or ".join(map(str, sorted(swept)))
    best = f"has the best of its {counts} learning rates, chosen on the very trajectories"
    if not report.ours:
        return f"Each optimizer {best} that are scored here." if swept else "Nothing was tuned."
    line = _untuned(report)
    if not swept:
        return f"{line} Neither were the others: each had one learning rate."
    return f"{line} The others were: each {best} that are scored here, which favours them."


def sweep_ends(report: Report) -> list[str]:
    """Say how many of the chosen learning rates lie at an end of those tried, if any was chosen.

    **Example**

    ```python
    sweep_ends(report)  # ["† marks ...: 3 of 11 best single rates and 57 of 253 best rates ..."]
    ```
    """
    scores = report.scores(AREA)
    single = [one.at_end for one in scores if one.choice == SINGLE and one.target == MEAN]
    tuned = [one.at_end for one in scores if one.choice == TUNED and one.target != MEAN]
    if not single:
        return []
    return [
        f"{AT_END} marks a learning rate that was chosen though it is the least or the greatest of "
        f"those tried, so that with more of them the optimizer may do better: "
        f"{part_text(sum(single), len(single))} best single rates and "
        f"{part_text(sum(tuned), len(tuned))} best rates for a target."
    ]


def summary(report: Report) -> list[str]:
    """Say of each of ours how soon it reaches Adam's final loss, and how often it diverges.

    **Example**

    ```python
    summary(report)[-1]  # "Of ours, 0 of 64 trajectories diverged (0 %); ..."
    ```
    """
    return [
        line
        for ours in report.ours
        for line in (*_reaching(report, ours), _divergence(report, ours))
    ]


def verdicts(report: Report) -> list[str]:
    """Say of each of ours how it compares with each other optimizer, and where it loses.

    **Example**

    ```python
    for sentence in verdicts(report):
        print(sentence)
    ```
    """
    return [line for ours in report.ours for line in verdict(report, ours)]


def verdict(report: Report, ours: str) -> list[str]:
    """Say how ours compares with each other optimizer, and on which targets it loses.

    **Example**

    ```python
    for sentence in verdict(report, "learned"):
        print(sentence)
    ```
    """
    others = [name for name in report.optimizers if name != ours]
    return [*(_sentence(report, ours, other) for other in others), *_losses(report, ours)]


def missing(report: Report) -> list[str]:
    """Say what could not be compared and why, and which finished cells were left out with it.

    **Example**

    ```python
    missing(report)  # ["Missing: Muon on digits/mlp (out of memory)."]
    ```
    """
    failed = [
        f"Missing: {one.optimizer} on {one.target} ({one.reason})." for one in report.failures
    ]
    return [*failed, *_left_out(report)]


def held_out_difference(report: Report, ours: str, other: str, choice: str) -> Difference:
    """Return by how much ours differs from another on the mean of the held-out draws.

    Of all targets where there are no held-out draws; an optimizer with one learning rate has
    that, whatever is chosen.

    **Example**

    ```python
    held_out_difference(report, "learned", "Adam", "best single rate").verdict
    ```
    """
    return next(
        gap
        for gap in _held_out(report).differences(ours, AREA)
        if (gap.other, gap.target) == (other, MEAN) and gap.choice in {choice, DEFAULT}
    )


def gap_text(gap: Difference) -> str:
    """Write a difference with its interval.

    **Example**

    ```python
    gap_text(report.differences("learned", "area")[-1])  # "-0.310 (-0.401 to -0.220)"
    ```
    """
    return f"{gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})"


def _left_out(report: Report) -> Iterator[str]:
    for name, fact in report.facts.items():
        of, _, kind = name.rpartition("/")
        if kind == LEFT_OUT:
            places = (f"{cell} ({place})" for cell, place in json.loads(fact).items())
            yield f"Left out{of and f' of {of}'}, though computed: {', '.join(places)}."


def _untuned(report: Report) -> str:
    rates = {name: f"{report.of(name)[0].learning_rates[0]:g}" for name in report.ours}
    default = "its default initial learning rate"
    if len(rates) == 1:
        (rate,) = rates.values()
        return f"Ours was not tuned: it has {default}, {rate}, on every target."
    listed = ", ".join(f"{rate} for {name}" for name, rate in rates.items())
    return f"Ours were not tuned: each has {default}, on every target ({listed})."


def _subject(report: Report, ours: str) -> str:
    return "Ours" if report.ours == (ours,) else ours


def _held_out(report: Report) -> Report:
    has = any(target.startswith(HELD_OUT) for target in report.targets)
    return report.only(HELD_OUT if has else "")


def _sentence(report: Report, ours: str, other: str) -> str:
    gaps = [held_out_difference(report, ours, other, choice) for choice in (SINGLE, TUNED)]
    parts = [f"{gap.verdict} at its {gap.choice}, {gap_text(gap)}" for gap in dict.fromkeys(gaps)]
    has = any(target.startswith(HELD_OUT) for target in report.targets)
    where = "the held-out draws" if has else "all targets"
    return f"{_subject(report, ours)} against {other} on {where}: {'; '.join(parts)}."


def _losses(report: Report, ours: str) -> Iterator[str]:
    worse: dict[tuple[str, str], list[str]] = {}
    for gap in report.differences(ours, AREA):
        if gap.verdict == "worse" and gap.choice in {TUNED, DEFAULT} and gap.target != MEAN:
            found = worse.setdefault((gap.other, gap.choice), [])
            found.append(f"{gap.target} ({gap.value:+.2f})")
    for (other, choice), targets in worse.items():
        yield (
            f"{_subject(report, ours)} loses to {other} at the {choice} on: {', '.join(targets)}."
        )


def _reaching(report: Report, ours: str) -> Iterator[str]:
    rows = [row for row in report.reachings() if row.optimizer == ours]
    if not rows:
        return
    reached, pairs = sum(row.reached for row in rows), sum(row.trajectories for row in rows)
    factors = [
        "{} ({} to {}) in {}".format(
            *(value_text(measure, value) for value in (one.value, one.low, one.high)), what
        )
        for measure, what in ((SPEED_UP, "steps"), (SPEED_UP_IN_SECONDS, "seconds"))
        for one in report.scores(measure)
        if (one.optimizer, one.target) == (ours, MEAN)
    ]
    yield (
        f"{_subject(report, ours)} reaches {REFERENCE}'s final loss in {reached} of {pairs} pairs "
        f"of a target and a seed; its speed-up over {REFERENCE} at its {TUNED} is, as a geometric "
        f"mean, {' and '.join(factors)}."
    )


def _divergence(report: Report, ours: str) -> str:
    rows = {(row.optimizer, row.choice): row for row in report.divergences()}
    mine = rows[ours, DEFAULT]
    others = [
        f"{row.diverged} of {name}"
        for (name, choice), row in rows.items()
        if name != ours and choice in {SINGLE, DEFAULT} and row.diverged
    ]
    of = "ours" if report.ours == (ours,) else ours
    more = mine.risen - mine.diverged
    risen = f", and {more} more ended above their first loss" if more else ""
    return (
        f"Of {of}, {mine.diverged} of {mine.trajectories} trajectories diverged "
        f"({100 * mine.fraction:.3g} %){risen}; of each of the others' at its best single rate: "
        f"{_listed(others)}."
    )


def _listed(parts: Iterable[str]) -> str:
    return ", ".join(parts) or "none"
