"""A program that meta-trains on several devices and prints what comes out, as JSON.

How many CPU devices there are is fixed when JAX starts, so it is run by itself.
"""

import dataclasses
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np

import lopt.meta_gradients
from lopt.architectures import HierarchicalRNN, LearnedAdam
from lopt.catalogue import concrete_classes
from lopt.ensembles import draw_ensemble
from lopt.meta_gradients import (
    ExponentialLengths,
    MetaGradient,
    TruncatedBackprop,
    Unrolling,
)
from lopt.meta_gradients.vectors import vectors
from lopt.meta_training import (
    MetaTraining,
    from_first,
    gathered,
    init_meta_state,
    meta_train,
    problem_mesh,
    validation_losses,
)
from lopt.meta_training.devices import on_all
from lopt.meta_training.state import placed
from lopt.meta_training.steps import _arguments, _program
from lopt.packed_state import pack
from lopt.side_by_side import SMALL

ENTRIES = [
    {"family": "quadratics", "count": 2, "spec": {"problem": "Quadratic", "dimensions": 3}},
]
LARGE = [
    {"family": "large", "count": 2, "spec": {"problem": "Quadratic", "dimensions": SMALL + 8}},
]
META_STEPS = 7
# Beside every estimator on small problems, for these two what takes longer to compile.
ESTIMATORS = ("PersistentES", "TruncatedBackprop")


def estimators():
    """Every estimator by its name."""
    for name, cls in concrete_classes(lopt.meta_gradients, MetaGradient).items():
        yield name, cls.examples()[0]


def trained(estimator, mesh, problems=8, entries=ENTRIES, architecture=LearnedAdam):
    """Meta-params, losses and divisions after some meta-steps, in two calls."""
    groups = draw_ensemble(entries, seed=0).groups()
    unrolling = Unrolling(steps=3, problems=problems, lengths=ExponentialLengths(1, 2.0, 10))
    estimator = dataclasses.replace(estimator, unrolling=unrolling)
    training = MetaTraining(estimator, 0.1, warmup_steps=2, decay_steps=50, steps_per_dispatch=3)
    optimizer = architecture.release(key=jax.random.key(0))
    state = init_meta_state(training, optimizer, groups, jax.random.key(1))
    losses = []
    for last in (4, META_STEPS):
        dispatches = list(meta_train(training, groups, state, last_meta_step=last, mesh=mesh))
        losses += [row["meta/loss"] for _, metrics in dispatches for row in metrics.rows()]
        assert not any(metrics.named_faults() for _, metrics in dispatches)
        state = dispatches[-1][0]
    validated = validation_losses(training, groups, state, jax.random.key(2), 2, mesh)
    divided = [leaf for leaf in jax.tree.leaves(state.estimator_states) if leaf.ndim]
    (devices,) = {len(leaf.sharding.device_set) for leaf in divided}
    (problems_here,) = {
        tuple(shard.data.shape[0] for shard in leaf.addressable_shards) for leaf in divided
    }
    whole = gathered(state, mesh)
    return {
        "whole": pack(whole).digest({}),
        "whole_is_here": all(leaf.is_fully_addressable for leaf in jax.tree.leaves(whole)),
        "meta_params": np.asarray(vectors(state.optimizer).meta_params).tolist(),
        "losses": losses,
        "validated": [validated[name] for name in sorted(validated)],
        "devices": devices,
        "problems_here": problems_here,
    }


def digest_of_the_first_ones():
    """Return what a process has after taking the arrays of process 0, all of them other ones."""
    first = jax.process_index() == 0
    arrays = {
        "keys": jax.random.split(jax.random.key(int(first)), 3),
        "odd": jnp.array([-0.0, jnp.nan, jnp.inf] if first else [1.0, 2.0, 3.0]),
        "half": jnp.array([first, 2.0], jnp.bfloat16),
        "truth": jnp.array([first, True]),
        "count": jnp.asarray(int(first), jnp.int32),
    }
    return pack(from_first(arrays)).digest({})


def refused(mesh):
    """Say what is said to problems that cannot be divided."""
    try:
        trained(TruncatedBackprop(), mesh, problems=3)
    except ValueError as error:
        return str(error)
    return None


def share_of_the_work(estimator, entries):
    """Return what each of eight devices computes, relative to one that does all of it."""
    groups = draw_ensemble(entries, seed=0).groups()
    estimator = dataclasses.replace(estimator, unrolling=Unrolling(steps=3, problems=64))
    training = MetaTraining(estimator, steps_per_dispatch=3)
    optimizer = LearnedAdam.release(key=jax.random.key(0))
    state = init_meta_state(training, optimizer, groups, jax.random.key(1))
    turn = training.schedule(groups).turn(done=0)
    operations = []
    for count in (1, 8):
        mesh = problem_mesh(jax.devices()[:count])
        arguments = _arguments(training, on_all(groups, mesh), placed(state, mesh), turn, mesh)
        program = _program(training, arguments[2]).lower(*arguments).compile()
        operations.append(program.compiled.cost_analysis()["flops"])
    return operations[1] / operations[0]


def on_this_process():
    """So many of its devices, by their number."""
    meshes = {str(count): problem_mesh(jax.devices()[:count]) for count in (1, 2, 8)}
    return meshes | {"none": None}


def larger():
    """Large problems, and an optimizer of thousands of meta-params, by name and devices."""
    meshes = on_this_process()
    others = {"large": {"entries": LARGE}, "hierarchical": {"architecture": HierarchicalRNN}}
    known = dict(estimators())
    return {
        f"{name} {estimator}": {
            count: trained(known[estimator], mesh, **other) for count, mesh in meshes.items()
        }
        for name, other in others.items()
        for estimator in ESTIMATORS
    }


def main() -> None:
    # Only these are compiled as users have them.
    jax.config.update("jax_disable_most_optimizations", sys.argv[1:] != ["larger"])
    if sys.argv[1:] == ["shares"]:
        shares = {
            f"{name} {size}": share_of_the_work(estimator, entries)
            for name, estimator in estimators()
            for size, entries in (("small", ENTRIES), ("large", LARGE))
        }
        sys.stdout.write(json.dumps(shares))
        return
    if sys.argv[1:] == ["larger"]:
        sys.stdout.write(json.dumps(larger()))
        return
    if len(sys.argv) > 1:
        address, number = sys.argv[1], int(sys.argv[2])
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(address, 2, number)
        assert len(jax.devices()) == jax.process_count() == 2
        meshes = {"2": problem_mesh()}
    else:
        meshes = on_this_process()
    found = {
        name: {count: trained(estimator, mesh) for count, mesh in meshes.items()}
        for name, estimator in estimators()
    }
    found |= {"refused": refused(meshes["2"]), "taken": digest_of_the_first_ones()}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
