"""YAML as confs need it."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, ClassVar

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


_MERGE = "tag:yaml.org,2002:merge"
_NUMBERS = {
    "tag:yaml.org,2002:int": r"[-+]?(0 | [1-9][0-9_]* | 0x[0-9a-fA-F_]+ | 0b[01_]+)$",
    "tag:yaml.org,2002:float": r"""[-+]?(
        [0-9][0-9_]* \.[0-9_]* ([eE][-+]?[0-9]+)?
        | \.[0-9][0-9_]* ([eE][-+]?[0-9]+)?
        | [0-9]+ [eE][-+]?[0-9]+
        | \.(inf|Inf|INF)
    )$ | \.(nan|NaN|NAN)$""",
}


class _Loader(yaml.SafeLoader):
    """Reads numbers as people do, and refuses a key that is given twice.

    3e-3 is a number, as in YAML 1.2. 010 and 1:30 are text, and so refused where a number has to
    be: YAML 1.1 takes them for 8 and 90.
    """

    # The class's own, without the numbers of YAML 1.1.
    yaml_implicit_resolvers: ClassVar[dict[str, list[Any]]] = {
        first: [(tag, pattern) for tag, pattern in known if tag not in _NUMBERS]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        # Before a merge (<<) is put in: there a key twice is meant.
        keys = [str(key.value) for key, _ in node.value if key.tag != _MERGE]
        if len(set(keys)) < len(keys):
            raise yaml.constructor.ConstructorError(
                None, None, "a key is given twice", node.start_mark
            )
        return super().construct_mapping(node, deep=deep)


for _tag, _pattern in _NUMBERS.items():
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern, re.VERBOSE), list("-+.0123456789"))
