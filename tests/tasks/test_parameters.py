"""Texts that flows are given: what is a reference, a version or a night, and what is not."""

import re
from typing import Annotated, Any

import pytest

from tasks import parameters
from tasks.parameters import EARLIER, INITIAL_RELEASE, NIGHT, RELEASE, REPORT, SOURCE, VERSION, Like

TAKEN = [
    (RELEASE, "latest"),
    (RELEASE, "a folder/with spaces"),
    (RELEASE, "C:/folder"),
    (RELEASE, "models:/learned-optimizer@champion"),
    (RELEASE, "models:/learned-optimizer/3"),
    (RELEASE, "models:/learned-optimizer/latest"),
    (RELEASE, "models:/m-0123"),
    (RELEASE, "runs:/0123/optimizer"),
    (RELEASE, "s3://bucket/folder"),
    (RELEASE, "mlflow-artifacts:/1/models/m-0123/artifacts"),
    (INITIAL_RELEASE, ""),
    (INITIAL_RELEASE, "models:/learned-optimizer/3"),
    (REPORT, "latest"),
    (REPORT, "C:/folder"),
    (SOURCE, "folder"),
    (SOURCE, "tuned=folder"),
    (SOURCE, "runs:/0123"),
    (SOURCE, "tuned=runs:/0123/report"),
    (SOURCE, "tuned=models:/learned-optimizer/3"),
    (SOURCE, "models:/learned-optimizer@champion"),
    (SOURCE, "tuned=runs:/0123/"),
    (RELEASE, "models:/learned-optimizer/3/"),
    (VERSION, "1"),
    (VERSION, "challenger"),
    (VERSION, "7th"),
    (EARLIER, "previous"),
    (EARLIER, "12"),
    (NIGHT, "schedule"),
    (NIGHT, "2026-11-26T01:00Z"),
    (NIGHT, "2026-11-26T01:00+01"),
    (NIGHT, "2026-11-26T01:00:30.123456+00:00"),
]
REFUSED = [
    (RELEASE, ""),
    (RELEASE, " "),
    (RELEASE, "models:/learned-optimizer"),
    (RELEASE, "models:/learned-optimizer@"),
    (RELEASE, "models:/learned-optimizer/0"),
    (RELEASE, "models:learned-optimizer/3"),
    (RELEASE, "runs:/0123"),
    (RELEASE, "runs:/"),
    (INITIAL_RELEASE, "models:/learned-optimizer"),
    (REPORT, ""),
    (REPORT, "runs:/0123/report"),
    (SOURCE, ""),
    (SOURCE, "tuned=models:/learned-optimizer"),
    (SOURCE, "runs:/"),
    (SOURCE, "models:/m-0123"),
    (SOURCE, "models:/learned-optimizer/latest"),
    (SOURCE, "tuned="),
    (VERSION, "0"),
    (VERSION, "1\n"),
    (VERSION, "007"),
    (VERSION, "-1"),
    (VERSION, "1.5"),
    (VERSION, "models:/learned-optimizer/3"),
    (EARLIER, "0"),
    (EARLIER, "champion"),
    (NIGHT, "tomorrow"),
    (NIGHT, "2026-11-26"),
    (NIGHT, "2026-11-26T01:00"),
    (NIGHT, "2026-13-26T01:00Z"),
    (NIGHT, "2026-11-26T01:00+99:99"),
]


@pytest.mark.parametrize(("wanted", "text"), TAKEN)
def test_what_a_flow_understands_is_taken(wanted: Like, text: str) -> None:
    assert parameters.refusals({"x": Annotated[str, wanted]}, {"x": text}) == []


@pytest.mark.parametrize(("wanted", "text"), REFUSED)
def test_what_no_flow_understands_is_refused_in_a_line(wanted: Like, text: str) -> None:
    (line,) = parameters.refusals({"x": Annotated[str, wanted]}, {"x": text})
    assert line == f"x: {text!r} is not allowed; allowed: {wanted.words}"
    assert "\n" not in line


def test_of_a_list_each_text_is_looked_at() -> None:
    given = ["folder", "runs:/", "models:/learned-optimizer"]
    lines = parameters.refusals({"reports": parameters.Sources}, {"reports": given})
    assert [re.match("reports: '(.*?)'", line)[1] for line in lines] == given[1:]  # type: ignore[index]


@pytest.mark.parametrize("annotation", [str, bool, list[str], Annotated[int, "words"]])
def test_what_has_no_pattern_takes_everything(annotation: Any) -> None:
    assert parameters.like(annotation) is None
    assert parameters.refusals({"x": annotation}, {"x": ""}) == []
