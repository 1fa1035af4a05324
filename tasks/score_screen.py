"""A table of scores on a terminal, with every cell whole however narrow it is."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from tasks.score_table import ScoreTable

UNBOUNDED = 10_000


def fitting(table: ScoreTable, console: Console) -> Iterator[Table]:
    """Yield the table as the console can hold it: with cells of one line, or of two, or in parts.

    **Example**

    ```python
    for part in fitting(score_table(report, "learned"), console):
        console.print(part)
    ```
    """
    for shown in (_rich(table), _rich(_stacked(table))):
        if _width(shown, console) <= console.width:
            yield shown
            return
    others = len(table.heading) - 2
    if others < 2:
        # Nothing is left to take away: Rich breaks the cells where they end.
        yield shown
        return
    for first, last in ((2, 2 + others // 2), (2 + others // 2, 2 + others)):
        yield from fitting(_columns(table, first, last), console)


def _rich(table: ScoreTable) -> Table:
    shown = Table(title="Scores", title_justify="left")
    for index, name in enumerate(table.heading):
        shown.add_column(name, justify="left" if index == 0 else "right", overflow="fold")
    for row in table.rows:
        shown.add_row(*row, style="bold" if row[0].startswith("mean") else None)
    return shown


def _width(shown: Table, console: Console) -> int:
    return console.measure(shown, options=console.options.update(width=UNBOUNDED)).maximum


def _stacked(table: ScoreTable) -> ScoreTable:
    """Return the table with the second half of each cell on a line of its own."""
    rows = (
        (
            name.replace("/", "/\n").replace(" (", "\n("),
            *(cell.replace(" ±", "\n±") for cell in cells),
        )
        for name, *cells in table.rows
    )
    return ScoreTable(table.heading, tuple(rows))


def _columns(table: ScoreTable, first: int, last: int) -> ScoreTable:
    """Return the part with the targets, ours and some of the others."""
    lines = ((*line[:2], *line[first:last]) for line in (table.heading, *table.rows))
    heading, *rows = lines
    return ScoreTable(heading, tuple(rows))
