"""A step of `AdafactorMLP` in small tensors: few operations for many, quickly compiled."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from lopt.architectures.adafactor_features import Scalars, own_features, scales
from lopt.architectures.adafactor_parts import Lines, Rule, Tensor
from lopt.architectures.blocks import Blocks


def step_together(
    rule: Rule,
    tensors: Sequence[Tensor],
    lines: Sequence[Lines],
    momenta: Sequence[Float[Array, "1 1 n"]],
    mean_square: Float[Array, "1 1 n"],
) -> tuple[list[Float[Array, "batch rows columns"]], Scalars]:
    """Return what to take from each tensor, and the next state of their `n` scalars.

    The tensors lie one after the other and go through matrix products.

    **Example**

    ```python
    (step,), scalars = step_together(rule, [tensor], [lines_of(...)], momenta, mean_square)
    ```
    """

    def join(parts: Sequence[Float[Array, "many _ _ _"]]) -> Float[Array, "many 1 1 n"]:
        shapes = [
            (len(part), *tensor.view.shape) for part, tensor in zip(parts, tensors, strict=True)
        ]
        spread = map(jnp.broadcast_to, parts, shapes)
        return jnp.concatenate([part.reshape(len(part), 1, 1, -1) for part in spread], axis=3)

    gradient, params = join([jnp.stack([tensor.gradient, tensor.params]) for tensor in tensors])
    scalars = rule.next_scalars(gradient, params, momenta, mean_square)
    own = own_features(
        scalars,
        join([line.factors[0].product() for line in lines]),
        join([line.factors[-1].product() for line in lines]),
    )
    shared = [join([line.features[axis] for line in lines]) for axis in (0, 1)]
    features = jnp.concatenate([jnp.stack(own), *shared])[:, 0, 0]
    packed = Blocks(tuple(tensor.view.size for tensor in tensors))
    weights = rule.mlp.first.matrix[: len(features)]
    hidden = weights.T @ _normalised(features, packed, tensors) + rule.bias()[:, None]
    steps = packed.unpack(rule.step(*rule.mlp.after_first(hidden))[None])
    shapes = [tensor.view.shape for tensor in tensors]
    return [step.reshape(shape) for step, shape in zip(steps, shapes, strict=True)], scalars


def _normalised(
    features: Float[Array, "features n"], packed: Blocks, tensors: Sequence[Tensor]
) -> Float[Array, "features n"]:
    """Divide features by their root mean squares over each tensor."""
    valid = [tensor.means.valid for tensor in tensors]
    extent = packed.extent([part.reshape(-1) for part in valid if part is not None] or None)
    in_block = None if extent.valid is None else extent.valid[0]
    sums = packed.sum_rows(jnp.square(features), in_block)
    return features * packed.spread(scales(packed.mean(sums[None], extent.counts)))[0]
