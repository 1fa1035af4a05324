"""Which problems an optimizer is trained on, with which arguments and weights: data, not objects.

An ensemble is drawn from a conf with a seed into rows; a row is an entry, and says all that is
needed to make its problem again, bit for bit. Rows whose problems share one compiled program
make a group, which is what meta-training and evaluation work on.
"""

import collections
import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from lopt.ensemble_entries import EnsembleError, checked_entry, drawn
from lopt.ensemble_files import read_table, write_table
from lopt.ensemble_rows import Group, Row, stacked
from lopt.problems.images import NO_DATA_SETS, DataSets
from lopt.problems.named_data_sets import named_data_sets
from lopt.problems.programs import program_digest
from lopt.problems.specs import SpecError, build

__all__ = ["Ensemble", "EnsembleError", "Group", "Row", "draw_ensemble"]


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """The weighted problems of a meta-training, as rows.

    **Example**

    ```python
    ensemble = draw_ensemble(conf["entries"], seed=0)
    ensemble.write(Path("ensemble.parquet"))
    groups = Ensemble.read(Path("ensemble.parquet")).groups()
    ```
    """

    rows: tuple[Row, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the rows as canonical JSON, one a line."""
        lines = [_canonical(dataclasses.asdict(row)) for row in self.rows]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def write(self, path: Path) -> None:
        """Write one Parquet file, a row for each entry; an older file is replaced whole."""
        columns = {
            field.name: [getattr(row, field.name) for row in self.rows]
            for field in dataclasses.fields(Row)
        }
        write_table(path, columns, self.digest)

    @classmethod
    def read(cls, path: Path) -> "Ensemble":
        """Read what `write` wrote; raises `EnsembleError` if it is anything else."""
        columns, digest = read_table(path)
        ensemble = cls(tuple(Row(*values) for values in zip(*columns.values(), strict=True)))
        if ensemble.digest != digest:
            raise EnsembleError(
                f"{path}: its rows have the digest {ensemble.digest}, but it states {digest}. "
                f"Draw it again."
            )
        return ensemble

    @property
    def data_sets(self) -> dict[str, str]:
        """The digest of each data set that the rows are made of, by name."""
        of_rows = [json.loads(row.data_sets) for row in self.rows]
        return dict(sorted(pair for of_row in of_rows for pair in of_row.items()))

    def groups(
        self, data_sets: DataSets = NO_DATA_SETS, *, to_be_drawn: bool = False
    ) -> tuple[Group, ...]:
        """Build all problems and stack those of one family that share a program.

        A family that needs several programs becomes "family", "family/2" and so on, in the
        order of the rows. `data_sets` maps the names that specs use to data sets. Whoever draws
        each problem anew before it is used, as meta-training and `HeldOut` do, says that they are
        `to_be_drawn`: the constants that this replaces, half a minute's work for a large ensemble,
        are then zeros.

        Raises `EnsembleError` for what `Row.build` refuses: other data, or another lopt.
        """
        rows_of = collections.defaultdict(list)
        for row in self.rows:
            rows_of[row.family, row.program].append(row)
        seen = collections.Counter[str]()
        groups = []
        for (family, _), rows in rows_of.items():
            seen[family] += 1
            number = seen[family]
            name = family if number == 1 else f"{family}/{number}"
            groups.append(stacked(name, rows, data_sets, to_be_drawn=to_be_drawn))
        return tuple(groups)


def draw_ensemble(
    entries: Sequence[Any], seed: int, data_sets: DataSets = NO_DATA_SETS
) -> Ensemble:
    """Draw the rows that a conf describes; the same entries and seed give the same rows.

    An entry is `{"family": "bowls", "count": 8, "weight": 1.0, "spec": {...}}`: `count` rows
    (1 by default), each with its own numbers where the spec holds a distribution
    (`{"uniform": [low, high]}`, `{"log_uniform": [low, high]}`, `{"choice": [...]}`), which
    share the entry's `weight` (1 by default) among them, so that more rows mean more variety
    but no more attention. It may also say to which `category` and `problem_set` it belongs.

    Specs may name the data sets that are given; rows say with which digests they were drawn,
    and are built of no others. Only shapes are looked at: `jax.ShapeDtypeStruct` will do.

    Raises `EnsembleError` before anything is drawn from JAX, naming entry, key and value.

    **Example**

    ```python
    spec = {"problem": "Bowl", "condition_number": {"log_uniform": [0.1, 10.0]}}
    ensemble = draw_ensemble([{"family": "bowls", "count": 8, "spec": spec}], seed=0)
    ```
    """
    if not entries:
        raise EnsembleError("An ensemble must have at least one entry, but entries is empty.")
    generator = np.random.default_rng(seed)
    rows: list[Row] = []
    for number, entry in enumerate(entries):
        where = _place(number, entry)
        checked = checked_entry(entry, where)
        for _ in range(checked["count"]):
            rows.append(_row(len(rows), checked, generator, f"{where}.spec", data_sets))
    return Ensemble(tuple(rows))


def _place(number: int, entry: object) -> str:
    """Name the entry, by its set and family too: numbers count over all sets joined."""
    said = entry if isinstance(entry, Mapping) else {}
    names = {"set": said.get("problem_set"), "family": said.get("family")}
    known = [f"{kind} {name}" for kind, name in names.items() if name and isinstance(name, str)]
    return ", ".join([*known, f"entries[{number}]"])


def _row(
    index: int,
    entry: Mapping[str, Any],
    generator: np.random.Generator,
    where: str,
    data_sets: DataSets,
) -> Row:
    spec = drawn(entry["spec"], generator, where)
    try:
        problem = eqx.filter_eval_shape(
            lambda key, data_sets: build(spec, key, where=where, data_sets=data_sets),
            jax.random.key(0),
            dict(data_sets),
        )
    except SpecError as error:
        raise EnsembleError(str(error)) from error
    if not problem.nonnegative:
        raise EnsembleError(
            f"{where}: {spec['problem']} has losses below 0, of which the meta-loss could not take "
            f"the logarithm; the spec is {_canonical(spec)}. Leave it out."
        )
    return Row(
        index=index,
        category=entry["category"],
        problem_set=entry["problem_set"],
        family=entry["family"],
        spec=_canonical(spec),
        program=program_digest(problem),
        data_sets=_canonical({name: data_sets[name].digest for name in named_data_sets(spec)}),
        weight=entry["weight"] / entry["count"],
        seed=int(generator.integers(2**31)),
    )


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
