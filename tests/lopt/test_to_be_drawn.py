"""Problems that are drawn anew before they are used need no random constants of their own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml
from jaxtyping import Array, Key

import lopt.problems
from lopt.architectures import HierarchicalRNN
from lopt.blank_constants import with_blank_constants
from lopt.catalogue import concrete_classes
from lopt.ensembles import Group, draw_ensemble
from lopt.meta_training import MetaTraining, init_meta_state
from lopt.problems import Problem, Quadratic
from lopt.problems.images import ImageSamples, striped_images
from tests.lopt.trees import assert_equal

CONFS = Path(__file__).parents[2] / "conf" / "ensembles"
EXAMPLES = [
    pytest.param(example, id=f"{name}-{number}")
    for name, found in concrete_classes(lopt.problems, Problem).items()
    for number, example in enumerate(found.examples())
]
NAMES = sorted(str(path.relative_to(CONFS)) for path in CONFS.rglob("*.yaml"))
draw = jax.jit(lambda problem, key: problem.draw(key))


def entries_of(name: str) -> list[dict[str, object]]:
    content = yaml.safe_load((CONFS / name).read_text())
    entries: list[dict[str, object]] = content.get("entries", [])
    return entries


@contextmanager
def compiled_programs() -> Iterator[list[str]]:
    names: list[str] = []

    def listen(event: str, _: float, **about: object) -> None:
        if event.endswith("backend_compile_duration"):
            names.append(str(about["fun_name"]))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize("problem", EXAMPLES)
def test_a_problem_without_its_constants_is_drawn_as_one_that_has_them(problem: Problem) -> None:
    made_by, drawn_by = jax.random.split(jax.random.key(5))
    made = problem.draw(made_by)
    blank = with_blank_constants(problem.draw, made_by)
    assert jax.tree.structure(blank) == jax.tree.structure(made)
    assert [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(blank)] == [
        (leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(made)
    ]
    assert_equal(draw(blank, drawn_by), draw(made, drawn_by))


@pytest.mark.parametrize("problem", EXAMPLES)
def test_what_is_padding_can_be_told_without_the_constants(problem: Problem) -> None:
    """The page of an ensemble counts the scalars of problems that have none."""
    made_by = jax.random.key(5)
    blank = jax.tree.map(jnp.asarray, with_blank_constants(problem.draw, made_by))
    assert_equal(blank.valid(), problem.draw(made_by).valid())


def test_only_what_is_replaced_is_blank() -> None:
    def make(key: Key[Array, ""]) -> Problem:
        return Quadratic(dimensions=3, padded_to=5, key=key)

    blank = with_blank_constants(make, jax.random.key(0))
    assert isinstance(blank, Quadratic)
    assert not np.any(blank.matrix)
    assert not np.any(blank.target)
    assert blank.size.number == 3


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_that_needs_no_data_set_can_be_built_without_its_constants(name: str) -> None:
    # `Row.build` refuses what has other shapes or dtypes than the problem that was drawn.
    entries = [{**entry, "count": 1, "category": "convex"} for entry in entries_of(name)]
    for entry in entries:
        if "data_set" not in str(entry["spec"]):
            draw_ensemble([entry], seed=0).rows[0].build(to_be_drawn=True)


def test_a_number_that_is_kept_has_the_dtype_that_it_was_made_with() -> None:
    class Scaled(Quadratic):
        """One with a leaf that JAX knows as a number when it traces."""

        scale: Array

        def __init__(self, *, key: Key[Array, ""]) -> None:
            super().__init__(dimensions=2, key=key)
            self.scale = jnp.full((), 1.5)

    blank = with_blank_constants(lambda key: Scaled(key=key), jax.random.key(0))
    assert isinstance(blank, Scaled)
    assert blank.scale.dtype == jnp.float32
    assert blank.scale == 1.5


def test_images_that_no_draw_replaces_are_those_that_were_chosen() -> None:
    images = striped_images(12, (4, 4, 1), classes=2)

    class Shown(Problem):
        """One whose draw keeps what its key has chosen."""

        data: ImageSamples

        def init(self, key: Key[Array, ""]) -> Array:
            return jax.random.normal(key, (2,))

        def loss(self, params: Array, batch: object, key: Key[Array, ""]) -> Array:
            del batch, key
            return jnp.sum(params)

        def draw(self, key: Key[Array, ""]) -> Problem:
            del key
            return self

        @classmethod
        def examples(cls) -> list[Problem]:
            return []

    def make(key: Key[Array, ""]) -> Problem:
        return Shown(ImageSamples(images, 5, 2, key=key))

    assert_equal(with_blank_constants(make, jax.random.key(3)), make(jax.random.key(3)))


def assert_drawn_alike(blank: Group, whole: Group) -> None:
    assert blank.family == whole.family
    np.testing.assert_array_equal(blank.weights, whole.weights)
    keys = jax.random.split(jax.random.key(1), whole.size)
    redraw = jax.jit(jax.vmap(lambda problem, key: problem.draw(key)))
    assert_equal(redraw(blank.problems, keys), redraw(whole.problems, keys))


def test_every_problem_of_the_quick_ensemble_is_drawn_as_if_it_had_its_constants() -> None:
    ensemble = draw_ensemble(entries_of("quick.yaml"), seed=0)
    for blank, whole in zip(ensemble.groups(to_be_drawn=True), ensemble.groups(), strict=True):
        assert_drawn_alike(blank, whole)


def of_sizes(first: int, last: int) -> tuple[Group, ...]:
    """Groups of so many forms that no test has had before."""
    entries = [
        {"family": f"f{size}", "count": 3, "spec": {"problem": "Quadratic", "dimensions": size}}
        for size in range(first, last)
    ]
    return draw_ensemble(entries, seed=0).groups(to_be_drawn=True)


def test_more_groups_to_train_on_compile_no_more_programs_before_meta_training() -> None:
    optimizer = HierarchicalRNN.release(key=jax.random.key(0))
    training, key = MetaTraining(), jax.random.key(0)
    # What is common to all is compiled here.
    init_meta_state(training, optimizer, of_sizes(61, 64), key)
    with compiled_programs() as names:
        init_meta_state(training, optimizer, of_sizes(64, 67), key)
    assert names == []
