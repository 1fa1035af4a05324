"""Train a ConvNet on the real handwritten digits with the optimizer from the registry.

    .venv/bin/python docs/examples/train_digits.py

Says the test accuracy on 355 images after 500 steps, for eight initialisations, as the
evaluation of a release does. Another optimizer: give its URI or path as an argument.
"""

import os
import sys
from pathlib import Path

import jax

import lopt
from lopt.datasets import prepare
from lopt.evaluation.candidate import learned
from lopt.evaluation.evaluate import evaluate_one
from lopt.evaluation.targets.digits import digits_convnet

HOME = Path(os.environ.get("LOPT_HOME", ".lopt")).absolute()
SEEDS = 8


def main(uri: str) -> None:
    """Train with the optimizer at `uri` and print what came out."""
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{HOME / 'mlflow.db'}")
    optimizer = lopt.load(uri)
    target = digits_convnet(prepare("digits", HOME / "datasets"))
    cell = evaluate_one(target, learned(optimizer), SEEDS, jax.random.key(0))
    accuracies = cell.metrics["test_accuracy"][0]
    print(f"{uri}: {target.name} after {target.steps} steps")
    print(f"test accuracy of {SEEDS} seeds: {', '.join(f'{a:.3f}' for a in sorted(accuracies))}")
    print(f"mean {accuracies.mean():.3f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "models:/learned-optimizer@champion")
