from pathlib import Path

import pytest

from tasks.conf_checks import check
from tasks.conf_errors import ConfError
from tasks.conf_files import read_conf
from tasks.confs import Conf

SECTIONS = list(Conf.model_fields)


def refused(*overrides: str) -> tuple[str, ...]:
    with pytest.raises(ConfError) as error:
        check(read_conf(None, overrides, SECTIONS), SECTIONS)
    return error.value.lines


@pytest.mark.parametrize("content", ["3", "text", "{a: 1}", "null", "true"])
def test_entries_that_are_no_list_are_refused_in_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "entries.yaml"
    path.write_text(f"entries: {content}")
    (line,) = refused(f"ensemble.entries={path}")
    assert line.startswith(f"ensemble.entries: '{path}' is not allowed; {path}: entries has to be")
    assert "a list, but is " in line
