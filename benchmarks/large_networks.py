"""Images a second and memory of the paper's two ImageNet networks, for each optimizer.

    python -m benchmarks.large_networks    # on a GPU: 224 and 299 pixels
    python -m benchmarks.large_networks --networks resnet50 --pixels 64 --batch 8 --rounds 3

Whole training steps (gradient with batch normalization, update) on images of noise that are on the
device already, so that no input pipeline is measured: benchmarks/test_streams.py has that. All
optimizers of a network take turns within each round; ratios are of one round. Memory is what
the compiled step needs by the compiler's own account: arguments (params, the optimizer's state,
images), and what it allocates beside them.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from lopt.architectures import AdafactorMLP, HierarchicalRNN
from lopt.evaluation.classification_with_memory import ClassificationWithMemory
from lopt.evaluation.targets.inception_v3 import INCEPTION
from lopt.evaluation.targets.resnet50 import RESNET
from lopt.evaluation.trajectory import Trained, inner_step

NETWORKS = {one.name: one for one in (RESNET, INCEPTION)}
PIXELS = {RESNET.name: 224, INCEPTION.name: 299}
"""As their authors and the paper's ImageNet experiments have them."""
CLASSES = 1000
REFERENCE = "Adam"


class Reading(NamedTuple):
    """What is known of an optimizer on a network before and after it is timed."""

    optimizer: str
    compile_seconds: float
    state_bytes: int
    """Of the optimizer alone."""
    arguments_bytes: int
    beside_bytes: int
    seconds: list[float]
    """Of a step, one for each round."""


class Training:
    """A training in the middle: calling it takes so many steps more."""

    def __init__(self, network: str, make: Any, pixels: int, batch: int) -> None:
        """Draw params and images, and compile a step."""
        self._key = jax.random.key(0)
        shape = (pixels, pixels, 3)
        images = jax.random.normal(self._key, (batch, *shape), jnp.float32)
        labels = jax.random.randint(self._key, (batch,), 0, CLASSES)
        problem = ClassificationWithMemory(
            images,
            labels,
            network=NETWORKS[network].of_size(shape, CLASSES),
            batch_size=batch,
            measured=batch,
        )
        params = eqx.filter_jit(problem.init)(self._key)
        transformation = make()
        opt_state = jax.jit(transformation.init)(params)
        self._trained = Trained(params, opt_state, problem.init_memory())
        self._given = (images, labels)
        self.params = sum(leaf.size for leaf in jax.tree.leaves(params))
        self.state_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(opt_state))

        def step(trained: Trained, batch: Any) -> Trained:
            # Without its images, which are an argument and no constant of the program.
            bare = eqx.tree_at(lambda one: (one.images, one.labels), problem, batch)
            return inner_step(bare, transformation, trained, self._key, batch)

        begun = time.perf_counter()
        lowered = jax.jit(step, donate_argnums=0).lower(self._trained, self._given)
        self._step = lowered.compile()
        self.compile_seconds = time.perf_counter() - begun
        memory = self._step.memory_analysis()
        self.arguments_bytes = int(memory.argument_size_in_bytes)
        self.beside_bytes = int(memory.temp_size_in_bytes)
        self(1)

    def __call__(self, steps: int) -> float:
        """Take so many steps; the seconds of one."""
        begun = time.perf_counter()
        for _ in range(steps):
            self._trained = self._step(self._trained, self._given)
        jax.block_until_ready(self._trained)
        return (time.perf_counter() - begun) / steps

    @property
    def finite(self) -> bool:
        """Whether all params still are."""
        return all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(self._trained.params))


OPTIMIZERS = {
    "Adam": lambda: optax.adam(1e-3),
    "HierarchicalRNN": lambda: HierarchicalRNN.release(key=jax.random.key(0)).transformation(),
    "AdafactorMLP": lambda: AdafactorMLP.release(key=jax.random.key(0)).transformation(),
}


def measured(
    network: str, names: Sequence[str], pixels: int, batch: int, rounds: int, steps: int
) -> list[Reading]:
    """Compile the reference and optimizers of these names on a network, and time them in turns."""
    trainings = {}
    for name in dict.fromkeys((REFERENCE, *names)):
        trainings[name] = Training(network, OPTIMIZERS[name], pixels, batch)
        say(f"  {name}: compiled in {trainings[name].compile_seconds:.0f} s")
    say(f"  {next(iter(trainings.values())).params:,} params")
    seconds: dict[str, list[float]] = {name: [] for name in trainings}
    for _ in range(rounds):
        for name, training in trainings.items():
            seconds[name].append(training(steps))
    if broken := [name for name, training in trainings.items() if not training.finite]:
        raise FloatingPointError(f"{network}: params of {', '.join(broken)} are not finite")
    return [
        Reading(
            name,
            one.compile_seconds,
            one.state_bytes,
            one.arguments_bytes,
            one.beside_bytes,
            seconds[name],
        )
        for name, one in trainings.items()
    ]


def table(readings: Sequence[Reading], batch: int) -> list[str]:
    """Return the lines of a table, ratios with their quartiles."""
    (reference,) = [one for one in readings if one.optimizer == REFERENCE]
    words = ("images/s", "step / Adam's", "compile", "its state", "arguments", "beside")
    lines = [f"  {'':16} {words[0]:>10}  {words[1]:18}" + "".join(f"{w:>12}" for w in words[2:])]
    for one in readings:
        low, middle, high = np.quantile(
            np.array(one.seconds) / np.array(reference.seconds), [0.25, 0.5, 0.75]
        )
        ratio = f"{middle:.2f} ({low:.2f}-{high:.2f})"
        sizes = (one.state_bytes, one.arguments_bytes, one.beside_bytes)
        lines.append(
            f"  {one.optimizer:16} {batch / np.median(one.seconds):10.1f}  {ratio:18}"
            f"{one.compile_seconds:10.0f} s" + "".join(f"{size >> 20:8} MiB" for size in sizes)
        )
    return lines


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_networks")
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument(
        "--optimizers", nargs="+", choices=list(OPTIMIZERS), default=list(OPTIMIZERS)
    )
    parser.add_argument("--pixels", type=int, help="224 for ResNet, 299 for Inception")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10, help="of one reading")
    asked = parser.parse_args()
    (device, *_) = jax.devices()
    say(f"JAX {jax.__version__}, {device.device_kind}")
    for network in asked.networks:
        pixels = asked.pixels or PIXELS[network]
        say(f"{network}, {asked.batch} images of {pixels} x {pixels}")
        readings = measured(
            network, asked.optimizers, pixels, asked.batch, asked.rounds, asked.steps
        )
        for line in table(readings, asked.batch):
            say(line)


if __name__ == "__main__":
    main()
