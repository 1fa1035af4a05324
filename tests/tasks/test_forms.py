"""What a person sees in Prefect's form, and what its server refuses."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from prefect import Flow, flow
from prefect.utilities.callables import parameter_schema

from tasks import command_line
from tasks.confs import DEFAULTS, Conf
from tasks.deployment_confs import read_deployments
from tasks.deployments import filled_in, load_flow
from tasks.forms import CHOICES, INTERNAL, form_schema

DEPLOYMENTS = read_deployments().deployments
FLOWS = sorted({one.flow for one in DEPLOYMENTS})


def form_of(flow: str) -> dict[str, Any]:
    return form_schema(load_flow(flow).parameters.model_dump(exclude_unset=True))


def fields(form: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """All that can be filled in, by section and key."""
    found = {}
    for name, one in form["properties"].items():
        model = form["definitions"][one["$ref"].rpartition("/")[2]] if "$ref" in one else None
        for key, field in (model["properties"] if model else {"": one}).items():
            found[f"{name}.{key}"] = field
    return found


def refusals(form: dict[str, Any], values: dict[str, Any]) -> list[str]:
    """What Prefect's server answers to values, by its own check."""
    from prefect.utilities.schema_tools.validation import validate

    return [error.message for error in validate(values, form, raise_on_error=False)]


REFERENCES = re.compile("release|report|version|run_id")


def faults(form: dict[str, Any]) -> Iterator[str]:
    """What a person would have to guess, or could get wrong with nobody saying so."""
    for name, field in fields(form).items():
        plain = name.endswith(".")
        if not field.get("description", "").partition(" (")[0].strip():
            yield f"{name} has no description"
        for one in field.get("anyOf", [field]):
            item = one.get("items", one)
            if not {"type", "$ref", "enum", "const"} & item.keys():
                yield f"{name} has no type"
            elif not bounded(item, is_text_bounded=plain or bool(REFERENCES.search(name))) or (
                plain and one.get("type") == "array" and "minItems" not in one
            ):
                yield f"{name} has no bounds"


def bounded(field: dict[str, Any], *, is_text_bounded: bool) -> bool:
    """Whether something is refused where something has to be."""
    if {"enum", "const"} & field.keys():
        return True
    if field.get("type") in ("integer", "number"):
        low, high = ("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")
        return all(field.keys() & ends for ends in (low, high))
    return field.get("type") != "string" or not is_text_bounded or "pattern" in field


@pytest.mark.parametrize("flow", FLOWS)
def test_no_parameter_is_without_description_type_and_bounds(flow: str) -> None:
    assert list(faults(form_of(flow))) == []


def test_a_parameter_without_them_would_be_found() -> None:
    @flow
    def careless(
        release: str,
        times: int = 1,
        share: float | None = None,
        names: list[str] | None = None,
        more=2,
    ) -> None:
        """Do something.

        Args:
            release: Which one.
            times: How often.
            share: How much.
            names: Of whom.
        """

    form = form_schema(parameter_schema(careless).model_dump(exclude_unset=True))
    assert list(faults(form)) == [
        *(f"{name}. has no bounds" for name in ("release", "times", "share", "names")),
        "more. has no description",
        "more. has no type",
    ]


@pytest.mark.parametrize("flow", FLOWS)
def test_every_field_has_a_name_and_says_what_it_is(flow: str) -> None:
    for name, field in fields(form_of(flow)).items():
        assert field["title"], name
        assert len(field["description"]) > 20, name


@pytest.mark.parametrize("flow", FLOWS)
def test_what_flows_give_each_other_is_not_asked_of_a_person(flow: str) -> None:
    assert INTERNAL.isdisjoint(form_of(flow)["properties"])


def test_ranges_choices_and_defaults_are_said_in_words() -> None:
    found = fields(form_of("full_cycle"))
    seeds, lengths = found["evaluation.seeds"], found["meta_training.lengths"]
    assert seeds["description"].endswith("(An integer from 2 to 10000; default: 8.)")
    assert lengths["description"].endswith(
        "(One of exponential, log_uniform; default: exponential.)"
    )
    assert found["evaluation.dask_address"]["description"].endswith(
        "(Text or null; default: none.)"
    )


def test_so_are_those_of_parameters_that_are_no_section() -> None:
    found = fields(form_of("roll_back"))
    said = 'The version of the model to go back to. ("previous" for what the alias was on before'
    assert found["to."]["description"] == f"{said}, or a number; default: previous.)"
    assert found["dry_run."]["description"].endswith("(True or false; default: false.)")


@pytest.mark.parametrize("flow", FLOWS)
def test_nobody_has_to_read_a_pattern(flow: str) -> None:
    said = {name: field["description"] for name, field in fields(form_of(flow)).items()}
    assert [name for name, text in said.items() if "ext like " in text] == []


def test_choices_that_the_library_knows_are_choices_of_the_form() -> None:
    found = fields(form_of("full_cycle"))
    assert "HierarchicalRNN" in found["meta_training.architecture"]["enum"]
    assert "PersistentES" in found["meta_training.estimator"]["enum"]
    assert "Imitation" not in found["meta_training.estimator"]["enum"]
    assert "ScheduleFreeAdam" in found["evaluation.baselines"]["items"]["enum"]


@pytest.mark.parametrize(("section", "key"), CHOICES, ids=str)
def test_a_default_is_one_of_the_choices(section: str, key: str) -> None:
    value = getattr(getattr(DEFAULTS, section), key)
    chosen = set(value) if isinstance(value, tuple) else {value}
    assert chosen <= set(CHOICES[section, key]())


@pytest.mark.parametrize("one", DEPLOYMENTS, ids=lambda one: f"{one.flow}-{one.name}")
def test_a_form_is_sound_as_it_is_filled_in_and_the_flow_takes_it(one: Any) -> None:
    values = filled_in(one)
    assert refusals(form_of(one.flow), values) == []
    assert load_flow(one.flow).validate_parameters(values)


OUT_OF_RANGE = [
    ("meta_training", "meta_steps", 0),
    ("meta_training", "meta_learning_rate", -1.0),
    ("meta_training", "architecture", "Adam"),
    ("meta_training", "lengths", "short"),
    ("evaluation", "baselines", ["SGD+momentum", "Nobody"]),
    ("evaluation", "max_workers", "two"),
    ("publication", "alias", "Champion!"),
    ("ensemble", "entries", ""),
    ("ensemble", "sed", 1),
]


@pytest.mark.parametrize(("section", "key", "value"), OUT_OF_RANGE)
def test_what_is_out_of_range_is_refused(section: str, key: str, value: object) -> None:
    values: dict[str, Any] = Conf().model_dump(mode="json")
    values[section] |= {key: value}
    assert len(refusals(form_of("full_cycle"), values)) == 1


NOT_LIKE_IT = [
    ("roll_back", "to", "0"),
    ("promote_release", "version", "0"),
    ("nightly_retraining", "at", "tomorrow"),
    ("challenge_champion", "release", "runs:/0123"),
    ("evaluate_release", "release", "models:/learned-optimizer"),
    ("reproduce_figure", "release", ""),
    ("publish_release", "release", "models:/learned-optimizer/0"),
    ("publish_release", "report", "runs:/0123/report"),
    ("compare_reports", "reports", ["folder", "models:/learned-optimizer"]),
]


@pytest.mark.parametrize(("name", "key", "value"), NOT_LIKE_IT)
def test_what_the_form_refuses_a_command_refuses_in_a_line_before_any_work(
    name: str,
    key: str,
    value: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert len(refusals(form_of(name), {key: value})) == 1
    begun: list[object] = []
    monkeypatch.setattr(Flow, "__call__", lambda *_, **values: begun.append(values))
    given = value if isinstance(value, list) else [f"--{key}", value]
    shipped = ["--set", "figure.number=3"] if name == "reproduce_figure" else []
    with pytest.raises(SystemExit) as ending:
        command_line.main(load_flow(name), [*given, *shipped])
    (line,) = capsys.readouterr().err.splitlines()
    assert ending.value.code == 2
    assert line.startswith(f"{key}: ")
    assert " is not allowed; allowed: " in line
    assert begun == []


def test_every_text_that_a_flow_takes_is_among_them() -> None:
    texts = {
        (name, key.rstrip("."))
        for name in FLOWS
        for key, field in fields(form_of(name)).items()
        if key.endswith(".") and field["type"] != "boolean"
    }
    assert {(name, key) for name, key, _ in NOT_LIKE_IT} == texts


def test_no_report_at_all_is_refused() -> None:
    assert len(refusals(form_of("compare_reports"), {"reports": []})) == 1
