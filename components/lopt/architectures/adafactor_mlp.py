"""The small MLP with factored accumulators of Metz et al. 2022.

"Practical tradeoffs between memory, compute, and performance in learned optimizers",
https://arxiv.org/abs/2203.11860. An MLP of two hidden layers of four units runs for every
scalar of the params: an optimizer that is cheap, and depends on nothing but averages.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Int, Key, PyTree

from lopt.architectures.adafactor_features import (
    TIMESCALES,
    line_width,
    own_width,
    time_features,
)
from lopt.architectures.adafactor_pieces import first_state, pieces, take_step
from lopt.architectures.adafactor_rule import LearnedDecays, Rule, ScalarMLP
from lopt.architectures.adafactor_steps import PieceState, tensors_of
from lopt.architectures.base import LearnedOptimizer
from lopt.architectures.elementwise import check_params, updates_of_tensors, valid_like
from lopt.architectures.learning_rates import (
    DEFAULT_LEARNING_RATE,
    InitialLearningRate,
    check_initial_learning_rate,
)
from lopt.architectures.tensor_views import View


class AdafactorMLPState(NamedTuple):
    """What the optimizer remembers."""

    inner_step: Int[Array, ""]
    pieces: tuple[PieceState, ...]


class AdafactorMLP(LearnedOptimizer):
    """A small MLP for every scalar, fed by its averages and by Adafactor's row and column averages.

    The MLP reads 28 features of the scalar, each divided by its root mean square over the
    tensor, and 11 of the number of steps taken; it writes a direction `d` and a magnitude `m`,
    and the scalar moves by `-step_scale d exp(magnitude_scale m)`. The features are gradient,
    param, momenta, mean square, its inverse root, momenta times it, averages of squares over
    rows and columns and their inverse roots, and gradient and momenta as Adafactor scales
    them; `AdafactorMLP.release(key=key)` takes the settings of the published code, google's
    learned_optimization, `AdafacMLPLOpt`. Differences from it: inputs stand in another order;
    decays of momentum are never negative, and where decays are clipped their derivative is
    not; entries of gradient and params that are not finite count as zero, others are cut at
    1e8, where the squares of their squares would overflow, and 1e15; the exponent
    `magnitude_scale m` is cut at 80, since an infinite step times a zero would be NaN.

    The rule reads the params: `update` raises `ValueError` without them. Rows and columns
    are a tensor's two longest axes. With `valid`, which of a matrix's axes is the longer one
    is computed without padding, but in a tensor of three or more axes which two are the
    longest is not.

    The step length is learned, and is used as learned: `initial_learning_rate` of
    `transformation` changes nothing. To scale it, put `optax.scale` behind it.

    **Arguments**

    - `hidden_size`, `hidden_layers`: units of each hidden layer, and how many there are.
    - `momentum_decays`, `mean_square_decay`, `factored_decays`: where the decays begin, which
      are meta-learned; as many of momenta as of factored averages, since they are multiplied.
    - `step_scale`, `magnitude_scale`: as above, `step_mult` and `exp_mult` of the published
      code.

    Raises `ValueError` for sizes below 1, decays outside of [0, 1) or of different numbers,
    and scales that are not positive and finite.

    **Example**

    ```python
    optimizer = AdafactorMLP.release(key=jax.random.key(0))
    transformation = optimizer.transformation()
    opt_state = transformation.init(params)
    updates, opt_state = transformation.update(gradient, opt_state, params)
    ```
    """

    needs_params: ClassVar[bool] = True

    hidden_size: int = eqx.field(static=True)
    hidden_layers: int = eqx.field(static=True)
    momentum_decays: tuple[float, ...] = eqx.field(static=True)
    mean_square_decay: float = eqx.field(static=True)
    factored_decays: tuple[float, ...] = eqx.field(static=True)
    step_scale: float = eqx.field(static=True)
    magnitude_scale: float = eqx.field(static=True)

    mlp: ScalarMLP
    momenta: LearnedDecays
    mean_square: LearnedDecays
    factored: LearnedDecays

    def __init__(
        self,
        *,
        hidden_size: int = 4,
        hidden_layers: int = 2,
        momentum_decays: Sequence[float] = (0.9, 0.99, 0.999),
        mean_square_decay: float = 0.999,
        factored_decays: Sequence[float] = (0.9, 0.99, 0.999),
        step_scale: float = 1e-3,
        magnitude_scale: float = 1e-3,
        key: Key[Array, ""],
    ):
        self.hidden_size, self.hidden_layers = hidden_size, hidden_layers
        self.momentum_decays = tuple(momentum_decays)
        self.mean_square_decay = mean_square_decay
        self.factored_decays = tuple(factored_decays)
        self.step_scale, self.magnitude_scale = step_scale, magnitude_scale
        _check_hyper_parameters(self)
        decays = len(self.momentum_decays)
        inputs = own_width(decays) + line_width(decays) + len(TIMESCALES)
        self.mlp = ScalarMLP([inputs, *[hidden_size] * hidden_layers, 2], key=key)
        self.momenta = LearnedDecays(self.momentum_decays)
        self.mean_square = LearnedDecays([mean_square_decay])
        self.factored = LearnedDecays(self.factored_decays)

    @classmethod
    def release(cls, **changes: Any) -> "AdafactorMLP":
        """Return the optimizer with the defaults of the published code."""
        return cls(**changes)

    @classmethod
    def examples(cls) -> Sequence["AdafactorMLP"]:
        key = jax.random.key(0)
        smaller = cls(
            hidden_size=2,
            hidden_layers=1,
            momentum_decays=(0.9,),
            factored_decays=(0.99,),
            step_scale=1e-2,
            key=key,
        )
        return cls.release(key=key), smaller

    def transformation(
        self, initial_learning_rate: InitialLearningRate = DEFAULT_LEARNING_RATE
    ) -> optax.GradientTransformationExtraArgs:
        check_initial_learning_rate(initial_learning_rate)

        def init(params: optax.Params) -> Any:
            check_params(params)
            views = _views(params)
            return AdafactorMLPState(
                inner_step=jnp.zeros((), jnp.int32),
                pieces=tuple(
                    first_state([views[place] for place in piece], len(self.momentum_decays))
                    for piece in pieces([view.size for view in views])
                ),
            )

        def update(
            updates: optax.Updates,
            state: Any,
            params: optax.Params | None = None,
            *,
            valid: PyTree[Array] | None = None,
            **extra_args: Any,
        ) -> tuple[optax.Updates, Any]:
            del extra_args
            if params is None:
                raise ValueError(
                    "AdafactorMLP reads the params, but they are missing: call "
                    "update(gradient, opt_state, params)."
                )
            return self._update(updates, state, params, valid)

        return optax.GradientTransformationExtraArgs(init, update)

    def _update(
        self,
        updates: optax.Updates,
        state: AdafactorMLPState,
        params: optax.Params,
        valid: PyTree[Array] | None,
    ) -> tuple[optax.Updates, AdafactorMLPState]:
        tensors = tensors_of(updates, params, valid_like(updates, valid))
        rule = self._rule(state.inner_step)
        steps: dict[int, Array] = {}
        new_pieces = []
        groups = pieces([tensor.view.size for tensor in tensors])
        for places, old in zip(groups, state.pieces, strict=True):
            made, new = take_step(rule, [tensors[place] for place in places], old)
            new_pieces.append(new)
            for place, step in zip(places, made, strict=True):
                steps[place] = tensors[place].unsee(step)
        inner_step = jnp.asarray(optax.safe_increment(state.inner_step))
        in_order = [steps[place] for place in range(len(tensors))]
        new_state = AdafactorMLPState(inner_step, tuple(new_pieces))
        return updates_of_tensors(updates, in_order), new_state

    def _rule(self, inner_step: Int[Array, ""]) -> Rule:
        return Rule(
            mlp=self.mlp,
            momentum_rates=self.momenta.rates(),
            mean_square_rate=self.mean_square.rates()[0],
            factored_rates=self.factored.rates(),
            time=time_features(inner_step.astype(jnp.float32)),
            step_scale=self.step_scale,
            magnitude_scale=self.magnitude_scale,
        )


def _views(params: optax.Params) -> list[View]:
    shapes = [np.shape(leaf) for leaf in jax.tree.leaves(params)]
    return [View(shape) for shape in shapes if math.prod(shape)]


def _check_hyper_parameters(optimizer: AdafactorMLP) -> None:
    for name in ("hidden_size", "hidden_layers"):
        if getattr(optimizer, name) < 1:
            raise ValueError(f"{name} must be at least 1, but is {getattr(optimizer, name)!r}.")
    for name in ("step_scale", "magnitude_scale"):
        if not 0.0 < getattr(optimizer, name) < math.inf:
            raise ValueError(
                f"{name} must be positive and finite, but is {getattr(optimizer, name)!r}."
            )
    momenta, factored = optimizer.momentum_decays, optimizer.factored_decays
    for decay in (*momenta, optimizer.mean_square_decay, *factored):
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"A decay must be at least 0 and less than 1, but one is {decay!r}.")
    if not 0 < len(momenta) == len(factored):
        raise ValueError(
            "momentum_decays and factored_decays must be equally many, since every momentum is "
            f"scaled by one factored average, and not none, but are {momenta} and {factored}."
        )
