"""What a person sees in Prefect's form, and what its server refuses."""

from typing import Any

import pytest

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
