"""The optimizer that meta-training begins with: one that is drawn, or that of a release."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tasks import tracking
from tasks.confs import MetaTrainingConf

if TYPE_CHECKING:
    from jaxtyping import Array, Key

    from lopt.architectures import LearnedOptimizer


class InitialReleaseError(ValueError):
    """A release that this conf cannot begin with."""


def initial_optimizer(conf: MetaTrainingConf, key: "Key[Array, '']") -> "LearnedOptimizer":
    """Return the optimizer of the conf's `initial_release`, or without one a new one.

    Raises `InitialReleaseError` if the release is of another architecture or other options, and
    what `lopt.load` raises.
    """
    drawn = new_optimizer(conf, key)
    return _read(conf, drawn) if conf.initial_release else drawn


def new_optimizer(conf: MetaTrainingConf, key: "Key[Array, '']") -> "LearnedOptimizer":
    """Return the architecture of the conf with meta-params that are drawn from the key."""
    import equinox as eqx

    from lopt.compiled_programs import processor_options

    # Compiled as one program, not operation by operation, which takes seconds, and in a third of
    # the time that a program takes which is to run fast. Equinox declares no such argument.
    jit: Any = eqx.filter_jit
    quickly = processor_options(quickly=True, small=False)
    optimizer: LearnedOptimizer = jit(maker(conf), compiler_options=quickly)(key)
    return optimizer


def maker(conf: MetaTrainingConf) -> "Callable[[Key[Array, '']], LearnedOptimizer]":
    """Return what makes an optimizer of the conf of a key, to be compiled or looked at."""
    import lopt.architectures
    from lopt.architectures import LearnedOptimizer
    from lopt.catalogue import find_class

    architecture: Any = find_class(lopt.architectures, LearnedOptimizer, conf.architecture)
    make: Callable[..., LearnedOptimizer] = getattr(architecture, conf.preset)
    return lambda key: make(**conf.architecture_options, key=key)


def refusal(conf: MetaTrainingConf) -> list[str]:
    """Return what is wrong with the release that a conf begins with, before any work."""
    import equinox as eqx
    import jax

    from lopt.registry import RegistryError
    from lopt.release import ReleaseError

    if not conf.initial_release:
        return []
    drawn = eqx.filter_eval_shape(maker(conf), jax.random.key(0))
    try:
        _read(conf, drawn)
    except InitialReleaseError as error:
        return [str(error)]
    except (RegistryError, ReleaseError) as error:
        return [f"meta_training.initial_release: {conf.initial_release} cannot be loaded: {error}"]
    return []


def _read(conf: MetaTrainingConf, drawn: "LearnedOptimizer") -> "LearnedOptimizer":
    from lopt.loading import load

    tracking.client()  # points what loads to our store
    loaded = load(conf.initial_release).with_provenance(None)
    if _shape(loaded) == _shape(drawn):
        return loaded
    raise InitialReleaseError(
        f"meta_training.initial_release: {conf.initial_release} is {_said(loaded)}, and this conf "
        f"trains {_said(drawn)}. Choose that architecture, preset and options, or leave the "
        "release out to begin anew."
    )


def _shape(optimizer: "LearnedOptimizer") -> object:
    """Return the structure with all that is static, and the form of each array."""
    import jax

    leaves, structure = jax.tree.flatten(optimizer)
    return structure, [(leaf.shape, leaf.dtype) for leaf in leaves]


def _said(optimizer: "LearnedOptimizer") -> str:
    options = ", ".join(f"{k}={v!r}" for k, v in optimizer.hyper_parameters().items())
    return f"{type(optimizer).__name__}({options})"
