"""A release gives back exactly what was saved, and nothing else passes for one."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

import lopt.architectures
from lopt import release, release_config
from lopt.architectures.base import LearnedOptimizer
from lopt.catalogue import find_class
from lopt.provenance import Provenance
from lopt.release import ReleaseError

PROVENANCE = Provenance(
    lopt_version="0.1.0",
    seed=3,
    conf='{"meta_steps": 20}',
    git_commit="é" * 3,
    dataset_digests=(("digits", "ab" * 32), ("mnist", "cd" * 32)),
)


@pytest.fixture(autouse=True)
def _stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the architecture of stand_ins/ where the catalogue looks."""
    folders = [*lopt.architectures.__path__, str(Path(__file__).parent / "stand_ins")]
    monkeypatch.setattr(lopt.architectures, "__path__", folders)


def scaled_descent() -> type[Any]:
    return find_class(lopt.architectures, LearnedOptimizer, "ScaledDescent")


@pytest.fixture
def optimizer(getkey: Callable[[], jax.Array]) -> LearnedOptimizer:
    return scaled_descent()(sizes=(2, 1, 3), label="x", key=getkey()).with_provenance(PROVENANCE)


@pytest.fixture
def saved(optimizer: LearnedOptimizer, tmp_path: Path) -> Path:
    return release.save(optimizer, tmp_path / "release")


def same_bits(left: LearnedOptimizer, right: LearnedOptimizer) -> bool:
    left_leaves, right_leaves = jax.tree.leaves(left), jax.tree.leaves(right)
    pairs = zip(left_leaves, right_leaves, strict=True)
    return jax.tree.structure(left) == jax.tree.structure(right) and all(
        a is b or (a.dtype == b.dtype and np.asarray(a).tobytes() == np.asarray(b).tobytes())
        for a, b in pairs
    )


def reseal(directory: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change config.json as somebody would who computes its digest anew."""
    path = directory / "config.json"
    content = json.loads(path.read_text())
    change(content)
    content.pop("config_sha256", None)
    content["config_sha256"] = release_config._digest(content)
    path.write_text(release_config._render(content))


def replace_meta_params(directory: Path, arrays: dict[str, np.ndarray]) -> None:
    """Put other numbers into a release, all digests being right."""
    data = safetensors.numpy.save(arrays)
    (directory / "meta_params.safetensors").write_bytes(data)
    facts = {"meta_params_sha256": hashlib.sha256(data).hexdigest(), "meta_params_bytes": len(data)}
    reseal(directory, lambda content: content.update(facts))


def meta_params(optimizer: LearnedOptimizer) -> dict[str, np.ndarray]:
    return {name: np.asarray(array) for name, array in release._meta_params(optimizer).items()}


def test_loading_returns_what_was_saved_bit_for_bit(
    optimizer: LearnedOptimizer, saved: Path
) -> None:
    loaded = release.load(saved)
    assert same_bits(loaded, optimizer)
    assert loaded.provenance == PROVENANCE
    assert loaded.hyper_parameters() == optimizer.hyper_parameters()


def test_an_optimizer_without_provenance_has_none_after_loading(
    optimizer: LearnedOptimizer, tmp_path: Path
) -> None:
    bare = optimizer.with_provenance(None)
    assert release.load(release.save(bare, tmp_path / "bare")).provenance is None


# The stand-in architecture is the same for every example.
FIXTURE_IS_FINE = [hypothesis.HealthCheck.function_scoped_fixture]
finite = st.floats(allow_nan=False, allow_infinity=False)


@hypothesis.given(
    sizes=st.lists(st.integers(0, 3), max_size=3).map(tuple),
    names=st.lists(st.tuples(st.text(max_size=5), finite), max_size=3).map(tuple),
    label=st.none() | st.text(max_size=5),
)
@hypothesis.settings(max_examples=15, suppress_health_check=FIXTURE_IS_FINE)
def test_hyper_parameters_survive_with_their_types(
    tmp_path_factory: pytest.TempPathFactory, sizes: Any, names: Any, label: Any
) -> None:
    blank = scaled_descent()(sizes=sizes, names=names, label=label, key=jax.random.key(0))
    optimizer = blank.with_provenance(None)
    loaded = release.load(release.save(optimizer, tmp_path_factory.mktemp("any") / "release"))
    assert same_bits(loaded, optimizer)


@hypothesis.given(seed=st.integers(0, 2**32 - 1))
@hypothesis.settings(max_examples=15, suppress_health_check=FIXTURE_IS_FINE)
def test_every_bit_pattern_of_a_finite_number_survives(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    bits = np.random.default_rng(seed).integers(0, 2**32, (2, 2), np.uint32)
    numbers = np.where(np.isfinite(bits.view(np.float32)), bits, np.uint32(1)).view(np.float32)
    blank = scaled_descent()(sizes=(2,), key=jax.random.key(0))
    optimizer = eqx.tree_at(lambda o: o.layers[0]["weight"], blank, jnp.asarray(numbers))
    loaded = release.load(release.save(optimizer, tmp_path_factory.mktemp("any") / "release"))
    assert np.asarray(loaded.layers[0]["weight"]).tobytes() == numbers.tobytes()


def test_a_release_is_two_files_and_no_pickle(saved: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == [
        "config.json",
        "meta_params.safetensors",
    ]
    json.loads((saved / "config.json").read_text())
    assert not list(saved.parent.glob(".release*"))


def test_saving_the_same_again_changes_nothing(optimizer: LearnedOptimizer, saved: Path) -> None:
    before = (saved / "config.json").stat().st_mtime_ns
    release.save(optimizer, saved)
    assert (saved / "config.json").stat().st_mtime_ns == before


def test_equal_optimizers_have_equal_digests_and_others_have_not(
    optimizer: LearnedOptimizer, saved: Path, tmp_path: Path
) -> None:
    again = release.save(optimizer, tmp_path / "again")
    other_provenance = dataclasses.replace(PROVENANCE, seed=4)
    other = release.save(optimizer.with_provenance(other_provenance), tmp_path / "other")
    assert release.digest(again) == release.digest(saved) != release.digest(other)


@pytest.mark.parametrize("there", ["another release", "files", "a damaged release", "a file"])
def test_saving_never_overwrites(optimizer: LearnedOptimizer, tmp_path: Path, there: str) -> None:
    directory = tmp_path / "release"
    if there == "files":
        directory.mkdir()
        (directory / "thesis.tex").write_text("chapter 1")
    elif there == "a file":
        directory.write_text("chapter 1")
    else:
        release.save(optimizer.with_provenance(None), directory)
    if there == "a damaged release":
        (directory / "config.json").write_text("{}")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ReleaseError, match="never overwritten"):
        release.save(optimizer, directory)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


@pytest.mark.parametrize("value", [jnp.nan, jnp.inf])
def test_an_optimizer_that_is_not_finite_is_not_saved(
    optimizer: LearnedOptimizer, tmp_path: Path, value: float
) -> None:
    broken = eqx.tree_at(lambda o: o.log_rate, optimizer, jnp.float32(value))
    with pytest.raises(ReleaseError, match=r"'log_rate' has 1 values of 1 that are not finite"):
        release.save(broken, tmp_path / "release")
    assert not list(tmp_path.iterdir())


def test_an_optimizer_that_could_not_be_built_again_is_not_saved(
    optimizer: LearnedOptimizer, tmp_path: Path
) -> None:
    changed = eqx.tree_at(lambda o: o.squash, optimizer, jnp.sin)
    with pytest.raises(ReleaseError, match="not the same when it is built again"):
        release.save(changed, tmp_path / "release")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("label", [float("nan"), frozenset({1}), b"bytes"])
def test_a_hyper_parameter_that_json_cannot_carry_is_not_saved(
    optimizer: LearnedOptimizer, tmp_path: Path, label: Any
) -> None:
    object.__setattr__(optimizer, "label", label)
    with pytest.raises(ReleaseError, match="'label'"):
        release.save(optimizer, tmp_path / "release")


def test_any_flipped_bit_of_the_meta_params_is_refused(saved: Path) -> None:
    path = saved / "meta_params.safetensors"
    data = path.read_bytes()
    for position in range(0, len(data), 7):
        changed = bytearray(data)
        changed[position] ^= 1 << (position % 8)
        path.write_bytes(changed)
        with pytest.raises(ReleaseError, match=r"meta_params.safetensors was changed"):
            release.load(saved)


def test_any_flipped_bit_of_the_config_is_refused(saved: Path) -> None:
    path = saved / "config.json"
    data = path.read_bytes()
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1 << (position % 8)
        path.write_bytes(changed)
        with pytest.raises(ReleaseError, match=r"config.json"):
            release.digest(saved)


@pytest.mark.parametrize("name", ["config.json", "meta_params.safetensors"])
@pytest.mark.parametrize("length", [0, 1, -1])
def test_a_cut_file_is_refused(saved: Path, name: str, length: int) -> None:
    path = saved / name
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ReleaseError, match=name):
        release.load(saved)


@pytest.mark.parametrize("name", ["config.json", "meta_params.safetensors"])
def test_a_missing_file_is_named(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(ReleaseError, match=rf"lacks '{name}'"):
        release.load(saved)


def test_a_file_too_many_is_named(saved: Path) -> None:
    (saved / "setup.py").write_text("raise SystemExit")
    with pytest.raises(ReleaseError, match=r"has 'setup.py'"):
        release.load(saved)


def test_a_file_in_place_of_a_release_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="not a directory"):
        release.load(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["config.json", "meta_params.safetensors"])
def test_a_file_that_is_too_large_is_refused_unread(saved: Path, name: str) -> None:
    with (saved / name).open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(ReleaseError, match=rf"{name} is not a file of at most"):
        release.load(saved)


def test_meta_params_that_are_too_large_are_refused_whatever_the_config_says(saved: Path) -> None:
    reseal(saved, lambda content: content.update(meta_params_bytes=2**40))
    with (saved / "meta_params.safetensors").open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(ReleaseError, match=f"not a file of at most {2**30} bytes"):
        release.load(saved)


@pytest.mark.parametrize("name", ["config.json", "meta_params.safetensors"])
def test_a_link_is_refused_though_what_it_leads_to_is_right(saved: Path, name: str) -> None:
    elsewhere = saved.with_name("elsewhere")
    (saved / name).rename(elsewhere)
    (saved / name).symlink_to(elsewhere)
    with pytest.raises(ReleaseError, match="a link or no file at all"):
        release.load(saved)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", 2, r"'format' is 2, but this version of lopt reads format 1"),
        ("format", "1", r"'format' is '1'"),
        ("architecture", "Rosenbrock", r"'Rosenbrock'; this lopt knows .*ScaledDescent"),
        ("architecture", 3, r"'architecture' is 3"),
        ("architecture_version", 7, r"is 7, but this lopt knows version 1"),
        ("hyper_parameters", {}, r"'hyper_parameters' lacks 'label', 'names', 'sizes'"),
        ("hyper_parameters", {"depth": 3}, r"ScaledDescent cannot be built with"),
        ("hyper_parameters", {"sizes": "ab"}, r"ScaledDescent cannot be built with"),
        ("hyper_parameters", [], r"'hyper_parameters' is \[\]"),
        ("meta_params", {}, r"lacks 'gate', 'layers.0.bias'"),
        ("meta_params_bytes", 10, r"at most 10 bytes"),
        ("meta_params_sha256", "0" * 64, r"'meta_params_sha256' of config.json is 000"),
        ("provenance", {"seed": 1}, r"lacks 'lopt_version'"),
        ("provenance", {"lopt_version": "1", "owner": "x"}, r"has 'owner'"),
        ("provenance", {"lopt_version": "1", "seed": "x"}, r"'seed' is 'x'"),
        ("provenance", {"lopt_version": "1", "dataset_digests": ["ab"]}, r"holds 'ab'"),
    ],
)
def test_a_config_of_another_content_is_refused_by_name(
    saved: Path, key: str, value: Any, message: str
) -> None:
    reseal(saved, lambda content: content.update({key: value}))
    with pytest.raises(ReleaseError, match=message):
        release.load(saved)


CONFIG_KEYS = ["format", *(f.name for f in dataclasses.fields(release_config.ReleaseConfig))]


@pytest.mark.parametrize("key", CONFIG_KEYS)
def test_a_missing_key_is_named(saved: Path, key: str) -> None:
    reseal(saved, lambda content: content.pop(key))
    with pytest.raises(ReleaseError, match=rf"'{key}'"):
        release.load(saved)


def test_a_key_too_many_is_named(saved: Path) -> None:
    reseal(saved, lambda content: content.update(extra=1))
    with pytest.raises(ReleaseError, match=r"has 'extra'"):
        release.load(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers.0.weight": np.zeros((2, 3), np.float32)}, r"'layers.0.weight' is .*\[2, 3\]"),
        ({"log_rate": np.asarray(0.0, np.float16)}, r"'log_rate' is .*float16"),
        ({"log_rate": np.asarray(np.nan, np.float32)}, r"'log_rate' has 1 values of 1"),
        ({"log_rate": np.asarray(np.inf, np.float32)}, r"'log_rate' has 1 values of 1"),
        ({"log_rate": np.asarray(1, np.int8)}, r"'log_rate' has the dtype I8"),
        ({"more": np.zeros(1, np.float32)}, r"has 'more'"),
        ({"log_rate": None}, r"lacks 'log_rate'"),
    ],
)
def test_meta_params_that_do_not_fit_are_refused_by_name(
    optimizer: LearnedOptimizer, saved: Path, change: dict[str, Any], message: str
) -> None:
    arrays = {**meta_params(optimizer), **change}
    replace_meta_params(saved, {k: v for k, v in arrays.items() if v is not None})
    with pytest.raises(ReleaseError, match=message):
        release.load(saved)


def test_shapes_are_what_the_hyper_parameters_say_and_not_what_the_file_says(
    optimizer: LearnedOptimizer, saved: Path
) -> None:
    wide = np.zeros((2, 5), np.float32)
    listing = {"layers.0.weight": {"shape": [2, 5], "dtype": "float32"}}
    replace_meta_params(saved, {**meta_params(optimizer), "layers.0.weight": wide})
    reseal(saved, lambda content: content["meta_params"].update(listing))
    with pytest.raises(ReleaseError, match=r"'layers.0.weight' is .*\[2, 5\].*\[2, 2\]"):
        release.load(saved)


def test_provenance_older_than_a_field_of_it_loads(saved: Path) -> None:
    reseal(saved, lambda content: content["provenance"].pop("checkpoint_digest"))
    assert release.load(saved).provenance == PROVENANCE
