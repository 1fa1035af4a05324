"""How long trajectories are."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key


class TrajectoryLengths(eqx.Module):
    """A heavy-tailed number of unrolls: `shortest` and an exponential number more.

    Wichrowska et al. 2017, appendix C; the released code's defaults, 1 and 40. (It also
    draws the steps of each unroll, 50 and an exponential number more; ours are of one
    length, which compiles once.) Nothing is longer than `longest` unrolls, without which
    the rare very long trajectories hold up what else there is to learn.

    Raises `ValueError` unless 1 <= shortest <= longest and mean_extra is not negative.

    **Example**

    ```python
    unrolls = TrajectoryLengths(mean_extra=10.0).draw(jax.random.key(0), (24,))
    ```
    """

    shortest: int = eqx.field(static=True, default=1)
    mean_extra: float = eqx.field(static=True, default=40.0)
    longest: int = eqx.field(static=True, default=1000)

    def __check_init__(self) -> None:
        if not (1 <= self.shortest <= self.longest and self.mean_extra >= 0.0):
            raise ValueError(
                f"Lengths need 1 <= shortest <= longest unrolls and mean_extra >= 0, but shortest "
                f"is {self.shortest}, longest {self.longest} and mean_extra {self.mean_extra}."
            )

    def draw(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Int[Array, "..."]:
        """Draw lengths in unrolls, int32 of the given shape."""
        extra = self.mean_extra * jax.random.exponential(key, shape, jnp.float32)
        lengths = self.shortest + jnp.round(extra).astype(jnp.int32)
        return jnp.minimum(lengths, self.longest)
