"""From a conf to what meta-training begins with."""

import functools
from typing import TYPE_CHECKING, Any

from tasks.confs import MetaTrainingConf
from tasks.ensembles import groups_of
from tasks.references import EnsembleReference, RunReference

if TYPE_CHECKING:
    from lopt.meta_training import MetaState, MetaTraining


# What a run begins with is also what its checkpoints are read by: once is enough.
@functools.lru_cache(maxsize=1)
def initial_meta_state(
    run: RunReference, conf: MetaTrainingConf, ensemble: EnsembleReference
) -> "MetaState":
    """Return the state before the first meta-step, drawn from the run's seed."""
    import equinox as eqx
    import jax

    import lopt.architectures
    from lopt.architectures import LearnedOptimizer
    from lopt.catalogue import find_class
    from lopt.meta_training import init_meta_state

    architecture: Any = find_class(lopt.architectures, LearnedOptimizer, conf.architecture)
    optimizer_key, state_key = jax.random.split(jax.random.key(run.seed))
    make = getattr(architecture, conf.preset)
    # Compiled as one program, not operation by operation, which takes seconds.
    optimizer = eqx.filter_jit(lambda key: make(key=key))(optimizer_key)
    groups = groups_of(ensemble)
    return init_meta_state(training_of(conf), optimizer, groups, state_key)


def training_of(conf: MetaTrainingConf) -> "MetaTraining":
    """Return the settings of the library's meta-training."""
    from lopt.meta_gradients import TrajectoryLengths, TruncatedBackprop
    from lopt.meta_objectives import AverageLogLoss
    from lopt.meta_training import MetaTraining

    lengths = TrajectoryLengths(
        conf.shortest_unrolls, conf.mean_extra_unrolls, conf.longest_unrolls
    )
    estimator = TruncatedBackprop(
        unroll_steps=conf.unroll_steps,
        problems=conf.problems,
        lengths=lengths,
        # The paper's form of the meta-loss with the paper's optimizer, else the released code's.
        objective=AverageLogLoss(numerator_epsilon=conf.preset == "paper"),
        problem_clip_norm=conf.problem_clip_norm,
        second_derivatives=conf.second_derivatives,
    )
    return MetaTraining(
        estimator=estimator,
        meta_learning_rate=conf.meta_learning_rate,
        warmup_steps=conf.warmup_meta_steps,
        decay_steps=conf.meta_steps,
        clip_norm=conf.clip_norm,
    )
