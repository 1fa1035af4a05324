"""A recurrent network that learns to add two numbers of a sequence."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from lopt.problems.arguments import whole
from lopt.problems.base import Batch, Params, Problem
from lopt.problems.initial_weights import Initialization, standard_normals
from lopt.problems.minibatches import Minibatches

Sequences = Float[Array, "samples length 2"]
Sums = Float[Array, " samples"]


class RecurrentNetwork(Problem):
    """A gated recurrent unit on the adding problem: mean squared error.

    Gradients through time, which vanish and explode, and a plateau: whoever does not remember
    can do no better than to say 1 always, which loses 1/6. The unit is that of Cho et al. 2014,
    https://arxiv.org/abs/1406.1078, its reset gate after the matrix product as in cuDNN; the
    sequences are `adding_sequences`. Params, float32: from inputs to the three gates `[2, 3
    units]`, from the hidden state to them `[units, 3 units]`, their biases, and the read-out's
    weights `[units, 1]` and bias. Sequences are leaves, and `draw` draws them anew; so are the
    initialization and batch sizes that divide `batch_padded_to`. Not in the paper's code.

    Raises `ValueError` for an argument out of range.

    **Example**

    ```python
    problem = RecurrentNetwork(length=10, units=16, key=jax.random.key(0))
    ```
    """

    sequences: Sequences
    sums: Sums
    minibatches: Minibatches
    initialization: Initialization
    units: int = eqx.field(static=True)

    def __init__(
        self,
        *,
        length: int = 10,
        units: int = 16,
        initialization: str = "glorot",
        samples: int = 256,
        batch_size: int = 32,
        batch_padded_to: int = 0,
        key: Key[Array, ""],
    ) -> None:
        self.units = whole("units", units, at_least=1)
        self.initialization = Initialization(initialization)
        self.minibatches = Minibatches(batch_size, batch_padded_to, samples=samples)
        shape = whole("samples", samples, at_least=1), whole("length", length, at_least=2)
        self.sequences, self.sums = adding_sequences(key, *shape)

    def init(self, key: Key[Array, ""]) -> Params:
        units, deviation = self.units, self.initialization
        shapes = (2, 3 * units), (units, 3 * units), (3 * units,), (units, 1), (1,)
        deviations = (
            deviation.of_weights(2, units),
            deviation.of_weights(units, units),
            deviation.of_biases(),
            deviation.of_weights(units, 1),
            deviation.of_biases(),
        )
        normals = standard_normals(key, shapes)
        return tuple(std * normal for std, normal in zip(deviations, normals, strict=True))

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        del key
        sequences, sums = batch
        *_, weights, bias = params
        predicted = last_state(params, sequences) @ weights + bias[None, :]
        return jnp.mean(jnp.square(predicted[:, 0] - sums))

    def draw(self, key: Key[Array, ""]) -> "RecurrentNetwork":
        drawn = adding_sequences(key, *self.sequences.shape[-3:-1])
        redrawn: RecurrentNetwork = eqx.tree_at(lambda p: (p.sequences, p.sums), self, drawn)
        return redrawn

    def sample_batch(self, key: Key[Array, ""]) -> Batch:
        chosen = self.minibatches.rows(key, self.sums.shape[-1])
        return self.sequences[chosen], self.sums[chosen]

    def full_batch(self) -> Batch:
        return self.sequences, self.sums

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        key = jax.random.key(0)
        return [cls(length=3, units=2, samples=6, batch_size=1, batch_padded_to=2, key=key)]


def last_state(params: Params, sequences: Sequences) -> Float[Array, "samples units"]:
    """Return the state of a gated recurrent unit after the last item, from 0 before the first.

    **Example**

    ```python
    state = last_state(problem.init(key), problem.sequences)
    ```
    """
    into, recurrent, biases, *_ = params

    def step(state: Array, from_input: Array) -> tuple[Array, None]:
        update_in, reset_in, new_in = jnp.split(from_input, 3, axis=1)
        update, reset, new = jnp.split(state @ recurrent, 3, axis=1)
        new = jnp.tanh(new_in + jax.nn.sigmoid(reset_in + reset) * new)
        kept = jax.nn.sigmoid(update_in + update)
        return kept * state + (1 - kept) * new, None

    from_inputs = (sequences @ into + biases[None, None, :]).swapaxes(0, 1)
    start = jnp.zeros((sequences.shape[0], recurrent.shape[0]), jnp.float32)
    return jax.lax.scan(step, start, from_inputs)[0]


def adding_sequences(key: Key[Array, ""], samples: int, length: int) -> tuple[Sequences, Sums]:
    """Draw sequences of numbers uniform in [0, 1), two of them marked, and the sum of these.

    An item is (number, mark), the mark being 1 in one place of the first half and in one of
    the second, and else 0. Hochreiter and Schmidhuber 1997 in the form of Le, Jaitly and Hinton
    2015, https://arxiv.org/abs/1504.00941.

    **Example**

    ```python
    sequences, sums = adding_sequences(jax.random.key(0), samples=256, length=10)
    ```
    """
    number_key, first_key, second_key = jax.random.split(key, 3)
    numbers = jax.random.uniform(number_key, (samples, length), jnp.float32)
    middle = length // 2
    first = jax.random.randint(first_key, (samples,), 0, middle, jnp.int32)
    second = jax.random.randint(second_key, (samples,), middle, length, jnp.int32)
    places = jnp.arange(length, dtype=jnp.int32)[None, :]
    marks = ((places == first[:, None]) | (places == second[:, None])).astype(jnp.float32)
    return jnp.stack([numbers, marks], axis=-1), jnp.sum(numbers * marks, axis=1)
