"""The optimizers that are meta-trained for a figure: what each of them has of its own.

Their runs lie in a folder of their own, so that none is taken for the release that was
finished last.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError

from tasks import run_choice, settings
from tasks.conf_errors import ConfError, explain
from tasks.confs import FigureConf, MetaTrainingConf


def variants(figure: FigureConf, meta_training: MetaTrainingConf) -> dict[str, MetaTrainingConf]:
    """Return the conf of each variant that the figure has, by name; finished runs are reused.

    Options of the architecture are added to those of `meta_training`. Raises `ConfError` for
    changes that make no conf, and for names in `only` that are none.
    """
    lines, confs = [], {}
    for name, changes in _chosen(figure).items():
        try:
            confs[name] = _changed(meta_training, changes)
        except ValidationError as error:
            mistakes = explain(error, MetaTrainingConf).lines
            lines += [f"{key_of(name)}.{line}" for line in mistakes]
    if lines:
        raise ConfError(lines)
    return confs


def key_of(variant: str) -> str:
    """Return where in a conf a variant stands."""
    return f"figure.variants.{variant}"


@contextmanager
def opened(conf: MetaTrainingConf, ensemble_digest: str) -> Iterator[str]:
    """Give the folder of the run of a variant, finished or not, kept from other processes."""
    root = settings.figure_runs_root()
    with run_choice.opened(conf, ensemble_digest, root=root) as run:
        yield str(run.directory)


def _chosen(figure: FigureConf) -> Mapping[str, Mapping[str, Any]]:
    there = ", ".join(figure.variants) or "none, for figure.variants is empty"
    unknown = [name for name in figure.only if name not in figure.variants]
    if unknown:
        raise ConfError(
            [f"figure.only: {name!r} is not allowed; allowed: of {there}" for name in unknown]
        )
    # In the order of the conf, whose first is what the others are compared with.
    return {
        name: changes
        for name, changes in figure.variants.items()
        if not figure.only or name in figure.only
    }


def _changed(conf: MetaTrainingConf, changes: Mapping[str, Any]) -> MetaTrainingConf:
    values = {**conf.model_dump(), "when_finished": "reuse", **changes}
    options = changes.get("architecture_options", {})
    if isinstance(options, Mapping):
        values["architecture_options"] = {**conf.architecture_options, **options}
    return MetaTrainingConf.model_validate(values)
