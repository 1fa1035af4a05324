"""The same rule and the same estimators as anybody would write them first: the reference.

One tensor after the other, features in rows `[scalars, features]`, a tree of meta-params, a whole
meta-step in one `jax.jit`. What lopt adds is not here: no trajectory ends, is drawn anew or
goes wrong, and no problem's gradient is clipped. A test compares its updates with lopt's.
"""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lopt.architectures import HierarchicalRNN, RandomLearningRate
from lopt.problems import loss_and_gradient

SCALES = 4
PARTS = ("hidden", "tensor", "rates", "averages", "squares")


def gru(cell: Any, x: jax.Array, h: jax.Array, bias: jax.Array) -> jax.Array:
    """Take a step of a gated cell; `bias` holds one for each of the two gates and the candidate."""
    hidden = h.shape[1]
    gates = jnp.concatenate([x, h], 1) @ cell.gates.matrix + cell.gates.bias
    gates = jax.nn.sigmoid(gates + bias[..., : 2 * hidden])
    reset, update = jnp.split(gates, 2, axis=1)
    candidate = jnp.concatenate([x, reset * h], 1) @ cell.candidate.matrix + cell.candidate.bias
    return update * h + (1 - update) * jnp.tanh(candidate + bias[..., 2 * hidden :])


def affine(map_: Any, x: jax.Array) -> jax.Array:
    """Apply a matrix and a bias to rows."""
    return x @ map_.matrix + map_.bias


def init(optimizer: HierarchicalRNN, params: list[jax.Array], key: jax.Array) -> dict[str, Any]:
    """Return the state before the first step."""
    scalar, tensor, whole = optimizer.initial_hidden
    start = optimizer.transformation(RandomLearningRate(key)).init(params)
    ends = list(itertools.accumulate(leaf.size for leaf in params))[:-1]
    rates = jnp.split(start.scalars.log_learning_rate[0], ends)
    return {
        "step": jnp.zeros((), jnp.int32),
        "hidden": [jnp.tile(scalar, (leaf.size, 1)) for leaf in params],
        "tensor": [tensor[None] for _ in params],
        "global": whole[None],
        "rates": rates,
        "averages": [jnp.zeros((leaf.size, SCALES)) for leaf in params],
        "squares": [jnp.zeros((leaf.size, SCALES)) for leaf in params],
    }


def inputs(
    rnn: Any, g: jax.Array, h: jax.Array, averages: jax.Array, squares: jax.Array, first: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Return the averages, mean squares, scaled averages and relative magnitudes of a tensor."""
    decay = jax.nn.sigmoid(h @ rnn.input_decay.weights + rnn.input_decay.bias)
    decays = jnp.stack([decay ** (0.5**scale) for scale in range(SCALES)], 1)
    averages = jnp.where(first, g, decays * averages + (1 - decays) * g)
    square_decay = jax.nn.sigmoid(h @ rnn.scale_decay.weights + rnn.scale_decay.bias)[:, None]
    now = averages**2 + 1e-12
    squares = jnp.where(first, now, square_decay * squares + (1 - square_decay) * now)
    logs = jnp.log(squares + 1e-16)
    scaled = jnp.arcsinh(averages / jnp.sqrt(squares + 1e-16))
    return averages, squares, scaled, logs - logs.mean(1, keepdims=True)


def step_of(
    rnn: Any, h: jax.Array, scaled: jax.Array, rate: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return a tensor's step and its log learning rates."""
    direction = h @ rnn.direction.weights + scaled @ rnn.direction.shortcut
    direction = direction / jnp.sqrt((direction**2).mean() + 1e-16)
    rates = rnn.learning_rates
    used = jnp.clip(rate + h @ rates.change.weights + rates.change.bias, -33, 33)
    momentum = jax.nn.sigmoid(rates.momentum_logit)
    step = jnp.exp(used + rates.step_offset) * direction
    return step, momentum * rate + (1 - momentum) * used


def update(
    optimizer: HierarchicalRNN, gradients: list[jax.Array], state: dict[str, Any]
) -> tuple[list[jax.Array], dict[str, Any]]:
    """Take a step: PAPER.md sections 1 to 3, the release preset."""
    rnn, first = optimizer.parameter_rnn, state["step"] == 0
    mean_rate = jnp.concatenate(state["rates"]).mean()
    new: dict[str, Any] = {name: [] for name in state} | {"step": state["step"] + 1}
    tensor_bias = affine(optimizer.global_to_tensor, state["global"])
    updates = []
    for index, gradient in enumerate(gradients):
        h, rate = state["hidden"][index], state["rates"][index]
        averages, squares, scaled, relative = inputs(
            rnn,
            gradient.reshape(-1, 1),
            h,
            state["averages"][index],
            state["squares"][index],
            first,
        )
        x = jnp.concatenate(
            [scaled, scaled[:, :-1] * scaled[:, 1:], relative, (rate - mean_rate)[:, None]], 1
        )
        bias = affine(optimizer.tensor_to_parameter, state["tensor"][index])
        h = gru(rnn.cell, x, h, bias + affine(optimizer.global_to_parameter, state["global"]))
        step, remembered = step_of(rnn, h, scaled, rate)
        updates.append(-step.reshape(gradient.shape))
        message = jnp.concatenate([h, x], 1).mean(0, keepdims=True)
        tensor = gru(optimizer.tensor_cell, message, state["tensor"][index], tensor_bias)
        parts = (h, tensor, remembered, averages, squares)
        for name, part in zip(PARTS, parts, strict=True):
            new[name].append(part)
    summary = jnp.concatenate(new["tensor"]).mean(0, keepdims=True)
    new["global"] = gru(optimizer.global_cell, summary, state["global"], jnp.zeros(60))
    return updates, new


def meta_loss(
    optimizer: HierarchicalRNN, problem: Any, params: Any, state: Any, steps: int
) -> tuple[jax.Array, tuple[Any, Any]]:
    """Unroll one problem; the mean logarithm of its losses."""
    key = jax.random.key(0)
    leaves, structure = jax.tree.flatten(params)

    def step(carry: Any, _: None) -> tuple[Any, jax.Array]:
        leaves, state = carry
        params = jax.tree.unflatten(structure, leaves)
        _, gradient = loss_and_gradient(problem, params, jax.random.fold_in(key, state["step"]))
        updates, state = update(optimizer, jax.tree.leaves(gradient), state)
        leaves = [leaf + change for leaf, change in zip(leaves, updates, strict=True)]
        after = jax.tree.unflatten(structure, leaves)
        return (leaves, state), problem.loss(after, problem.full_batch(), key)

    (leaves, state), losses = jax.lax.scan(step, (leaves, state), None, length=steps)
    return jnp.log(losses + 1e-6).mean(), (jax.tree.unflatten(structure, leaves), state)


def backprop_step(
    problems: Any, steps: int, meta_optimizer: optax.GradientTransformation
) -> Callable[..., Any]:
    """Return a meta-step by truncated backpropagation, compiled."""

    def mean_loss(optimizer: Any, params: Any, states: Any) -> Any:
        losses, after = jax.vmap(
            lambda problem, params, state: meta_loss(optimizer, problem, params, state, steps)
        )(problems, params, states)
        return losses.mean(), after

    @jax.jit
    def meta_step(optimizer: Any, opt_state: Any, params: Any, states: Any) -> Any:
        gradient, (params, states) = jax.grad(mean_loss, has_aux=True)(optimizer, params, states)
        updates, opt_state = meta_optimizer.update(gradient, opt_state)
        return optax.apply_updates(optimizer, updates), opt_state, params, states

    return meta_step


def evolution_step(
    problems: Any, steps: int, meta_optimizer: optax.GradientTransformation, deviation: float = 0.01
) -> Callable[..., Any]:
    """Return a meta-step by antithetic evolution strategies on one unroll, compiled."""
    count = jax.tree.leaves(problems)[0].shape[0]

    @jax.jit
    def meta_step(optimizer: Any, opt_state: Any, params: Any, states: Any, key: jax.Array) -> Any:
        leaves, structure = jax.tree.flatten(optimizer)
        keys = jax.random.split(key, len(leaves))
        noise = [
            deviation * jax.random.normal(k, (count, *leaf.shape))
            for k, leaf in zip(keys, leaves, strict=True)
        ]
        losses, after = [], None
        for sign in (1, -1):
            moved = [leaf + sign * part for leaf, part in zip(leaves, noise, strict=True)]
            one, after = jax.vmap(lambda o, p, x, s: meta_loss(o, p, x, s, steps))(
                jax.tree.unflatten(structure, moved), problems, params, states
            )
            losses.append(one)
        slopes = (losses[0] - losses[1]) / (2 * deviation**2)
        gradient = [jnp.tensordot(slopes, part, 1) / count for part in noise]
        gradient = jax.tree.unflatten(structure, gradient)
        updates, opt_state = meta_optimizer.update(gradient, opt_state)
        params, states = after
        return optax.apply_updates(optimizer, updates), opt_state, params, states

    return meta_step
