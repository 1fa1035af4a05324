"""A report as one HTML file with interactive plots that needs no other file and no network."""

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from lopt.evaluation.interactive import heat_map, loss_plot, profile_plot, speed_up_plot
from lopt.evaluation.interactive_rates import rates_plot
from lopt.evaluation.measures import AREA, REFERENCE, SPEED_UP
from lopt.evaluation.overview import overview_table
from lopt.evaluation.report import Report
from lopt.evaluation.robustness import over_rates, robustness
from lopt.evaluation.tables import (
    Table,
    difference_table,
    divergence_table,
    reaching_table,
    robustness_table,
    score_table,
)
from lopt.evaluation.words import ROBUSTNESS, missing, summary, sweep_ends, tuning, verdicts
from lopt.web_page import details, document, note, numbers

if TYPE_CHECKING:
    import plotly.graph_objects as go

STYLE = """<style>
.verdict-better { background: #d9efe6; } .verdict-worse { background: #fbe0d3; }
nav a { margin-right: 1rem; } td:not(:first-child) { white-space: nowrap; }
.facts td { white-space: normal; overflow-wrap: anywhere; } .facts td:first-child { width: 15rem; }
</style>"""
VERDICTS = ("better", "worse")
AREA_WORDS = (
    "Area is the mean over the recorded steps of log10(loss / first loss), from -6 to 2, where "
    "2 is what a diverged trajectory counts; lower is better. Intervals are of 95 %, by bootstrap "
    "over seeds, which are paired in differences; every target weighs the same."
)
ROBUSTNESS_TITLE = "Robustness over initial learning rates"
SPEED_WORDS = (
    f"Speed-up over {REFERENCE} is what makes targets comparable: by how many times fewer steps a "
    f"trajectory reaches the final loss of {REFERENCE} at its best rate for the target, at the "
    "same seed. One that never does is charged with all its steps, and compared with those in "
    f"which {REFERENCE} reaches what it ended with; a diverged one with {REFERENCE}'s first "
    "recorded step. Thus no pair is left out and none is infinite. Seconds are those of one "
    "training where as many run together for every optimizer, as they were measured: with "
    "whatever else that machine did meanwhile."
)


def report_page(report: Report, more: Mapping[str, str]) -> str:
    """Return the page; `more` are facts that the report does not know, such as a command.

    plotly's program is in it, once: that is nearly 5 MB of the page.

    **Example**

    ```python
    page = report_page(report, {"command": "python -m flows.evaluate_release"})
    Path("report.html").write_text(page, encoding="utf-8")
    ```
    """
    from plotly.offline import get_plotlyjs

    parts = [
        _head(report),
        *_overview(report),
        *_speed(report),
        *_curves(report),
        *_robustness(report),
        "<h2 id='divergence'>Divergence</h2>",
        note(
            "Of all pairs of a target and a seed. A trajectory diverges when a recorded loss is "
            "not finite; the interval is Wilson's."
        ),
        html_table(divergence_table(report.divergences())),
        *_scores(report),
        "<h2 id='facts'>Where this comes from</h2>",
        _facts(report, more),
    ]
    script = f"<script>{get_plotlyjs()}</script>"
    return document(_title(report), "\n".join(parts), STYLE + script)


def _title(report: Report) -> str:
    names = "a learned optimizer" if len(report.ours) < 2 else ", ".join(report.ours)
    return f"Report on {names}"


def _head(report: Report) -> str:
    trained = sum(cell.diverged.size for cell in report.cells)
    apart = len(report.robustness_targets)
    counts = {
        "targets": len(report.targets),
        **({"targets from all rates": apart} if apart else {}),
        "optimizers": len(report.optimizers),
        "seeds": report.cells[0].seeds,
        "trainings in all": trained,
    }
    links = {
        "overview": "All targets together",
        "speed": "Speed-up",
        "curves": "Curves",
        **({"robustness": ROBUSTNESS_TITLE} if report.robustness_targets else {}),
        "divergence": "Divergence",
        "scores": "All scores",
        "facts": "Where this comes from",
    }
    anchors = "".join(f"<a href='#{anchor}'>{title}</a>" for anchor, title in links.items())
    return (
        f"<h1>{html.escape(_title(report))}</h1>\n"
        f'<div class="digest">SHA-256 {report.digest}</div>\n'
        f"{numbers(counts)}<nav>{anchors}</nav>"
    )


def _overview(report: Report) -> Iterator[str]:
    yield "<h2 id='overview'>All targets together</h2>"
    said = " ".join([tuning(report), *sweep_ends(report)])
    yield f'<p class="warning">{html.escape(said)}</p>'
    if lines := missing(report):
        yield _warning(lines)
    yield _list(summary(report))
    yield html_table(overview_table(report))
    yield note(AREA_WORDS)
    yield details("Who is better, one by one", _list(verdicts(report)))
    yield _plot(heat_map(report))


def _warning(lines: Sequence[str]) -> str:
    return f'<p class="warning"><b>{"<br>".join(map(html.escape, lines))}</b></p>'


def _speed(report: Report) -> Iterator[str]:
    yield "<h2 id='speed'>Normalised: speed-up over Adam</h2>"
    if SPEED_UP not in report.measures:
        yield note(f"Nothing is known of it: {REFERENCE} is not among the optimizers.")
        return
    yield note(SPEED_WORDS)
    yield _plot(speed_up_plot(report))
    yield _plot(profile_plot(report))
    yield details(
        f"Steps and seconds to {REFERENCE}'s final loss, target by target",
        note("Medians over the seeds; in brackets how many ever were there.")
        + html_table(reaching_table(report.reachings())),
    )


def _curves(report: Report) -> Iterator[str]:
    yield "<h2 id='curves'>Curves</h2>"
    yield note(
        "Lines are medians over the seeds, bands reach from the first to the third quartile. Solid "
        "lines are at an optimizer's default or best single rate, dashed ones at its best rate for "
        "the target where that is another. A click on a name hides its curve, a double click hides "
        "all others."
    )
    for target in report.targets:
        yield _plot(loss_plot(report, target))


def _robustness(report: Report) -> Iterator[str]:
    if not report.robustness_targets:
        return
    cells = report.from_all_rates
    yield f"<h2 id='robustness'>{ROBUSTNESS_TITLE}</h2>"
    yield note(ROBUSTNESS)
    for target in report.robustness_targets:
        yield _plot(rates_plot(report, target))
    yield html_table(robustness_table(robustness(cells), over_rates(cells)))


def _scores(report: Report) -> Iterator[str]:
    yield "<h2 id='scores'>All scores</h2>"
    for measure in report.measures:
        parts = [html_table(score_table(report.scores(measure)))]
        for ours in report.ours:
            table = html_table(difference_table(report.differences(ours, measure)))
            parts += [note(f"{html.escape(ours)} against the others, paired by seed:"), table]
        yield details(
            f"{measure}{'' if measure != AREA else ', by which rates are chosen'}", "".join(parts)
        )


def _facts(report: Report, more: Mapping[str, str]) -> str:
    rows = tuple((key, _told(value)) for key, value in {**report.facts, **more}.items())
    return f'<div class="facts">{html_table(Table(("what", "value"), rows))}</div>'


def _told(value: str) -> str:
    """Return a fact as one reads it: a conf is an object of JSON."""
    if not value.startswith("{"):
        return value
    return ", ".join(f"{key} = {one}" for key, one in json.loads(value).items())


def _plot(figure: "go.Figure") -> str:
    config = {"displaylogo": False, "responsive": True}
    return str(figure.to_html(full_html=False, include_plotlyjs=False, config=config))


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"


def html_table(table: Table) -> str:
    """Return a table as HTML that may be scrolled; verdicts have their colours.

    **Example**

    ```python
    html_table(score_table(report.scores("area")))
    ```
    """
    head = "".join(f"<th>{html.escape(column)}</th>" for column in table.columns)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in table.rows)
    whole = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="wide">{whole}</div>'


def _cell(text: str) -> str:
    said = text.rpartition(" ")[2]
    kind = f' class="verdict-{said}"' if said in VERDICTS else ""
    return f"<td{kind}>{html.escape(text)}</td>"
