"""Ensembles: drawn twice the same, written and read the same, and refused if damaged."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lopt.ensembles import Ensemble, EnsembleError, draw_ensemble
from tests.lopt.trees import assert_equal

CONFS = Path(__file__).parents[2] / "conf" / "ensembles"
BOWLS = {
    "family": "bowls",
    "count": 3,
    "weight": 2.0,
    "spec": {
        "problem": "Bowl",
        "condition_number": {"log_uniform": [0.1, 10.0]},
        "angle": {"uniform": [0.0, 1.5]},
    },
}
SIZES = {
    "family": "sizes",
    "count": 6,
    "spec": {"problem": "Quadratic", "dimensions": {"choice": [2, 3]}},
}
ENTRIES = [BOWLS, SIZES]


def entries_of(name):
    return yaml.safe_load((CONFS / name).read_text())["entries"]


@pytest.fixture(scope="module")
def ensemble():
    return draw_ensemble(ENTRIES, seed=7)


@pytest.fixture(scope="module")
def written(ensemble, tmp_path_factory):
    path = tmp_path_factory.mktemp("ensemble") / "ensemble.parquet"
    ensemble.write(path)
    return path


def test_the_same_conf_and_seed_give_the_same_rows_digest_and_problems(ensemble):
    again = draw_ensemble(json.loads(json.dumps(ENTRIES)), seed=7)
    assert again == ensemble
    assert again.digest == ensemble.digest
    assert_equal(again.groups(), ensemble.groups())


def test_another_seed_gives_other_rows(ensemble):
    assert draw_ensemble(ENTRIES, seed=8).digest != ensemble.digest


def test_the_order_in_which_a_conf_has_its_keys_does_not_matter(ensemble):
    turned = [{**entry, "spec": dict(reversed(entry["spec"].items()))} for entry in ENTRIES]
    assert draw_ensemble(turned, seed=7) == ensemble


def test_more_entries_do_not_change_the_rows_before_them(ensemble):
    assert draw_ensemble([BOWLS], seed=7).rows == ensemble.rows[: BOWLS["count"]]


def test_drawn_numbers_are_in_their_range_and_differ():
    rows = draw_ensemble([{**BOWLS, "count": 200}], seed=0).rows
    drawn = pd.DataFrame([json.loads(row.spec) for row in rows])
    assert drawn["angle"].between(0.0, 1.5).all()
    assert drawn["condition_number"].between(0.1, 10.0).all()
    assert drawn["angle"].nunique() > 190
    # Half of a log-uniform draw lies below the geometric mean of its bounds, which is 1.
    assert 0.4 < (drawn["condition_number"] < 1.0).mean() < 0.6


def test_rows_share_the_weight_of_their_entry(ensemble):
    assert sum(row.weight for row in ensemble.rows if row.family == "bowls") == pytest.approx(2.0)
    assert sum(row.weight for row in ensemble.rows if row.family == "sizes") == pytest.approx(1.0)


def test_rows_have_seeds_of_their_own(ensemble):
    assert len({row.seed for row in ensemble.rows}) == len(ensemble.rows)


def test_a_family_of_several_programs_has_a_group_for_each(ensemble):
    groups = {group.family: group for group in ensemble.groups()}
    assert list(groups) == ["bowls", "sizes", "sizes/2"]
    assert groups["bowls"].size == 3
    assert groups["sizes"].size + groups["sizes/2"].size == 6
    shapes = {groups[name].problems.matrix.shape[1:] for name in ("sizes", "sizes/2")}
    assert shapes == {(2, 2), (3, 3)}


def test_an_entry_of_a_group_is_the_problem_of_its_row_bit_for_bit(ensemble):
    group = next(group for group in ensemble.groups() if group.family == "bowls")
    gather = jax.jit(lambda group, index: group.entry(index))
    for index, row in enumerate(ensemble.rows[: group.size]):
        assert_equal(group.entry(index), row.build())
        assert_equal(gather(group, jnp.int32(index)), row.build())
        assert group.weights[index] == np.float32(row.weight)


LEAVES = """
import hashlib, sys
import jax, numpy as np
from lopt.ensembles import Ensemble
from pathlib import Path

digest = hashlib.sha256()
for row in Ensemble.read(Path(sys.argv[1])).rows:
    for leaf in jax.tree.leaves(row.build()):
        digest.update(np.asarray(leaf).tobytes())
print(digest.hexdigest())
"""


@pytest.mark.slow
def test_a_manifest_gives_the_same_bits_on_another_cpu_and_under_other_settings(tmp_path):
    specs = [
        {"problem": "Quadratic", "dimensions": 5, "padded_to": 9},
        {"problem": "SoftmaxRegression", "features": 4, "samples": 16},
        {"problem": "RescaleEach", "of": {"problem": "Bowl", "condition_number": 5.0}},
    ]
    entries = [{"family": "each", "spec": spec} for spec in specs]
    path = tmp_path / "ensemble.parquet"
    draw_ensemble(entries, seed=0).write(path)
    others = {
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
        "JAX_DEFAULT_PRNG_IMPL": "rbg",
        "JAX_THREEFRY_PARTITIONABLE": "0",
    }
    program = [sys.executable, "-c", LEAVES, str(path)]
    here, there = (
        subprocess.run(program, env=os.environ | changes, capture_output=True, check=True).stdout
        for changes in ({}, others)
    )
    assert here == there


def test_what_is_written_is_read_again(ensemble, written):
    read = Ensemble.read(written)
    assert read == ensemble
    assert read.digest == ensemble.digest


def test_pandas_reads_the_manifest_a_row_for_an_entry(ensemble, written):
    table = pd.read_parquet(written)
    assert list(table.columns) == [field.name for field in dataclasses.fields(ensemble.rows[0])]
    assert table.to_dict("records") == [dataclasses.asdict(row) for row in ensemble.rows]


def test_writing_the_same_ensemble_again_gives_the_same_bytes(ensemble, written, tmp_path):
    ensemble.write(tmp_path / "deep" / "again.parquet")
    assert (tmp_path / "deep" / "again.parquet").read_bytes() == written.read_bytes()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["again.parquet"]


@settings(max_examples=150)
@given(data=st.data())
def test_a_flipped_bit_anywhere_is_refused_by_the_name_of_the_file(data, written, tmp_path_factory):
    content = bytearray(written.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    damaged = tmp_path_factory.getbasetemp() / "damaged.parquet"
    damaged.write_bytes(content)
    with pytest.raises(EnsembleError, match=r"damaged\.parquet (is damaged|states no digest)"):
        Ensemble.read(damaged)


@pytest.mark.parametrize("length", [0, 10, 1000])
def test_a_file_cut_short_is_refused(length, written, tmp_path):
    (tmp_path / "short.parquet").write_bytes(written.read_bytes()[:length])
    with pytest.raises(EnsembleError, match=r"short\.parquet states no digest"):
        Ensemble.read(tmp_path / "short.parquet")


def test_no_file_and_another_file_are_refused(tmp_path):
    with pytest.raises(EnsembleError, match=r"no ensemble at .*none\.parquet"):
        Ensemble.read(tmp_path / "none.parquet")
    pd.DataFrame({"index": [1]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(EnsembleError, match=r"other\.parquet states no digest of itself"):
        Ensemble.read(tmp_path / "other.parquet")


def test_rows_that_this_version_builds_otherwise_are_refused(ensemble):
    stale = dataclasses.replace(ensemble.rows[0], program="0" * 16)
    with pytest.raises(EnsembleError, match=r"row 0: .* Draw the ensemble again"):
        Ensemble((stale,)).groups()
    gone = dataclasses.replace(ensemble.rows[0], spec='{"problem":"Gone"}')
    with pytest.raises(EnsembleError, match=r"row 0\.problem: unknown problem 'Gone'"):
        Ensemble((gone,)).groups()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("bowls", r"entries\[1\] must be a mapping with family, spec, .* is 'bow"),
        ({**BOWLS, "wieght": 1}, r"entries\[1\]\.wieght: unknown key .* allowed: family, spec"),
        ({"family": "bowls"}, r"entries\[1\]\.spec is missing; given: family"),
        ({**BOWLS, "family": "a/b"}, r"entries\[1\]\.family must be a name .* but is 'a/b'"),
        ({**BOWLS, "category": "hard"}, r"entries\[1\]\.category must be one of .*'hard'"),
        ({**BOWLS, "problem_set": "a b"}, r"entries\[1\]\.problem_set must be a name .* 'a b'"),
        ({**BOWLS, "count": 0}, r"entries\[1\]\.count must be a whole number .* but is 0"),
        ({**BOWLS, "count": 2.5}, r"entries\[1\]\.count must be a whole number .* but is 2\.5"),
        ({**BOWLS, "weight": 0}, r"entries\[1\]\.weight must be a finite number above 0"),
        ({**BOWLS, "weight": float("inf")}, r"entries\[1\]\.weight must be a finite number"),
        (
            {**BOWLS, "spec": {"problem": "Bowl", "condition_number": {"uniform": [2, 1]}}},
            r"entries\[1\]\.spec\.condition_number\.uniform must be \[low, high\].* \[2, 1\]",
        ),
        (
            {**BOWLS, "spec": {"problem": "Bowl", "condition_number": {"log_uniform": [0, 1]}}},
            r"entries\[1\]\.spec\.condition_number\.log_uniform must have bounds above 0",
        ),
        (
            {**BOWLS, "spec": {"problem": "Bowl", "condition_number": {"choice": []}}},
            r"entries\[1\]\.spec\.condition_number\.choice must be a list of choices",
        ),
        (
            {**BOWLS, "spec": {"problem": "Bowl", "condition_number": {"normal": [0, 1]}}},
            r"entries\[1\]\.spec\.condition_number must be a finite number, but is \{'normal'",
        ),
        (
            {**SIZES, "spec": {"problem": "Rescale", "scale": 1, "of": {"problem": "Saddle"}}},
            r"entries\[1\]\.spec: Rescale has losses below 0",
        ),
        (
            {**SIZES, "spec": {"problem": "Rescale", "scale": 1, "of": {"problem": "Bol"}}},
            r"entries\[1\]\.spec\.of\.problem: unknown problem 'Bol'; known: .*Bowl",
        ),
    ],
)
def test_what_is_no_entry_is_refused_naming_place_value_and_what_is_allowed(entry, message):
    with pytest.raises(EnsembleError, match=message):
        draw_ensemble([BOWLS, entry], seed=0)


def test_the_entry_that_is_refused_is_named_by_its_set_and_family():
    wrong = {**BOWLS, "problem_set": "bowl", "spec": {"problem": "Bowl"}}
    with pytest.raises(EnsembleError, match=r"^set bowl, family bowls, entries\[1\]\.spec"):
        draw_ensemble([BOWLS, wrong], seed=0)
    with pytest.raises(EnsembleError, match=r"^family bowls, entries\[0\]\.count"):
        draw_ensemble([{**BOWLS, "count": 0}], seed=0)
    with pytest.raises(EnsembleError, match=r"^entries\[0\]\.family must be a name"):
        draw_ensemble([{**BOWLS, "family": 3}], seed=0)


def test_an_ensemble_of_nothing_is_refused():
    with pytest.raises(EnsembleError, match="at least one entry"):
        draw_ensemble([], seed=0)


@settings(max_examples=10)
@given(st.integers(0, 2**31))
def test_any_seed_of_the_tiny_conf_gives_two_programs(seed):
    rows = draw_ensemble(entries_of("tiny.yaml"), seed).rows
    assert len({row.program for row in rows}) == 2


def test_the_quick_conf_has_90_entries_and_a_program_for_each_of_its_six_families():
    rows = draw_ensemble(entries_of("quick.yaml"), seed=0).rows
    assert len(rows) == 90
    assert len({row.program for row in rows}) == len({row.family for row in rows}) == 6
    functions = {
        json.loads(row.spec)["of"]["function"] for row in rows if row.family == "two_dimensional"
    }
    assert len(functions) == 9
