"""Wrote `format_1`, once: `python tests/lopt/releases/make_format_1.py` in a new folder.

The release stays as it is for ever; only another format gets another folder. The expected
updates are what the optimizer computed on the day it was saved.
"""

import json
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from lopt import release
from lopt.architectures.hierarchical_rnn import HierarchicalRNN
from lopt.provenance import Provenance

GRADIENTS = [
    {"bias": [0.25, -1.5], "weight": [[1e-3, -0.5, 2.0], [0.0, 30.0, -0.125]]},
    {"bias": [0.5, 1.5], "weight": [[2e-3, -0.25, 1.0], [1e-6, -10.0, -0.125]]},
]
LEARNING_RATE = 1e-3


def updates_of(optimizer: Any) -> list[dict[str, Any]]:
    """Return the updates for the gradients above, from a new state and zero params."""
    transformation = optimizer.transformation(LEARNING_RATE)
    gradients = [{k: jnp.asarray(v, jnp.float32) for k, v in g.items()} for g in GRADIENTS]
    params = jax.tree.map(jnp.zeros_like, gradients[0])
    opt_state, found = transformation.init(params), []
    for gradient in gradients:
        update, opt_state = transformation.update(gradient, opt_state, params)
        found.append({name: leaf.tolist() for name, leaf in update.items()})
    return found


def main(directory: Path) -> None:
    """Write the release and, beside it, what it computes."""
    provenance = Provenance(
        lopt_version="0.1.0",
        seed=0,
        meta_steps=0,
        conf='{"note": "not meta-trained; kept to show that format 1 loads"}',
        dataset_digests=(("digits", "0" * 64),),
    )
    optimizer = HierarchicalRNN.release(key=jax.random.key(0)).with_provenance(provenance)
    release.save(optimizer, directory)
    facts = {
        "digest": release.digest(directory),
        "gradients": GRADIENTS,
        "initial_learning_rate": LEARNING_RATE,
        "updates": updates_of(optimizer),
    }
    text = json.dumps(facts, indent=1) + "\n"
    directory.with_name(f"{directory.name}_expected.json").write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "format_1")
