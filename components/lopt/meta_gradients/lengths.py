"""How long trajectories are, in unrolls: a whole number of them, which compiles once."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key


class TrajectoryLengths(eqx.Module):
    """A distribution of lengths; all fields are static.

    **Example**

    ```python
    lengths = LogUniformLengths(shortest=5, longest=100)
    unrolls = lengths.draw(jax.random.key(0), (24,), meta_step=jnp.array(0))
    ```
    """

    @abstractmethod
    def draw(
        self, key: Key[Array, ""], shape: tuple[int, ...], meta_step: Int[Array, ""]
    ) -> Int[Array, "..."]:
        """Draw lengths in unrolls, int32 of the given shape and at least 1."""


class ExponentialLengths(TrajectoryLengths):
    """A heavy-tailed number of unrolls: `shortest` and an exponential number more.

    Wichrowska et al. 2017, appendix C; the released code's defaults, 1 and 40. (It also
    draws the steps of each unroll, 50 and an exponential number more; ours are of one
    length, which compiles once.) Nothing is longer than `longest` unrolls, without which
    the rare very long trajectories hold up what else there is to learn.

    Raises `ValueError` unless 1 <= shortest <= longest and mean_extra is not negative.

    **Example**

    ```python
    unrolls = ExponentialLengths(mean_extra=10.0).draw(key, (24,), jnp.array(0))
    ```
    """

    shortest: int = eqx.field(static=True, default=1)
    mean_extra: float = eqx.field(static=True, default=40.0)
    longest: int = eqx.field(static=True, default=1000)

    def __check_init__(self) -> None:
        _check_bounds(self.shortest, self.longest)
        if not self.mean_extra >= 0.0:
            raise ValueError(f"mean_extra is {self.mean_extra}, but must not be negative.")

    def draw(
        self, key: Key[Array, ""], shape: tuple[int, ...], meta_step: Int[Array, ""]
    ) -> Int[Array, "..."]:
        del meta_step
        extra = self.mean_extra * jax.random.exponential(key, shape, jnp.float32)
        lengths = self.shortest + jnp.round(extra).astype(jnp.int32)
        return jnp.minimum(lengths, self.longest)


class LogUniformLengths(TrajectoryLengths):
    """A number of unrolls whose logarithm is uniform: as many short trajectories as long ones.

    Metz et al. 2022, https://arxiv.org/abs/2203.11860; VeLO (PAPER.md section 7.3, item 6).

    Raises `ValueError` unless 1 <= shortest <= longest.

    **Example**

    ```python
    unrolls = LogUniformLengths(5, 100).draw(key, (24,), jnp.array(0))
    ```
    """

    shortest: int = eqx.field(static=True, default=1)
    longest: int = eqx.field(static=True, default=100)

    def __check_init__(self) -> None:
        _check_bounds(self.shortest, self.longest)

    def draw(
        self, key: Key[Array, ""], shape: tuple[int, ...], meta_step: Int[Array, ""]
    ) -> Int[Array, "..."]:
        del meta_step
        bounds = jnp.log(jnp.asarray([self.shortest, self.longest + 1], jnp.float32))
        drawn = jnp.exp(jax.random.uniform(key, shape, jnp.float32, *bounds))
        return jnp.clip(jnp.floor(drawn).astype(jnp.int32), self.shortest, self.longest)


class GrowingLengths(TrajectoryLengths):
    """A curriculum: other lengths, cut at a number of unrolls that grows with the meta-step.

    The longest is `first` at the beginning and `last` after `meta_steps`, in between on a
    geometric scale (Chen et al. 2020, https://arxiv.org/abs/2010.09089, grow the horizon in
    stages; Metz et al. 2019 linearly: PAPER.md section 7.2).

    Raises `ValueError` unless 1 <= first <= last and meta_steps is at least 1.

    **Example**

    ```python
    lengths = GrowingLengths(LogUniformLengths(1, 100), first=2, last=100, meta_steps=1000)
    ```
    """

    lengths: TrajectoryLengths
    first: int = eqx.field(static=True, default=1)
    last: int = eqx.field(static=True, default=100)
    meta_steps: int = eqx.field(static=True, default=1000)

    def __check_init__(self) -> None:
        if not (1 <= self.first <= self.last and self.meta_steps >= 1):
            raise ValueError(
                "A curriculum needs 1 <= first <= last unrolls and at least one meta-step, but "
                f"first is {self.first}, last {self.last} and meta_steps {self.meta_steps}."
            )

    def draw(
        self, key: Key[Array, ""], shape: tuple[int, ...], meta_step: Int[Array, ""]
    ) -> Int[Array, "..."]:
        drawn = self.lengths.draw(key, shape, meta_step)
        return jnp.minimum(drawn, jnp.round(self._longest(meta_step)).astype(jnp.int32))

    def _longest(self, meta_step: Int[Array, ""]) -> Float[Array, ""]:
        part = jnp.clip(meta_step.astype(jnp.float32) / self.meta_steps, 0.0, 1.0)
        return self.first * (self.last / self.first) ** part


def _check_bounds(shortest: int, longest: int) -> None:
    if not 1 <= shortest <= longest:
        raise ValueError(
            f"Lengths need 1 <= shortest <= longest unrolls, but shortest is {shortest} and "
            f"longest {longest}."
        )
