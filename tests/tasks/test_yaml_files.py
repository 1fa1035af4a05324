import math
from typing import Any

import pytest

from tasks.conf_errors import ConfError
from tasks.conf_files import read_conf
from tasks.yaml_files import parse_yaml


@pytest.mark.parametrize(
    "text", ["010", "-010", "00", "0_7", "1:30", "190:20:30", "1:30.5", "-1:30"]
)
def test_a_number_that_not_everybody_reads_alike_is_text(text: str) -> None:
    # YAML 1.1 reads octal and sexagesimal numbers, YAML 1.2 decimal ones or text.
    assert parse_yaml(text) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-0", 0),
        ("10", 10),
        ("+5", 5),
        ("-12", -12),
        ("1_000", 1000),
        ("0x10", 16),
        ("1e-3", 1e-3),
        ("1E3", 1e3),
        ("3.0e-4", 3e-4),
        ("0.5", 0.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("-.inf", -math.inf),
        ("[1e-3, 3]", [1e-3, 3]),
        ("{a: 1}", {"a": 1}),
        ("true", True),
        ("no", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("'1'", "1"),
    ],
)
def test_what_everybody_reads_alike_is_read_so(text: str, value: Any) -> None:
    read = parse_yaml(text)
    assert read == value
    assert type(read) is type(value)


def test_a_seed_with_a_leading_zero_is_refused_as_it_was_typed() -> None:
    with pytest.raises(ConfError) as error:
        read_conf(None, ["meta_training.seed=010"], ["meta_training"])
    assert error.value.lines == (
        "meta_training.seed: '010' is not allowed; allowed: an integer from 0 to 2147483647",
    )
