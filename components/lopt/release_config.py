"""The text part of a release: `config.json`, what is in it and how it is checked."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_type_hints

from lopt.provenance import Provenance

FORMAT = 1
DIGEST_KEY = "config_sha256"

ALWAYS_WRITTEN = frozenset(
    {
        "checkpoint_digest",
        "conf",
        "dataset_digests",
        "ensemble_digest",
        "flow_run_id",
        "git_commit",
        "lopt_version",
        "meta_steps",
        "mlflow_run_id",
        "seed",
    }
)
"""What format 1 has of the provenance. A field that it gets later is written where it is known, so
that a release of before is the same text when it is saved again, and has the same digest."""

GET_AGAIN = "Get the release again from where it was published."


class ReleaseError(ValueError):
    """A release that cannot be written or must not be used; says which file and key, and why."""


@dataclasses.dataclass(frozen=True)
class ReleaseConfig:
    """What `config.json` says: how to build the optimizer and what its meta-params look like.

    `meta_params` maps the path of each meta-param to its shape and dtype, as
    `{"parameter_cell.weight": {"shape": [30, 10], "dtype": "float32"}}`.

    **Example**

    ```python
    config = ReleaseConfig.from_text(path.read_text(), path)
    config.architecture, config.provenance
    ```
    """

    architecture: str
    architecture_version: int
    hyper_parameters: dict[str, Any]
    meta_params: dict[str, dict[str, Any]]
    meta_params_bytes: int
    meta_params_sha256: str
    provenance: Provenance | None

    def to_text(self) -> str:
        """Return the text of `config.json`; equal configs give equal texts.

        Raises `ReleaseError` for a hyper-parameter that JSON cannot carry unchanged.
        """
        content = self._content()
        return _render({**content, DIGEST_KEY: _digest(content)})

    @staticmethod
    def from_text(text: str, path: Path) -> "ReleaseConfig":
        """Return the config that `to_text` wrote; `path` is only for the messages.

        Raises `ReleaseError` for any other text.
        """
        content = _parse(text, path)
        _check_format(content, path)
        fields = [field.name for field in dataclasses.fields(ReleaseConfig)]
        check_names(content, ["format", *fields, DIGEST_KEY], f"{path}: the config")
        _check_digest(content, text, path)
        _check_types(content, path)
        values = {name: content[name] for name in fields}
        values["hyper_parameters"] = _tuples(content["hyper_parameters"])
        values["provenance"] = _read_provenance(content["provenance"], path)
        return ReleaseConfig(**values)

    def _content(self) -> dict[str, Any]:
        for name, value in self.hyper_parameters.items():
            _check_hyper_parameter(name, value)
        content = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        content["provenance"] = self.provenance and _written(self.provenance)
        return {**content, "format": FORMAT}


def stored_digest(text: str) -> str:
    """Return the SHA-256 that identifies a release, from a text that `from_text` has checked.

    It covers the meta-params' own. It is that of the text as it was written, by whichever lopt.

    **Example**

    ```python
    stored_digest(config.to_text())
    ```
    """
    digest: str = json.loads(text)[DIGEST_KEY]
    return digest


def check_names(found: Iterable[str], expected: Iterable[str], where: str) -> None:
    """Raise `ReleaseError` unless the two hold the same names, naming what differs.

    **Example**

    ```python
    check_names(content, ["format", "architecture"], "config.json: the config")
    ```
    """
    found, expected = set(found), set(expected)
    if missing := sorted(expected - found):
        raise ReleaseError(f"{where} lacks {', '.join(map(repr, missing))}. {GET_AGAIN}")
    if extra := sorted(found - expected):
        raise ReleaseError(
            f"{where} has {', '.join(map(repr, extra))}, which does not belong there. {GET_AGAIN}"
        )


def _written(provenance: Provenance) -> dict[str, Any]:
    defaults = {field.name: field.default for field in dataclasses.fields(provenance)}
    return {
        name: value
        for name, value in dataclasses.asdict(provenance).items()
        if name in ALWAYS_WRITTEN or value != defaults[name]
    }


def _render(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(_render(content).encode()).hexdigest()


def _parse(text: str, path: Path) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ReleaseError(f"{path} is not JSON ({error}). {GET_AGAIN}") from error
    if not isinstance(content, dict):
        raise ReleaseError(f"{path} holds a {type(content).__name__}, not an object. {GET_AGAIN}")
    return content


def _check_format(content: Mapping[str, Any], path: Path) -> None:
    found = content.get("format", "missing")
    if found != FORMAT:
        raise ReleaseError(
            f"{path}: key 'format' is {found!r}, but this version of lopt reads format {FORMAT}. "
            "Install the version of lopt that wrote the release, or a newer one."
        )


def _check_digest(content: Mapping[str, Any], text: str, path: Path) -> None:
    rest = {name: value for name, value in content.items() if name != DIGEST_KEY}
    try:
        # The text too: what is parsed the same but written otherwise was not written by us.
        untouched = content[DIGEST_KEY] == _digest(rest) and _render(content) == text
    except (ValueError, RecursionError):
        untouched = False
    if not untouched:
        raise ReleaseError(
            f"{path} was changed after it was written: key {DIGEST_KEY!r} "
            f"({content[DIGEST_KEY]!r}) does not fit the rest of the file. {GET_AGAIN}"
        )


def _check_types(content: Mapping[str, Any], path: Path) -> None:
    expected = {
        "architecture": str,
        "architecture_version": int,
        "hyper_parameters": dict,
        "meta_params": dict,
        "meta_params_bytes": int,
        "meta_params_sha256": str,
        "provenance": dict | None,
    }
    for name, kind in expected.items():
        if not isinstance(content[name], kind):
            raise ReleaseError(f"{path}: key {name!r} is {content[name]!r}, not a {kind}.")


def _check_hyper_parameter(name: str, value: Any) -> None:
    if isinstance(value, tuple):
        for item in value:
            _check_hyper_parameter(name, item)
    elif value is not None and type(value) not in (bool, int, float, str):
        raise ReleaseError(
            f"Hyper-parameter {name!r} holds {value!r} of type {type(value).__name__}. A release "
            "carries None, bool, int, float, str and tuples of them: use one of these."
        )
    elif isinstance(value, float) and not -float("inf") < value < float("inf"):
        raise ReleaseError(f"Hyper-parameter {name!r} is {value!r}; it must be finite.")


def _tuples(value: Any) -> Any:
    """Hyper-parameters are hashable, so what JSON has as an array was a tuple."""
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _read_provenance(content: dict[str, Any] | None, path: Path) -> Provenance | None:
    if content is None:
        return None
    where = f"{path}: key 'provenance'"
    kinds = get_type_hints(Provenance)
    # A field that is newer than the release is unknown there and keeps its default.
    check_names(content.keys() | (kinds.keys() - {"lopt_version"}), kinds, where)
    content = _tuples(content)
    for name, value in content.items():
        kind = tuple if name == "dataset_digests" else kinds[name]
        if not isinstance(value, kind):
            raise ReleaseError(f"{where}: {name!r} is {value!r}, not a {kind}. {GET_AGAIN}")
    for pair in content.get("dataset_digests", ()):
        if not (isinstance(pair, tuple) and len(pair) == 2 and {*map(type, pair)} == {str}):
            raise ReleaseError(f"{where}: 'dataset_digests' holds {pair!r}, not (name, digest).")
    return Provenance(**content)
