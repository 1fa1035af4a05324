"""The same rule and the same estimators as anybody would write them first: the reference.

One tensor after the other, features in rows `[scalars, features]`, a tree of meta-params, a whole
meta-step in one `jax.jit`. What lopt adds is not here: no trajectory ends, is drawn anew or
goes wrong, and no problem's gradient is clipped. A test compares its updates with lopt's.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lopt.architectures import HierarchicalRNN, RandomLearningRate

SCALES = 4


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
    ends = jnp.cumsum(jnp.array([leaf.size for leaf in params]))[:-1]
    rates = jnp.split(start.scalars.log_learning_rate[0], ends.tolist())
    return {
        "step": jnp.zeros((), jnp.int32),
        "hidden": [jnp.tile(scalar, (leaf.size, 1)) for leaf in params],
        "tensor": [tensor[None] for _ in params],
        "global": whole[None],
        "rates": rates,
        "averages": [jnp.zeros((leaf.size, SCALES)) for leaf in params],
        "squares": [jnp.zeros((leaf.size, SCALES)) for leaf in params],
    }


def update(
    optimizer: HierarchicalRNN, gradients: list[jax.Array], state: dict[str, Any]
) -> tuple[list[jax.Array], dict[str, Any]]:
    """Take a step: PAPER.md sections 1 to 3, the release preset."""
    rnn, first = optimizer.parameter_rnn, state["step"] == 0
    mean_rate = jnp.concatenate(state["rates"]).mean()
    new: dict[str, Any] = {name: [] for name in state} | {"step": state["step"] + 1}
    updates = []
    for index, gradient in enumerate(gradients):
        g, h = gradient.reshape(-1, 1), state["hidden"][index]
        decay = jax.nn.sigmoid(h @ rnn.input_decay.weights + rnn.input_decay.bias)
        decays = jnp.stack([decay ** (0.5**scale) for scale in range(SCALES)], 1)
        averages = jnp.where(first, g, decays * state["averages"][index] + (1 - decays) * g)
        square_decay = jax.nn.sigmoid(h @ rnn.scale_decay.weights + rnn.scale_decay.bias)[:, None]
        now = averages**2 + 1e-12
        smoothed = square_decay * state["squares"][index] + (1 - square_decay) * now
        squares = jnp.where(first, now, smoothed)
        scaled = jnp.arcsinh(averages / jnp.sqrt(squares + 1e-16))
        logs = jnp.log(squares + 1e-16)
        relative = logs - logs.mean(1, keepdims=True)
        rate = state["rates"][index]
        x = jnp.concatenate(
            [scaled, scaled[:, :-1] * scaled[:, 1:], relative, (rate - mean_rate)[:, None]], 1
        )
        bias = affine(optimizer.tensor_to_parameter, state["tensor"][index])
        bias = bias + affine(optimizer.global_to_parameter, state["global"])
        h = gru(rnn.cell, x, h, bias)
        direction = h @ rnn.direction.weights + scaled @ rnn.direction.shortcut
        direction = direction / jnp.sqrt((direction**2).mean() + 1e-16)
        used = jnp.clip(rate + h @ rnn.learning_rates.change.weights, -33, 33)
        used = used + rnn.learning_rates.change.bias
        momentum = jax.nn.sigmoid(rnn.learning_rates.momentum_logit)
        step = jnp.exp(used + rnn.learning_rates.step_offset) * direction
        updates.append(-step.reshape(gradient.shape))
        message = jnp.concatenate([h, x], 1).mean(0, keepdims=True)
        tensor_bias = affine(optimizer.global_to_tensor, state["global"])
        new["tensor"].append(gru(optimizer.tensor_cell, message, state["tensor"][index], tensor_bias))
        new["hidden"].append(h)
        new["rates"].append(momentum * rate + (1 - momentum) * used)
        new["averages"].append(averages)
        new["squares"].append(squares)
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
        gradient = jax.grad(problem.loss)(params, problem.full_batch(), key)
        updates, state = update(optimizer, jax.tree.leaves(gradient), state)
        leaves = [leaf + change for leaf, change in zip(leaves, updates, strict=True)]
        after = jax.tree.unflatten(structure, leaves)
        return (leaves, state), problem.loss(after, problem.full_batch(), key)

    (leaves, state), losses = jax.lax.scan(step, (leaves, state), None, length=steps)
    return jnp.log(losses + 1e-6).mean(), (jax.tree.unflatten(structure, leaves), state)


def backprop_step(problems: Any, steps: int, meta_optimizer: optax.GradientTransformation) -> Callable:
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
) -> Callable:
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
