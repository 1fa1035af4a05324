"""From a YAML file and `key=value` pairs to a whole, valid `Conf`, or to a list of mistakes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tasks.conf_errors import ConfError, explain, unknown_key
from tasks.confs import Conf
from tasks.yaml_files import YamlError, parse_yaml, read_yaml

SECTIONS = tuple(Conf.model_fields)


def read_conf(path: Path | None, overrides: Sequence[str], sections: Sequence[str]) -> Conf:
    """Return the conf of the file (the defaults without one) with the overrides put in.

    An override is `section.key=value`, or `key=value` where only one of `sections` has the
    key; the value is read as YAML. Raises `ConfError` with a line for every mistake.

    **Example**

    ```python
    read_conf(Path("conf/tiny.yaml"), ["meta_steps=200"], ["ensemble", "meta_training"])
    ```
    """
    values = {} if path is None else _read(path)
    mistakes: list[str] = []
    for override in overrides:
        try:
            section, key, value = _parse(override, sections)
        except ConfError as error:
            mistakes.extend(error.lines)
            continue
        content = values.setdefault(section, {})
        if isinstance(content, dict):
            content[key] = value
    return _validate(values, mistakes)


def _validate(values: Mapping[str, Any], mistakes: list[str]) -> Conf:
    try:
        conf = Conf.model_validate(values)
    except ValidationError as error:
        raise ConfError([*mistakes, *explain(error, Conf).lines]) from None
    if mistakes:
        raise ConfError(mistakes)
    return conf


def _read(path: Path) -> dict[str, Any]:
    try:
        values = read_yaml(path)
    except YamlError as error:
        raise ConfError([str(error)]) from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfError([f"{path}: has to hold sections; allowed: {', '.join(SECTIONS)}"])
    # A section that is written with nothing under it means its defaults.
    return {key: {} if value is None else value for key, value in values.items()}


def _parse(override: str, sections: Sequence[str]) -> tuple[str, str, Any]:
    path, equals, text = override.partition("=")
    if not equals:
        raise ConfError([f"--set {override}: has no value; allowed: --set key=value"])
    try:
        value = parse_yaml(text)
    except YamlError as error:
        raise ConfError([f"--set {override}: {error}"]) from None
    section, dot, key = path.partition(".")
    return (section, key, value) if dot else (_section_of(path, value, sections), path, value)


def _section_of(key: str, value: object, sections: Sequence[str]) -> str:
    known = {name: Conf.model_fields[name].annotation for name in sections}
    having = [name for name, model in known.items() if key in _keys(model)]
    if len(having) == 1:
        return having[0]
    if having:
        choices = " or ".join(f"{name}.{key}" for name in having)
        raise ConfError([f"{key}: is in several sections; say which: {choices}"])
    keys = [key for model in known.values() for key in _keys(model)]
    raise ConfError([unknown_key(key, value, keys)])


def _keys(model: Any) -> list[str]:
    return list(model.model_fields)
