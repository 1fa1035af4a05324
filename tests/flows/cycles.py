"""What a cycle is given of a conf."""

from typing import Any

from tasks.confs import Conf

SECTIONS = ("datasets", "ensemble", "meta_training", "evaluation", "publication")


def parts_of(conf: Conf) -> dict[str, Any]:
    """Return the sections that `full_cycle` takes, by name."""
    return {name: getattr(conf, name) for name in SECTIONS}
