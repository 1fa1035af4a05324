"""Which arguments of an architecture a conf may change, and what it must not say."""

import difflib
import inspect
from collections.abc import Iterator
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from tasks.conf_errors import allowed
from tasks.confs import MetaTrainingConf

OPTIONS = "architecture_options"


def refusals(conf: MetaTrainingConf, architecture: Any) -> list[str]:
    """Say what is wrong with each option, and then with all of them together, before any work."""
    lines = list(_one_by_one(conf, architecture))
    if lines or not conf.architecture_options:
        return lines
    import equinox as eqx
    import jax

    make, key = getattr(architecture, conf.preset), jax.random.key(0)
    try:
        # What the architecture itself refuses; nothing is computed.
        eqx.filter_eval_shape(lambda key: make(**conf.architecture_options, key=key), key)
    except ValueError as error:
        return [f"meta_training.{OPTIONS}: {conf.architecture_options} is not allowed; {error}"]
    return []


def _one_by_one(conf: MetaTrainingConf, architecture: Any) -> Iterator[str]:
    kinds = _options(architecture)
    for name, value in conf.architecture_options.items():
        said = f"meta_training.{OPTIONS}.{name}: {value!r} is not allowed"
        if name not in kinds:
            close = difflib.get_close_matches(name, kinds, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            there = ", ".join(kinds) or "none"
            yield f"{said}, for {conf.architecture} has no such option; {hint}allowed: {there}"
        elif not _is(kinds[name], value):
            yield f"{said}; allowed: {allowed(TypeAdapter(kinds[name]).json_schema())}"


def _options(architecture: Any) -> dict[str, Any]:
    """Return the arguments of the constructor that a conf can give, with their annotations."""
    names = inspect.signature(architecture.__init__).parameters
    hints = get_type_hints(architecture.__init__)
    return {name: hints[name] for name in names if name not in ("self", "key")}


def _is(kind: Any, value: Any) -> bool:
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True
