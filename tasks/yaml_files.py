"""YAML as confs need it."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml


class YamlError(ValueError):
    """A text that is not YAML, or a file that cannot be read; says which and why."""


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds. Raises `YamlError`."""
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise YamlError(f"{path}: cannot be read ({error.strerror})") from error
    except (YamlError, UnicodeDecodeError) as error:
        raise YamlError(f"{path}: {error}") from error


def parse_yaml(text: str) -> Any:
    """Return what a YAML text holds. Raises `YamlError`."""
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    except yaml.YAMLError as error:
        raise YamlError(f"is not YAML ({' '.join(str(error).split())})") from error
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """Knows 3e-3 as a number, as YAML 1.2 does, and refuses a key that is given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        # Before a merge (<<) is put in: there a key twice is meant.
        keys = [str(key.value) for key, _ in node.value if key.tag != _MERGE]
        if len(set(keys)) < len(keys):
            raise yaml.constructor.ConstructorError(
                None, None, "a key is given twice", node.start_mark
            )
        return super().construct_mapping(node, deep=deep)


_MERGE = "tag:yaml.org,2002:merge"
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)
