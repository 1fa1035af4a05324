"""Which tensors `AdafactorMLP` steps in together, and what it remembers of them.

A piece is some small tensors or a large one. The small ones are the one block that `Blocks`
makes of few scalars; a large one stays whole where `Blocks` would cut it, for it is averaged
along rows and columns, and is computed slab by slab (`Slabs`) instead of block by block.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from lopt.architectures import blocks
from lopt.architectures.adafactor_features import no_averages
from lopt.architectures.adafactor_rule import Rule
from lopt.architectures.adafactor_steps import PieceState, Tensor, step_alone
from lopt.architectures.adafactor_together import step_together
from lopt.architectures.tensor_views import View


def pieces(sizes: Sequence[int]) -> list[list[int]]:
    """Say which tensors go together: their places among the sizes.

    **Example**

    ```python
    pieces([5000, 20, 100])  # [[0], [1, 2]]
    ```
    """
    large: list[list[int]] = []
    small: list[list[int]] = [[]]
    for place, size in enumerate(sizes):
        if _is_large([size]):
            large.append([place])
        elif _is_large([size, *(sizes[other] for other in small[-1])]):
            small.append([place])
        else:
            small[-1].append(place)
    return large + [piece for piece in small if piece]


def first_state(views: Sequence[View], decays: int) -> PieceState:
    """Return the state of a piece before the first step: zeros.

    **Example**

    ```python
    state = first_state([View((784, 120))], decays=3)
    ```
    """
    sizes = [view.size for view in views]
    shape = views[0].shape if _is_large(sizes) else (1, 1, sum(sizes))
    return PieceState(
        momenta=jnp.zeros((decays, *shape), jnp.float32),
        mean_square=jnp.zeros(shape, jnp.float32),
        averages=tuple(no_averages(view, decays) for view in views),
    )


def take_step(
    rule: Rule, tensors: Sequence[Tensor], state: PieceState
) -> tuple[list[Float[Array, "batch rows columns"]], PieceState]:
    """Return what to take from each tensor of a piece, and the piece's next state.

    **Example**

    ```python
    (step,), state = take_step(rule, [tensor], state)
    ```
    """
    if not _is_large([tensor.view.size for tensor in tensors]):
        return step_together(rule, tensors, state)
    step, state = step_alone(rule, tensors[0], state)
    return [step], state


def _is_large(sizes: Sequence[int]) -> bool:
    return sum(sizes) > 2 * blocks.BLOCK_WIDTH
