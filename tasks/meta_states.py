"""From a conf to what meta-training begins with."""

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

from tasks.confs import MetaTrainingConf
from tasks.ensembles import groups_of
from tasks.initial_optimizers import initial_optimizer
from tasks.references import EnsembleReference, RunReference

if TYPE_CHECKING:
    from lopt.meta_gradients import MetaGradient, TrajectoryLengths, Unrolling
    from lopt.meta_objectives import MetaObjective
    from lopt.meta_training import MetaState, MetaTraining


# What a run begins with is also what its checkpoints are read by: once is enough.
@functools.lru_cache(maxsize=1)
def initial_meta_state(
    run: RunReference, conf: MetaTrainingConf, ensemble: EnsembleReference
) -> "MetaState":
    """Return the state before the first meta-step, drawn from the run's seed."""
    import jax

    from lopt.meta_training import init_meta_state

    optimizer_key, state_key = jax.random.split(jax.random.key(run.seed))
    optimizer = initial_optimizer(conf, optimizer_key)
    groups = groups_of(ensemble)
    return init_meta_state(training_of(conf), optimizer, groups, state_key)


def training_of(conf: MetaTrainingConf) -> "MetaTraining":
    """Return the settings of the library's meta-training."""
    from lopt.meta_training import MetaTraining

    return MetaTraining(
        estimator=_estimator(conf),
        meta_learning_rate=conf.meta_learning_rate,
        warmup_steps=conf.warmup_meta_steps,
        decay_steps=conf.meta_steps,
        clip_norm=conf.clip_norm,
        groups_per_step=conf.groups_per_meta_step or None,
        steps_per_dispatch=conf.meta_steps_per_dispatch,
        equal_groups=conf.equal_groups,
        compile_quickly=conf.compile_quickly,
    )


def _estimator(conf: MetaTrainingConf) -> "MetaGradient":
    """Make the estimator, and have it imitate a teacher beside if the conf says so."""
    from lopt.meta_gradients import Imitation

    estimator = _named_estimator(conf)
    if not conf.imitation_weight:
        return estimator
    return Imitation(
        _unrolling(conf),
        estimator,
        conf.imitation_weight,
        conf.teacher,
        conf.teacher_learning_rate,
        conf.problem_clip_norm,
    )


def _named_estimator(conf: MetaTrainingConf) -> "MetaGradient":
    """Make the estimator that is named, with those settings of the conf that it has."""
    import lopt.meta_gradients
    from lopt.catalogue import find_class
    from lopt.meta_gradients import MetaGradient

    base: Any = MetaGradient
    chosen: Any = find_class(lopt.meta_gradients, base, conf.estimator)
    # One that holds another has it under the name of the conf's own key.
    settings = {
        field.name: getattr(conf, field.name)
        for field in dataclasses.fields(chosen)
        if field.name in type(conf).model_fields and field.name != "estimator"
    }
    estimator: MetaGradient = chosen(unrolling=_unrolling(conf), **settings)
    return estimator


def _unrolling(conf: MetaTrainingConf) -> "Unrolling":
    from lopt.meta_gradients import Unrolling

    return Unrolling(
        steps=conf.unroll_steps,
        problems=conf.problems,
        lengths=_lengths(conf),
        objective=_objective(conf),
        explosion_factor=conf.explosion_factor,
        rematerialise=conf.rematerialise,
    )


def _lengths(conf: MetaTrainingConf) -> "TrajectoryLengths":
    from lopt.meta_gradients import ExponentialLengths, GrowingLengths, LogUniformLengths

    shortest, longest = conf.shortest_unrolls, conf.longest_unrolls
    lengths: TrajectoryLengths
    if conf.lengths == "log_uniform":
        lengths = LogUniformLengths(shortest, longest)
    else:
        lengths = ExponentialLengths(shortest, conf.mean_extra_unrolls, longest)
    if not conf.growing_meta_steps:
        return lengths
    return GrowingLengths(lengths, shortest, longest, conf.growing_meta_steps)


def _objective(conf: MetaTrainingConf) -> "MetaObjective":
    import lopt.meta_objectives
    from lopt.catalogue import find_class
    from lopt.meta_objectives import AverageLogLoss, MetaObjective

    base: Any = MetaObjective
    chosen: Any = find_class(lopt.meta_objectives, base, conf.objective)
    # The paper's form of the meta-loss with the paper's optimizer, else the released code's.
    papers = {"numerator_epsilon": conf.preset == "paper"} if chosen is AverageLogLoss else {}
    objective: MetaObjective = chosen(data=conf.objective_data, **papers)
    return objective
