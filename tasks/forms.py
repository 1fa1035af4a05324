"""The form that Prefect shows for a flow: what may be filled in, said in words and as choices.

Prefect draws it from the JSON schema of the flow's parameters, and its server refuses what the
schema does not allow. Ranges are in the schema, but nobody sees them; and some choices are known
only when the library is looked through.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from tasks.conf_errors import allowed
from tasks.conf_files import SECTIONS

INTERNAL = {"parent_mlflow_run_id", "run_directory"}
"""What only a flow that calls another gives to it."""


def form_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a flow's parameters with all that a person should see in the form.

    **Example**

    ```python
    form_schema(parameter_schema(meta_train).model_dump(exclude_unset=True))
    ```
    """
    form = copy.deepcopy(dict(schema))
    form["properties"] = {
        name: one for name, one in form["properties"].items() if name not in INTERNAL
    }
    definitions = form.get("definitions", {})
    for name, one in form["properties"].items():
        if name in SECTIONS:
            model = definitions[one["$ref"].rpartition("/")[2]]
            one["description"] = model["description"]
            one["title"] = _title(name)
            _describe_fields(name, model["properties"])
        else:
            one["title"] = _title(name)
            one["description"] = _with_limits(" ".join(one.get("description", "").split()), one)
    return form


def _describe_fields(section: str, fields: dict[str, dict[str, Any]]) -> None:
    for name, field in fields.items():
        choices = CHOICES.get((section, name))
        if choices is not None:
            _among(field, choices())
        field["title"] = _title(name)
        field["description"] = _with_limits(field["description"], field)


def _with_limits(description: str, field: Mapping[str, Any]) -> str:
    """Say in the description what is allowed, and what it is where nobody changes it."""
    default = f"; default: {_shown(field['default'])}" if "default" in field else ""
    return f"{description} ({_capital(allowed(field))}{default}.)"


def _among(field: dict[str, Any], choices: list[str]) -> None:
    """Let a text, or each of a list of texts, be one of the choices."""
    texts = field["items"] if field.get("type") == "array" else field
    texts["enum"] = choices


def _architectures() -> list[str]:
    import lopt.architectures

    return _classes(lopt.architectures, lopt.architectures.LearnedOptimizer)


def _estimators() -> list[str]:
    import lopt.meta_gradients

    known = _classes(lopt.meta_gradients, lopt.meta_gradients.MetaGradient)
    # What goes beside another: `imitation_weight` asks for it.
    return [name for name in known if name != "Imitation"]


def _objectives() -> list[str]:
    import lopt.meta_objectives

    return _classes(lopt.meta_objectives, lopt.meta_objectives.MetaObjective)


def _teachers() -> list[str]:
    from lopt.meta_gradients.teachers import TEACHERS

    return list(TEACHERS)


def _baselines() -> list[str]:
    from lopt.evaluation import BASELINES

    return list(BASELINES)


def _presets() -> list[str]:
    import lopt.architectures
    from lopt.catalogue import concrete_classes

    base: Any = lopt.architectures.LearnedOptimizer
    known = concrete_classes(lopt.architectures, base).values()
    return list(dict.fromkeys(preset for one in known for preset in one.presets))


def _classes(package: Any, base: Any) -> list[str]:
    from lopt.catalogue import concrete_classes

    return list(concrete_classes(package, base))


CHOICES: Mapping[tuple[str, str], Callable[[], list[str]]] = {
    ("meta_training", "architecture"): _architectures,
    ("meta_training", "preset"): _presets,
    ("meta_training", "estimator"): _estimators,
    ("meta_training", "objective"): _objectives,
    ("meta_training", "teacher"): _teachers,
    ("evaluation", "baselines"): _baselines,
}
"""Choices by section and key, where the models of `tasks.confs` leave them to the library."""


def _title(name: str) -> str:
    return _capital(name.replace("_", " "))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
