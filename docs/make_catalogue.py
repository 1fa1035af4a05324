"""Write docs/catalogue.md: every problem, ensemble, architecture and target there is.

PYTHONPATH=. .venv/bin/python docs/make_catalogue.py
"""

import collections
import inspect
import textwrap
from collections.abc import Sequence
from pathlib import Path

import equinox as eqx
import jax

import lopt.architectures
from lopt.architectures import LearnedOptimizer
from lopt.catalogue import concrete_classes
from lopt.ensembles import Row, draw_ensemble
from lopt.evaluation.image_network import ImageNetwork
from lopt.evaluation.named_targets import networks_by_name, problems_by_name
from lopt.problems.constructors import Constructor, constructors
from lopt.state_size import state_bytes_per_param
from tasks.confs import EnsembleConf
from tasks.ensemble_data import stand_ins
from tasks.ensembles import read_entries

FILE = Path(__file__).with_name("catalogue.md")
ENSEMBLES = Path(__file__).parents[1] / "conf" / "ensembles"
SHAPES = {"digits": (8, 8, 1), "MNIST's family": (28, 28, 1), "CIFAR-10": (32, 32, 3)}
SHIPPED = sorted(path.stem for path in ENSEMBLES.glob("*.yaml"))

HEAD = """# Catalogue

Written by `docs/make_catalogue.py`, from what the library finds by walking its packages.
"""


def text() -> str:
    """Return the page."""
    drawn = {name: _rows(name) for name in SHIPPED}
    parts = [HEAD, _ensembles(drawn), _sets(drawn), _problems(), _architectures(), _targets()]
    return "\n".join(parts)


def _rows(name: str) -> Sequence[Row]:
    entries = read_entries(EnsembleConf(entries=str(ENSEMBLES / f"{name}.yaml")))
    return draw_ensemble(entries, 0, stand_ins()).rows


def _ensembles(drawn: dict[str, Sequence[Row]]) -> str:
    rows = [
        (f"`{name}.yaml`", len(rows), len({row.program for row in rows}), _counts(rows, "category"))
        for name, rows in drawn.items()
    ]
    return "## Ensembles\n\n" + _table(("file", "entries", "programs", "categories"), rows)


def _counts(rows: Sequence[Row], column: str) -> str:
    counts = collections.Counter(getattr(row, column) for row in rows)
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _sets(drawn: dict[str, Sequence[Row]]) -> str:
    rows_of = collections.defaultdict(list)
    for row in (*drawn["release"], *drawn["release_off"]):
        rows_of[row.problem_set].append(row)
    paper = {row.problem_set for row in drawn["paper"]}
    release = {row.problem_set for row in drawn["release"]}
    rows = [
        (
            f"`{name}`",
            rows[0].category,
            len(rows),
            ", ".join(dict.fromkeys(row.family for row in rows)),
            "yes" if name in release else "",
            "yes" if name in paper else "",
        )
        for name, rows in sorted(rows_of.items())
    ]
    head = ("set", "category", "entries", "families, each a program", "release", "paper")
    return "## Sets\n\n" + _table(head, rows)


def _problems() -> str:
    rows = [
        (f"`{name}`", _arguments(constructor), _sentence(constructor.make))
        for name, constructor in constructors().items()
    ]
    return "## Problems\n\n" + _table(("problem", "arguments in a spec", "what"), rows)


def _arguments(constructor: Constructor) -> str:
    parameters = inspect.signature(constructor.make).parameters
    others = [name for name in (constructor.data_set,) if name]
    names = [*others, *constructor.values]
    shown = [
        f"`{name}`"
        if parameters[name].default is inspect.Parameter.empty
        else f"`{name}={_plain(parameters[name].default)}`"
        for name in names
    ]
    if constructor.inner or constructor.parts:
        shown.append("`of`" if constructor.inner else "`of` (a list)")
    return ", ".join(shown)


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _architectures() -> str:
    rows = []
    for name, architecture in concrete_classes(lopt.architectures, LearnedOptimizer).items():
        for preset in architecture.presets:
            optimizer = getattr(architecture, preset)(key=jax.random.key(0))
            meta_params = jax.tree.leaves(eqx.filter(optimizer, eqx.is_inexact_array))
            rows.append(
                (
                    f"`{name}`",
                    f"`{preset}`",
                    f"{sum(leaf.size for leaf in meta_params):,}",
                    f"{round(state_bytes_per_param(optimizer), 1):g}",
                    _sentence(architecture),
                )
            )
    head = ("architecture", "preset", "meta-params", "state, bytes per param", "what")
    note = (
        "\nThe state is that of one tensor of 1024 x 1024; Adam's is 8 bytes per param. Vectors of "
        "`AdafactorMLP` take 28, for they have no rows and columns to share averages in.\n"
    )
    return "## Architectures\n\n" + _table(head, rows) + note


def _targets() -> str:
    rows = [
        (
            f"`{name}`",
            *(_params(network, shape) for shape in SHAPES.values()),
            "yes" if network.remembers else "",
        )
        for name, network in sorted(networks_by_name().items())
    ]
    head = ("network", *(f"params on {images}" for images in SHAPES), "batch normalization")
    without = ", ".join(f"`{name}`" for name in problems_by_name())
    note = (
        "\nA target is called by its data set and its network, as in `digits/mlp`; what has no "
        "number takes larger images or others; `inception-v3` takes 75 x 75 pixels or more. "
        f"Targets without a data set: {without}.\n"
    )
    return "## Targets\n\n" + _table(head, rows) + note


def _params(network: ImageNetwork, shape: tuple[int, int, int]) -> str:
    if network.refusal(shape):
        return ""
    params = eqx.filter_eval_shape(lambda key: network.make(shape, 10, key=key), jax.random.key(0))
    return f"{sum(leaf.size for leaf in jax.tree.leaves(params)):,}"


def _sentence(described: type) -> str:
    """Return the first paragraph of a docstring on one line."""
    return " ".join(textwrap.dedent(str(described.__doc__)).split("\n\n")[0].split())


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(
        "| " + " | ".join(str(c).replace("|", "\\|") for c in row) + " |\n" for row in lines
    )


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
