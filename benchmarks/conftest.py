"""A table of what was measured, at the end of the terminal's output and in the JSON file."""

import platform
from collections.abc import Callable
from typing import Any

import jax
import pytest
from rich.console import Console
from rich.table import Table

from lopt.cores import usable_cores

Row = dict[str, Any]
WIDTH = 140
TABLES = pytest.StashKey[dict[str, list[Row]]]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin without tables, and with as many devices as a flow takes by default."""
    jax.config.update("jax_num_cpu_devices", usable_cores())
    config.stash[TABLES] = {}


@pytest.fixture
def benchmark_table(request: pytest.FixtureRequest, benchmark) -> Callable[[str, Row], None]:
    """A function that adds a row to the table of a name, and says it at once.

    A table takes an hour, and what has been measured is not to be lost with the rest.
    """
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")

    def add(table: str, row: Row) -> None:
        reporter.write_line(f"\n{table}: " + ", ".join(f"{name} {row[name]}" for name in row))
        request.config.stash[TABLES].setdefault(table, []).append(row)
        benchmark.extra_info |= {name: str(value) for name, value in row.items()}

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tables, and what they were measured on."""
    console = Console(width=WIDTH)
    for name, rows in terminalreporter.config.stash[TABLES].items():
        with console.capture() as text:
            console.print(drawn(name, rows))
        terminalreporter.write("\n" + text.get())


def drawn(name: str, rows: list[Row]) -> Table:
    """Lay out one table; a ratio is its median over paired rounds with the quartiles."""
    device = jax.devices()[0].device_kind
    caption = f"median (quartiles) of paired rounds; {device}, jax {jax.__version__}"
    table = Table(title=name, caption=f"{caption}, Python {platform.python_version()}")
    for column in rows[0]:
        justify = "left" if column == "optimizer" else "right"
        table.add_column(column, justify=justify, no_wrap=True)
    for row in rows:
        table.add_row(*map(str, row.values()))
    return table
