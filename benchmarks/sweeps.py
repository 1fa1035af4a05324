"""Sweeps over learning rates and seeds: as the evaluation runs them, and written by hand."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from lopt.datasets import Split
from lopt.evaluation.candidate import Candidate
from lopt.evaluation.cell_states import first_state, later_states, metrics_of, work_of
from lopt.evaluation.targets.image_classification import ImageClassification
from lopt.networks.convnet import ConvNet
from lopt.networks.mlp import MLP
from lopt.problems.losses import cross_entropy

STEPS, RECORD_EVERY, BATCH, MEASURED = 300, 10, 64, 512
RATES = tuple(float(rate) for rate in np.geomspace(1e-4, 3e-1, 8))
SEEDS = 8

Make = Callable[[Any], optax.GradientTransformation]


def mlp(key: jax.Array) -> MLP:
    """Draw the fully connected network of the digits."""
    return MLP((64, 32, 10), key=key)


def convnet(key: jax.Array) -> ConvNet:
    """Draw the convolutional network of the digits."""
    return ConvNet((8, 8, 1), filters=(8, 16), classes=10, key=key)


NETWORKS = {"mlp": mlp, "convnet": convnet}


def target(network: str) -> ImageClassification:
    """Return a target on images of noise, as many and as large as the digits."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (1442, 8, 8, 1), dtype=np.uint8)
    train = Split("train", images, generator.integers(0, 10, 1442).astype(np.int32))
    test = Split("test", train.images[:355], train.labels[:355])
    return ImageClassification.of(
        train,
        test,
        NETWORKS[network],
        name="",
        steps=STEPS,
        record_every=RECORD_EVERY,
        batch_size=BATCH,
        measured=MEASURED,
    )


class Evaluated:
    """A cell of the evaluation, from its first state to its metrics."""

    def __init__(self, network: str, make: Make, rates: tuple[float, ...], seeds: int) -> None:
        """Draw where the seeds begin, and compile."""
        keys = jax.random.split(jax.random.key(0), seeds)
        self._work = work_of(target(network), Candidate("candidate", make, rates), keys)
        self.members = len(rates) * seeds
        self(1)

    def __call__(self, repeats: int) -> None:
        """Compute it so many times."""
        for _ in range(repeats):
            *_, last = later_states(self._work, first_state(self._work))
            jax.block_until_ready(metrics_of(self._work, last))


class ByHand:
    """The same training as a researcher writes it: optax, two scans, two vmaps, one program."""

    def __init__(self, network: str, make: Make, rates: tuple[float, ...], seeds: int) -> None:
        """Compile, which takes the first run."""
        self._data = target(network)
        self._network, self._make = NETWORKS[network], make
        self._rates = jnp.asarray(rates, jnp.float32)
        self._keys = jax.random.split(jax.random.key(0), seeds)
        of_seeds = jax.vmap(self._train, (None, None, 0))
        self._program = eqx.filter_jit(jax.vmap(of_seeds, (None, 0, None)))
        self(1)

    def __call__(self, repeats: int) -> None:
        """Train so many times."""
        for _ in range(repeats):
            jax.block_until_ready(self._program(self._data, self._rates, self._keys))

    def _train(self, data: ImageClassification, rate: jax.Array, key: jax.Array) -> Any:
        images, labels = data.training.images, data.training.labels
        optimizer = self._make(rate)
        init_key, step_key = jax.random.split(key)
        params = self._network(init_key)

        def loss_of(params: Any, images: jax.Array, labels: jax.Array) -> jax.Array:
            return cross_entropy(jax.vmap(params)(images), labels)

        def step(carry: Any, key: jax.Array) -> Any:
            params, state = carry
            chosen = jax.random.randint(key, (BATCH,), 0, len(labels))
            loss, gradient = jax.value_and_grad(loss_of)(params, images[chosen], labels[chosen])
            extra = optax.with_extra_args_support(optimizer)
            updates, state = extra.update(gradient, state, params, value=loss)
            return (optax.apply_updates(params, updates), state), None

        def record(carry: Any, keys: jax.Array) -> Any:
            carry, _ = jax.lax.scan(step, carry, keys)
            return carry, loss_of(carry[0], images[:MEASURED], labels[:MEASURED])

        keys = jax.random.split(step_key, (STEPS // RECORD_EVERY, RECORD_EVERY))
        (params, _), losses = jax.lax.scan(record, (params, optimizer.init(params)), keys)
        logits = jax.vmap(params)(data.test_images)
        right = jnp.argmax(logits, axis=-1) == data.test_labels
        first = loss_of(self._network(init_key), images[:MEASURED], labels[:MEASURED])
        return first, losses, cross_entropy(logits, data.test_labels), right.mean()
