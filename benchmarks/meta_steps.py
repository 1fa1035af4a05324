"""Meta-steps of lopt and of the straight reference, and inner steps of optax.adam."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from benchmarks import straight
from lopt.architectures import HierarchicalRNN, LearnedOptimizer
from lopt.compiled_programs import processor_options
from lopt.ensembles import draw_ensemble
from lopt.meta_gradients import MetaGradient, Unrolling
from lopt.meta_gradients.forward_mode import gradient, is_better_forward
from lopt.meta_gradients.vectors import vectors
from lopt.meta_training import MetaTraining, init_meta_state, meta_train, problem_mesh
from lopt.meta_training.sizes import all_small
from lopt.problems import loss_and_gradient
from lopt.side_by_side import for_each_problem
from lopt.unroll import begin, unroll

PROBLEMS, STEPS, META_STEPS = 32, 20, 10
SPECS = {
    "Quadratic(10)": {"problem": "Quadratic", "dimensions": 10},
    "MLP of 197 params": {
        "problem": "FullyConnected",
        "features": 10,
        "hidden": [15],
        "samples": 100,
        "batch_size": 20,
    },
}


def group_of(name: str) -> Any:
    """Return the problems of a spec as a group of an ensemble."""
    entry = {"family": "benchmark", "spec": SPECS[name]}
    return draw_ensemble([entry], seed=0).groups()


@dataclasses.dataclass(frozen=True)
class Size:
    """How much a meta-step is, and how many devices share it; all that there are by default."""

    problems: int = PROBLEMS
    steps: int = STEPS
    devices: int = dataclasses.field(default_factory=jax.device_count)

    @property
    def inner_steps(self) -> int:
        """Inner steps of all problems in ten meta-steps."""
        return META_STEPS * self.problems * self.steps


class MetaSteps:
    """A meta-training of lopt: calling it takes so many dispatches of ten meta-steps."""

    def __init__(
        self,
        estimator: type[MetaGradient],
        optimizer: LearnedOptimizer,
        problem: str,
        size: Size | None = None,
        compile_quickly: bool = False,
    ):
        """Compile, and take the first dispatch."""
        size = size or Size()
        unrolling = Unrolling(steps=size.steps, problems=size.problems)
        self.training = MetaTraining(
            estimator(unrolling),
            steps_per_dispatch=META_STEPS,
            compile_quickly=compile_quickly,
        )
        self.groups = group_of(problem)
        self.mesh = problem_mesh(jax.devices()[: size.devices]) if size.devices > 1 else None
        self.state = init_meta_state(self.training, optimizer, self.groups, jax.random.key(0))
        self(1)

    def __call__(self, repeats: int) -> None:
        """Take dispatches, wait for the last one, and remember what an inner step is one of."""
        first = int(self.state.meta_step)
        states = meta_train(
            self.training,
            self.groups,
            self.state,
            last_meta_step=first + repeats * META_STEPS,
            mesh=self.mesh,
        )
        for state, metrics in states:
            self.state, last = state, metrics
        self.inner_steps = META_STEPS * last.rows()[-1]["inner/steps"]


class ForwardSteps:
    """Unrolls of a learned optimizer without a meta-gradient: what backpropagation begins with."""

    def __init__(self, optimizer: LearnedOptimizer, problem: str):
        """Compile, and run once."""
        size = Size(devices=1)
        self.trajectories, self.optimizer = _begun(optimizer, problem, size), optimizer
        self.inner_steps = size.inner_steps
        jit: Any = eqx.filter_jit
        self._run = jit(partial(_unrolls, steps=size.steps), compiler_options=_options(problem))
        self(1)

    def __call__(self, repeats: int) -> None:
        """Take ten unrolls so many times."""
        for _ in range(repeats):
            self.trajectories, losses = self._run(self.optimizer, self.trajectories)
        jax.block_until_ready((self.trajectories, losses))


class BackwardSteps:
    """The same unrolls with the gradient of their meta-loss, and nothing else of a meta-step."""

    def __init__(self, optimizer: LearnedOptimizer, problem: str):
        """Compile, and run once."""
        size = Size(devices=1)
        self.trajectories = _begun(optimizer, problem, size)
        self.inner_steps = size.inner_steps
        self.meta_params, optimizer_of = vectors(optimizer)
        run = partial(_gradients, optimizer_of, size)
        self._run = jax.jit(run, compiler_options=_options(problem))
        self(1)

    def __call__(self, repeats: int) -> None:
        """Take ten unrolls and gradients so many times."""
        for _ in range(repeats):
            self.trajectories, gradient = self._run(self.meta_params, self.trajectories)
        jax.block_until_ready((self.trajectories, gradient))


class AdamSteps:
    """Unrolls of optax.adam on as many problems and for as many steps, forward alone."""

    def __init__(self, problem: str, size: Size | None = None):
        """Compile, and run once."""
        size = size or Size()
        self.inner_steps = size.inner_steps
        (group,) = group_of(problem)
        keys = jax.random.split(jax.random.key(0), size.problems)
        self.problems = jax.vmap(group.entry(0).draw)(keys)
        self.params = jax.vmap(lambda one, key: one.init(key))(self.problems, keys)
        adam = optax.adam(1e-3)
        self.state = jax.vmap(adam.init)(self.params)
        self._run = jax.jit(partial(_train, adam, META_STEPS * size.steps))
        self(1)

    def __call__(self, repeats: int) -> None:
        """Take the inner steps of so many dispatches."""
        for _ in range(repeats):
            self.params, self.state = self._run(self.problems, self.params, self.state)
        jax.block_until_ready(self.params)


class StraightMetaSteps:
    """Meta-steps of the straight reference, of `straight.backprop_step` or `evolution_step`."""

    def __init__(self, make: Callable[..., Any], optimizer: HierarchicalRNN, problem: str):
        """Compile, and take the first ten meta-steps."""
        adam = AdamSteps(problem)
        keys = jax.random.split(jax.random.key(0), PROBLEMS)
        flat = jax.tree.leaves(adam.params)
        states = jax.vmap(lambda leaves, key: straight.init(optimizer, leaves, key))(flat, keys)
        meta_optimizer = optax.adam(1e-4)
        self._step = make(adam.problems, STEPS, meta_optimizer)
        self._carried = (optimizer, meta_optimizer.init(optimizer), adam.params, states)
        self._draws = make is straight.evolution_step
        self.inner_steps = META_STEPS * PROBLEMS * STEPS * (2 if self._draws else 1)
        self(1)

    def __call__(self, repeats: int) -> None:
        """Take ten meta-steps so many times."""
        for number in range(repeats * META_STEPS):
            drawn = (jax.random.key(number),) if self._draws else ()
            self._carried = self._step(*self._carried, *drawn)
        jax.block_until_ready(self._carried)


def _options(problem: str) -> dict[str, bool | int]:
    """Return how meta-steps on the problem are compiled, so that their parts are, too."""
    return processor_options(quickly=False, small=all_small(group_of(problem)))


def _begun(optimizer: LearnedOptimizer, problem: str, size: Size) -> Any:
    (group,) = group_of(problem)
    keys = jax.random.split(jax.random.key(0), size.problems)
    problems = jax.vmap(group.entry(0).draw)(keys)
    return jax.vmap(lambda one, key: begin(one, optimizer, key))(problems, keys)


def _gradients(optimizer_of: Any, size: Size, meta_params: Any, trajectories: Any) -> Any:
    unrolling = Unrolling(steps=size.steps, problems=size.problems)

    forward = is_better_forward(meta_params, trajectories.params)

    def meta_loss(meta_params: Any, trajectory: Any) -> Any:
        optimizer = optimizer_of(meta_params)
        unrolled = unrolling.unroll(optimizer, trajectory, forward_mode=forward)
        return unrolled.meta_loss, unrolled.trajectory

    def one(_: Any, carried: Any) -> Any:
        trajectories, total = carried
        gradients, after = for_each_problem(
            gradient(meta_loss, forward=forward), trajectories.params, (None, 0)
        )(meta_params, trajectories)
        mean = jax.tree.map(lambda leaf: leaf.mean(axis=0), gradients)
        return after, jax.tree.map(jnp.add, total, mean)

    nothing = jax.tree.map(jnp.zeros_like, meta_params)
    return jax.lax.fori_loop(0, META_STEPS, one, (trajectories, nothing))


def _unrolls(optimizer: LearnedOptimizer, trajectories: Any, steps: int) -> Any:
    def one(_: Any, carried: Any) -> Any:
        # As the meta-steps do it, which is faster than `jax.vmap` where problems are small.
        trajectories = carried[0]
        return for_each_problem(
            lambda trajectory: unroll(optimizer, trajectory, steps), trajectories.params
        )(trajectories)

    shapes = jax.eval_shape(lambda: one(None, (trajectories, None)))[1]
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return jax.lax.fori_loop(0, META_STEPS, one, (trajectories, nothing))


def _train(optimizer: Any, steps: int, problems: Any, params: Any, states: Any) -> Any:
    def one(problem: Any, params: Any, state: Any) -> Any:
        def step(carry: Any, key: Any) -> Any:
            params, state = carry
            _, gradient = loss_and_gradient(problem, params, key)
            updates, state = optimizer.update(gradient, state, params)
            params = optax.apply_updates(params, updates)
            return (params, state), problem.loss(params, problem.full_batch(), key)

        keys = jax.random.split(jax.random.key(0), steps)
        return jax.lax.scan(step, (params, state), keys)[0]

    return jax.vmap(one)(problems, params, states)
