"""What parameters of flows may be that are no section of a conf: in the form and from a shell.

A pattern is part of the form's schema, by which Prefect's server refuses what is not like it; the
command line refuses the same by `refusals`.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from pydantic import Field

WORDS = "allowed"
"""Key of a JSON schema: what its pattern lets through, as a person would say it."""


class Like(NamedTuple):
    """What a text has to be like: by a pattern of JSON schemas, and in words."""

    pattern: str
    words: str

    def schema(self) -> dict[str, Any]:
        """Return what a JSON schema says of it."""
        return {"pattern": self.pattern, WORDS: self.words}

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict[str, Any]:
        """Put the pattern into the schema of a parameter that is annotated with this."""
        return {**handler(core_schema), **self.schema()}


_NUMBER = "[1-9][0-9]{0,8}"
_URI = "[A-Za-z][A-Za-z0-9+.-]+:/"  # as `lopt.load` tells one from a folder
_MODEL = "models:/([^/@]+(@[^/@]+|/(?!0)[^/@]+)(/.+)?|m-[^/@]+)/?"
_REPORTED = f"models:/[^/@]+(@[^/@]+|/{_NUMBER})"
_OTHER = r"(?!models:|runs:).*\S.*"  # a folder, or a URI of a store of files
_TIME = (
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d([.,]\d+)?)?"
    r"(Z|[+-]([01]\d|2[0-3])(:?[0-5]\d)?)"
)
_URIS = "models:/NAME@ALIAS, models:/NAME/VERSION or runs:/ID/optimizer"

RELEASE = Like(
    f"^({_MODEL}|runs:/[^/]+/.+|{_OTHER})$",
    f'"latest" for that of the run that was finished last, its folder, or a URI of MLflow: {_URIS}',
)
INITIAL_RELEASE = Like(
    f"^({_MODEL}|runs:/[^/]+/.+|{_OTHER})?$", f"empty, a folder, or a URI of MLflow: {_URIS}"
)
REPORT = Like(
    rf"^(?!{_URI}).*\S.*$", '"latest" for the newest one of the release, or the folder of a report'
)
SOURCE = Like(
    rf"^(([^=:]+=)?({_REPORTED}|runs:/[^/]+(/.*)?)|(?!([^=:]+=)?((models|runs):|$)).*\S.*)$",
    "a folder, runs:/ID of an evaluation in MLflow, models:/NAME/VERSION or models:/NAME@ALIAS, "
    "each with or without WORD= before it",
)
VERSION = Like(
    rf"^({_NUMBER}|(?!\d+$)\w[\w-]*)$",
    "the number of a version, or an alias such as challenger",
)
EARLIER = Like(
    f"^(previous|{_NUMBER})$", '"previous" for what the alias was on before, or a number'
)
NIGHT = Like(
    f"^(schedule|{_TIME})$",
    '"schedule" for the time that this run was scheduled for, or a time with its zone, such as '
    "2026-11-26T01:00Z",
)

Release = Annotated[str, RELEASE]
Report = Annotated[str, REPORT]
Sources = Annotated[list[Annotated[str, SOURCE]], Field(min_length=1)]
Version = Annotated[str, VERSION]
EarlierVersion = Annotated[str, EARLIER]
Night = Annotated[str, NIGHT]


def bare(annotation: Any) -> Any:
    """Return the type that an annotation of a parameter is of, without what is said of it.

    **Example**

    ```python
    bare(Release)  # str
    ```
    """
    if get_origin(annotation) is Annotated:
        return bare(annotation.__origin__)
    return list if get_origin(annotation) is list else annotation


def like(annotation: Any) -> Like | None:
    """Return what a text of a parameter, or each of its texts, has to be like, if there is such.

    **Example**

    ```python
    like(Sources) is SOURCE  # True
    ```
    """
    found = (one for one in getattr(annotation, "__metadata__", ()) if isinstance(one, Like))
    parts = [annotation.__origin__] if get_origin(annotation) is Annotated else []
    parts += get_args(annotation) if get_origin(annotation) is list else []
    return next(found, None) or next(filter(None, map(like, parts)), None)


def refusals(annotations: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    """Return a line for each value that is not like its parameter.

    **Example**

    ```python
    refusals({"to": EarlierVersion}, {"to": "0"})
    # ["to: '0' is not allowed; allowed: ..."]
    ```
    """
    return [
        f"{name}: {text!r} is not allowed; allowed: {wanted.words}"
        for name, annotation in annotations.items()
        if (wanted := like(annotation)) is not None
        for text in _texts(values[name])
        if not re.fullmatch(wanted.pattern, text)
    ]


def _texts(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
