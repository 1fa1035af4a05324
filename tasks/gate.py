"""A challenger against the champion: the ruling, and what follows from it in the registry."""

from pathlib import Path
from typing import TYPE_CHECKING

from prefect import task
from prefect.artifacts import (
    create_image_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from tasks import links, promotion, publication, tags, tracking
from tasks.alias_history import NOTHING
from tasks.confs import GateConf
from tasks.errors import may_pass
from tasks.gate_page import ruling_page, ruling_table
from tasks.promotion import AnotherChampionError
from tasks.references import ModelVersionReference, Reference, ReportReference

if TYPE_CHECKING:
    from lopt.evaluation.gate import Ruling

RULING = "gate"
PICTURE = "plots/gate.png"
CARD_HEADING = "## The gate"
LONGEST = 5000
"""Characters that MLflow takes in a tag of a version."""


class UnlikeReportsError(ValueError):
    """Two reports that say nothing of each other."""


class Decision(Reference):
    """What became of a challenger."""

    version: ModelVersionReference
    """The challenger, under the alias that it was to have."""
    promoted: bool
    champion: int | None
    """Which version it was compared with, `None` if there was none."""
    words: str
    reasons: tuple[str, ...] = ()
    outdated: bool = False
    """Whether somebody else became champion meanwhile, so that it has to be compared again."""
    forced: bool = False
    """Whether there is a champion, and a person has not asked the gate."""


def sources(
    version: ModelVersionReference, mine: ReportReference, champion: int, theirs: ReportReference
) -> list[str]:
    """Return both reports as they are merged, each under the name of its version."""
    names = _names(version, champion)
    return [f"{name}={one.directory}" for name, one in zip(names, (mine, theirs), strict=True)]


def versions_of(version: ModelVersionReference, champion: int) -> list[str]:
    """Return where the newest reports of both versions are, each under the name of its version."""
    numbers = version.version, champion
    places = [f"models:/{version.name}/{number}" for number in numbers]
    return [f"{one}={place}" for one, place in zip(_names(version, champion), places, strict=True)]


@task(name="rule-on-challenger")
def rule_on(
    conf: GateConf, pair: ReportReference, version: ModelVersionReference, champion: int
) -> "Ruling":
    """Return whether the challenger may take the champion's place, from a report of both alone."""
    from lopt.evaluation import Report
    from lopt.evaluation.gate import rule

    report = Report.read(Path(pair.directory))
    return rule(report, *_names(version, champion), conf.tolerance)


@task(name="settle-challenge")
def settle(
    version: ModelVersionReference, champion: int | None, ruling: "Ruling | None"
) -> Decision:
    """Move the alias if the ruling says so, or where there is none: the gate was not asked.

    It does not move if the champion is not the one that was compared with: `Decision.outdated`.
    """
    decision = intended(version, champion, ruling)
    if decision.promoted:
        try:
            promotion.promote(version, champion)
        except AnotherChampionError as error:
            words = _words(version, champion, promoted=False)
            changes = {"promoted": False, "outdated": True, "words": words}
            return decision.model_copy(update={**changes, "reasons": (str(error),)})
    return decision


def intended(
    version: ModelVersionReference, champion: int | None, ruling: "Ruling | None"
) -> Decision:
    """Return what a ruling says is to be done; without one there is nothing against it."""
    # Who has become champion already stays it: a person rolls back.
    is_champion = promotion.holder(version.name, version.alias) == version.version
    accepted = ruling is None or ruling.promoted or is_champion
    return Decision(
        version=version,
        promoted=accepted,
        champion=champion,
        words=_words(version, champion, promoted=accepted),
        reasons=() if ruling is None else ruling.reasons,
        forced=ruling is None and champion is not None,
    )


@task(name="announce-decision", retries=2, retry_delay_seconds=5, retry_condition_fn=may_pass)
def announce(decision: Decision, ruling: "Ruling | None", mlflow_run_id: str) -> None:
    """Say what was decided: on the version, in the MLflow run, and as artifacts in Prefect."""
    page = decision.words if ruling is None else ruling_page(ruling, decision.words)
    _note(decision, ruling)
    tracking.set_tags(mlflow_run_id, {tags.GATE: _said(decision), tags.GATE_WORDS: decision.words})
    tracking.client().log_text(mlflow_run_id, page, f"{RULING}/ruling.md")
    create_markdown_artifact(
        page, key=RULING, description=f"{_said(decision)}: {decision.version.name}"
    )
    if ruling is not None:
        _show(ruling, mlflow_run_id)


def refuse_unlike(pair: ReportReference, version: ModelVersionReference, champion: int) -> None:
    """Raise `UnlikeReportsError` if two reports were made by other confs or other code."""
    from lopt.evaluation import Report

    facts = Report.read(Path(pair.directory)).facts
    for key in ("conf", "library"):
        said = [facts.get(f"{name}/{key}") for name in _names(version, champion)]
        if said[0] != said[1]:
            raise UnlikeReportsError(
                f"The newest reports of versions {version.version} and {champion} were made with "
                f"another {key}. Evaluate both alike: `python -m flows.evaluate_release --conf "
                f"conf/nightly.yaml --release models:/{version.name}/{version.version}`, and the "
                f"same for {champion}."
            )


@task(name="announce-roll-back")
def announce_roll_back(version: ModelVersionReference, words: str) -> None:
    """Show in Prefect that the alias was moved back."""
    create_markdown_artifact(f"{words}.\n", key="rolled-back", description=version.uri)


def _names(version: ModelVersionReference, champion: int) -> tuple[str, str]:
    return f"version {version.version}", f"version {champion}"


def _words(version: ModelVersionReference, champion: int | None, *, promoted: bool) -> str:
    name = f"{version.name} version {version.version}"
    if not promoted:
        return f"{name} is not made {version.alias}."
    if champion is None:
        return f"{name} is now {version.alias}. There was none before."
    return f"{name} is now {version.alias}; before it was version {champion}."


def _note(decision: Decision, ruling: "Ruling | None") -> None:
    """Write the decision on the version: tags to filter by, and the end of its model card."""
    client, version = tracking.client(), decision.version
    number = str(version.version)
    said = {
        tags.GATE: _said(decision),
        tags.GATE_CHAMPION: NOTHING if decision.champion is None else str(decision.champion),
    }
    # What the gate had said before stays where a person does not ask it.
    if ruling is not None:
        from lopt.evaluation.words import gap_text

        said[tags.GATE_REASONS] = " ".join(decision.reasons)
        said[tags.GATE_DIFFERENCE] = gap_text(ruling.mean)
    for key, value in said.items():
        client.set_model_version_tag(version.name, number, key, value[:LONGEST])
    lines = [decision.words, *decision.reasons]
    publication.append_to_card(version, CARD_HEADING, "\n".join(f"* {line}" for line in lines))


def _show(ruling: "Ruling", mlflow_run_id: str) -> None:
    from lopt.evaluation.gate_plot import ruling_figure

    tracking.client().log_figure(mlflow_run_id, ruling_figure(ruling), PICTURE)
    table = ruling_table(ruling)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    create_table_artifact(rows, key="gate-targets", description=ruling.words)
    if url := links.artifact_address(mlflow_run_id, PICTURE):
        create_image_artifact(url, key="gate-plot", description=ruling.words)


def _said(decision: Decision) -> str:
    if decision.forced:
        return "forced"
    return "promoted" if decision.promoted else "refused"
