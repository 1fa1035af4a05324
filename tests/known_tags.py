"""Whether the table of tags has a name."""

import re
from collections.abc import Mapping

from tasks.tags import Tag


def unknown(names: set[str], table: Mapping[str, Tag]) -> set[str]:
    """Return those of the names that the table lacks."""
    parts = [map(re.escape, re.split("<[a-z]+>", name)) for name in table]
    known = re.compile("|".join(".+".join(one) for one in parts))
    return {name for name in names if not known.fullmatch(name)}
