"""Tags have their names in one place, which the reference is made from."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tasks import tags
from tests.known_tags import unknown

ROOT = Path(__file__).parents[2]
SETTING = {"set_tags": 1, "set_tag": 1, "set_model_version_tag": 2}
"""What sets tags, and which argument has the name, or the names with what they say."""


def written_out(tree: ast.AST) -> Iterator[str]:
    """Names of tags that stand where they are set, and not in the table."""
    for call in ast.walk(tree):
        name = getattr(getattr(call, "func", None), "attr", None)
        if isinstance(call, ast.Call) and name in SETTING:
            given = call.args[SETTING[name]]
            keys = given.keys if isinstance(given, ast.Dict) else [given]
            yield from (key.value for key in keys if isinstance(key, ast.Constant))


def test_no_tag_is_set_by_a_name_that_is_not_in_the_table() -> None:
    files = [*ROOT.glob("tasks/**/*.py"), *ROOT.glob("flows/*.py")]
    found = {file.name: list(written_out(ast.parse(file.read_text()))) for file in files}
    assert {name: names for name, names in found.items() if names} == {}
    careless = "a.set_tags(run, {'x': 1, **more}); a.set_tag(run, 'y', 1)"
    assert list(written_out(ast.parse(careless))) == ["x", "y"]


def test_a_name_with_a_part_that_varies_is_known_by_the_rest() -> None:
    names = {"release.0", "release.", "releases", "gate", "gateway", "lopt.replaces.champion"}
    assert unknown(names, tags.OF_RUNS) == names - {"release.0", "gate"}
    assert unknown(names, tags.OF_VERSIONS) == names - {"lopt.replaces.champion", "gate"}
