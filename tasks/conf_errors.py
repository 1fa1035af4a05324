"""What is wrong with a conf, said in one line a mistake."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from tasks.parameters import WORDS


class ConfError(ValueError):
    """A conf was refused. `lines` names for each mistake the key, the value and what is allowed."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


def explain(error: ValidationError, model: type[BaseModel]) -> ConfError:
    """Return what pydantic found, in our words."""
    return ConfError([_line(detail, model) for detail in error.errors(include_url=False)])


def unknown_key(key: str, value: object, known: Sequence[str]) -> str:
    """Return the line about a key that there is not, and the value that it was given."""
    close = difflib.get_close_matches(key.rpartition(".")[2], known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return (
        f"{key}: {_shown(value)} is not allowed, for there is no such key; "
        f"{hint}allowed: {', '.join(known)}"
    )


def allowed(schema: Mapping[str, Any]) -> str:
    """Say in words what the JSON schema of one field lets through.

    **Example**

    ```python
    allowed({"type": "integer", "minimum": 1, "maximum": 9})  # 'an integer from 1 to 9'
    ```
    """
    if "anyOf" in schema:
        return " or ".join(map(allowed, schema["anyOf"]))
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return f"only {schema['const']}"
    kind = schema.get("type")
    if kind == "array" or "additionalProperties" in schema:
        return _list_of(schema) if kind == "array" else _names_with(schema["additionalProperties"])
    if kind == "string" and "pattern" in schema:
        return str(schema.get(WORDS, f"text like {schema['pattern']}"))
    return _KINDS.get(str(kind), str(kind)) + _range(schema)


_KINDS = {
    "integer": "an integer",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "object": "a section",
    "null": "null",
}


def _names_with(schema: Mapping[str, Any] | bool) -> str:
    anything = isinstance(schema, bool) or not schema
    return "names, each with " + ("a value" if anything else allowed(schema))


def _list_of(schema: Mapping[str, Any]) -> str:
    least = "a list, not empty, of " if schema.get("minItems") else "a list of "
    return least + allowed(schema.get("items", {"type": "anything"}))


def _range(schema: Mapping[str, Any]) -> str:
    words = (
        ("minimum", "from"),
        ("exclusiveMinimum", "above"),
        ("maximum", "to"),
        ("exclusiveMaximum", "below"),
    )
    return "".join(f" {word} {schema[key]}" for key, word in words if key in schema)


def _line(detail: Mapping[str, Any], model: type[BaseModel]) -> str:
    path = detail["loc"]
    key = ".".join(map(str, path))
    owner = _owner(path, model)
    if detail["type"] == "extra_forbidden":
        return unknown_key(key, detail["input"], list(owner.model_fields))
    schema = field_schema(owner, str(_field(path, model)))
    return f"{key}: {_shown(detail['input'])} is not allowed; allowed: {allowed(schema)}"


def field_schema(model: type[BaseModel], name: str) -> Mapping[str, Any]:
    """Return the JSON schema of one field, with a reference to a section taken as an object."""
    schema: Mapping[str, Any] = model.model_json_schema()["properties"].get(name, {})
    return {"type": "object"} if "$ref" in schema else schema


def _owner(path: Sequence[int | str], model: type[BaseModel]) -> type[BaseModel]:
    if len(path) > 1 and path[0] in model.model_fields:
        section = model.model_fields[str(path[0])].annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            return section
    return model


def _field(path: Sequence[int | str], model: type[BaseModel]) -> int | str:
    return path[0] if _owner(path, model) is model else path[1]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
