"""A small transformer that learns to write the strings of a generated language."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from lopt.problems.arguments import whole
from lopt.problems.base import Batch, Params, Problem
from lopt.problems.generated_strings import Strings, generated_strings
from lopt.problems.initial_weights import Initialization, standard_normals
from lopt.problems.losses import cross_entropy
from lopt.problems.minibatches import Minibatches

EPSILON = 1e-5

Stream = Float[Array, "strings length width"]


class TransformerLanguageModel(Problem):
    """A causal transformer that predicts the next letter: mean cross-entropy in nats.

    The kind of network that most training goes into: tensors of very different roles, and
    gradients whose sizes differ with them. The strings are `generated_strings`, which need
    no text to be shipped and are another language at every draw; to be leaves they are few.
    Layers are normalised first (Xiong et al. 2020, https://arxiv.org/abs/2002.04745), by the
    root mean square and without gains, `width` numbers wide, with `heads` heads and `4 width`
    hidden units (GELU); biases are left out. Params, float32: embeddings of letters and of
    places, four matrices a layer, the read-out. The initialization and batch sizes that divide
    `batch_padded_to` are leaves. A batch is strings alone. Not in the paper's code.

    Raises `ValueError` for an argument out of range, and if `heads` does not divide `width`.

    **Example**

    ```python
    problem = TransformerLanguageModel(layers=2, width=16, key=jax.random.key(0))
    ```
    """

    strings: Strings
    minibatches: Minibatches
    initialization: Initialization
    letters: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    heads: int = eqx.field(static=True)
    layers: int = eqx.field(static=True)

    def __init__(
        self,
        *,
        letters: int = 12,
        length: int = 16,
        layers: int = 1,
        width: int = 16,
        heads: int = 2,
        initialization: str = "glorot",
        samples: int = 128,
        batch_size: int = 32,
        batch_padded_to: int = 0,
        key: Key[Array, ""],
    ) -> None:
        self.letters = whole("letters", letters, at_least=2)
        self.layers = whole("layers", layers, at_least=1)
        self.heads = whole("heads", heads, at_least=1)
        self.width = whole("width", width, at_least=1)
        if width % heads:
            raise ValueError(f"heads must divide width, which is {width}, but is {heads}.")
        self.initialization = Initialization(initialization)
        self.minibatches = Minibatches(batch_size, batch_padded_to, samples=samples)
        shape = whole("samples", samples, at_least=1), whole("length", length, at_least=2)
        self.strings = generated_strings(key, *shape, letters)

    def init(self, key: Key[Array, ""]) -> Params:
        width, places = self.width, self.strings.shape[-1] - 1
        layer = [(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)]
        matrices = [*self.layers * layer, (width, self.letters)]
        shapes = [(self.letters, width), (places, width), *matrices]
        # An embedding is a choice of one row, not a sum over all.
        fans = [(1, width), (1, width), *matrices]
        return tuple(
            self.initialization.of_weights(*fan) * normal
            for fan, normal in zip(fans, standard_normals(key, shapes), strict=True)
        )

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        del key
        return cross_entropy(self.logits(params, batch[:, :-1]), batch[:, 1:])

    def logits(
        self, params: tuple[Array, ...], strings: Int[Array, "strings length"]
    ) -> Float[Array, "strings length letters"]:
        """Return for each place how likely each letter is to come next; only what is before counts.

        **Example**

        ```python
        logits = problem.logits(params, problem.strings[:, :-1])
        ```
        """
        letters, places, *matrices, readout = params
        stream = letters[strings] + places[None]
        for layer in range(self.layers):
            attention_in, attention_out, hidden, out = matrices[4 * layer : 4 * layer + 4]
            stream = stream + self._attended(_normalised(stream) @ attention_in) @ attention_out
            stream = stream + jax.nn.gelu(_normalised(stream) @ hidden) @ out
        return _normalised(stream) @ readout

    def _attended(self, projected: Float[Array, "strings length three_widths"]) -> Stream:
        of_each = (*projected.shape[:2], self.heads, -1)
        parts = jnp.split(projected, 3, axis=-1)
        query, keys, values = (part.reshape(of_each) for part in parts)
        attended = jax.nn.dot_product_attention(query, keys, values, is_causal=True)
        return attended.reshape(*projected.shape[:2], self.width)

    def draw(self, key: Key[Array, ""]) -> "TransformerLanguageModel":
        strings, length = self.strings.shape[-2:]
        drawn = generated_strings(key, strings, length, self.letters)
        redrawn: TransformerLanguageModel = eqx.tree_at(lambda p: p.strings, self, drawn)
        return redrawn

    def sample_batch(self, key: Key[Array, ""]) -> Batch:
        return self.strings[self.minibatches.rows(key, self.strings.shape[-2])]

    def full_batch(self) -> Batch:
        return self.strings

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        key = jax.random.key(0)
        return [cls(letters=3, length=4, width=4, samples=4, batch_size=2, key=key)]


def _normalised(stream: Stream) -> Stream:
    return stream * jax.lax.rsqrt(jnp.mean(jnp.square(stream), axis=-1, keepdims=True) + EPSILON)
