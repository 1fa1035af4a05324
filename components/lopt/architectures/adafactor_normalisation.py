"""What the MLP of `AdafactorMLP` is shown, in units of its size in each tensor."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lopt.architectures.adafactor_features import scales
from lopt.architectures.blocks import Blocks, Extent

_Kept = tuple[Float[Array, "features n"], Float[Array, "features tensors"], Extent]


# By hand, since all that its derivative needs is the result, which the layer behind it keeps
# anyway. Those of the single operations keep the features and their doubles at every step, too.
@partial(jax.custom_vjp, nondiff_argnums=(0,))
def normalised(
    packed: Blocks, features: Float[Array, "features n"], extent: Extent
) -> Float[Array, "features n"]:
    """Divide features by their root mean squares over each tensor of one block.

    **Example**

    ```python
    packed = Blocks((3, 2))
    inputs = normalised(packed, jnp.ones((28, 5)), packed.extent())
    ```
    """
    return _forward(packed, features, extent)[0]


def _forward(
    packed: Blocks, features: Float[Array, "features n"], extent: Extent
) -> tuple[Float[Array, "features n"], _Kept]:
    sums = packed.sum_rows(jnp.square(features), _valid(extent))
    by_tensor = scales(packed.mean(sums[None], extent.counts))
    made = features * packed.spread(by_tensor)[0]
    return made, (made, by_tensor, extent)


def _backward(
    packed: Blocks, kept: _Kept, change: Float[Array, "features n"]
) -> tuple[Float[Array, "features n"], None]:
    made, by_tensor, extent = kept
    # Padding is divided like the rest, though it takes no part in the mean squares.
    # Counts that a trace knows may come back as an array of NumPy.
    counts = jnp.asarray(extent.counts)
    means = packed.mean(packed.sum_rows(made * change, None)[None], counts)
    scale, mean = jnp.split(packed.spread(jnp.concatenate([by_tensor, means]))[0], 2)
    by_scale, valid = made * mean, _valid(extent)
    if valid is not None:
        by_scale = jnp.where(valid[None], by_scale, 0.0)
    return scale * (change - by_scale), None


normalised.defvjp(_forward, _backward)


def _valid(extent: Extent) -> Bool[Array, " n"] | None:
    return None if extent.valid is None else extent.valid[0]
