"""Problems as JSON: what is built, and what is refused and how."""

import json

import jax
import pytest

from lopt.problems import Bowl, Quadratic, Rescale, SpecError, Sum, build
from lopt.problems.constructors import constructors
from lopt.problems.programs import program_digest
from tests.lopt.trees import assert_equal

QUADRATIC = {"problem": "Quadratic", "dimensions": 2}
RESCALED = {"problem": "Rescale", "scale": 10, "of": QUADRATIC}
LOGARITHM = {"problem": "LogObjective", "of": QUADRATIC}


def test_a_spec_without_inner_problems_is_its_constructor_with_the_same_key(getkey):
    key = getkey()
    assert_equal(build(QUADRATIC, key), Quadratic(dimensions=2, key=key))


def test_a_spec_goes_through_json_unchanged(getkey):
    key = getkey()
    assert_equal(build(json.loads(json.dumps(RESCALED)), key), build(RESCALED, key))


def test_inner_problems_are_where_the_spec_says(getkey):
    spec = {"problem": "Sum", "of": [RESCALED, {"problem": "Bowl", "condition_number": 5}]}
    problem = build(spec, getkey())
    assert isinstance(problem, Sum)
    rescaled, bowl = problem.parts
    assert isinstance(rescaled, Rescale)
    assert isinstance(rescaled.inner, Quadratic)
    assert float(rescaled.scale) == 10.0
    assert_equal(bowl, Bowl(condition_number=5.0))


def test_equal_parts_of_a_sum_get_different_constants(getkey):
    first, second = build({"problem": "Sum", "of": [QUADRATIC, QUADRATIC]}, getkey()).parts
    assert (first.matrix != second.matrix).all()


def test_a_spec_can_be_checked_without_drawing_anything(getkey):
    huge = {"problem": "Quadratic", "dimensions": 10**5}
    shape = jax.eval_shape(lambda key: build(huge, key), getkey())
    assert shape.matrix.shape == (10**5, 10**5)


@pytest.mark.parametrize("applied", [True, False])
def test_true_and_false_are_what_they_are_in_json(applied, getkey):
    spec = json.loads(json.dumps({"problem": "LogObjective", "applied": applied, "of": QUADRATIC}))
    assert bool(build(spec, getkey()).applied) is applied


def test_every_problem_there_is_can_be_named():
    assert {"Bowl", "Quadratic", "Rescale", "Sum", "TwoDimensional"} <= set(constructors())
    assert constructors()["Rescale"].values == {"scale": float}
    assert constructors()["Rescale"].inner == "inner"
    assert constructors()["Sum"].parts == "parts"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("Bowl", "spec must be a mapping with the key 'problem', .* but is 'Bowl'"),
        ({}, "spec must be a mapping with the key 'problem'"),
        (
            {"problem": "Rosenbrok"},
            r"spec\.problem: unknown problem 'Rosenbrok'; known: BadInitialization, Bat",
        ),
        ({"problem": ["Bowl"]}, r"spec\.problem: unknown problem \['Bowl'\]"),
        ({"problem": "Bowl"}, r"spec\.condition_number is missing: Bowl needs it"),
        (
            {**QUADRATIC, "dimension": 3},
            r"spec\.dimension: unknown argument of Quadratic, .* 3; allowed: dim",
        ),
        ({**QUADRATIC, "of": QUADRATIC}, r"spec\.of: unknown argument of Quadratic"),
        ({**QUADRATIC, "key": 1}, r"spec\.key: unknown argument of Quadratic"),
        ({**QUADRATIC, "dimensions": 2.0}, r"spec\.dimensions must be a whole number, but is 2\.0"),
        ({**QUADRATIC, "dimensions": True}, r"spec\.dimensions must be a whole number, but is Tru"),
        ({**QUADRATIC, "dimensions": 0}, r"spec \(Quadratic\): dimensions .* least 1, but is 0"),
        ({**RESCALED, "scale": "big"}, r"spec\.scale must be a finite number, but is 'big'"),
        ({**RESCALED, "scale": float("nan")}, r"spec\.scale must be a finite number, but is nan"),
        ({**RESCALED, "scale": 0}, r"spec \(Rescale\): scale must be .* above 0, but is 0"),
        ({**RESCALED, "scale": True}, r"spec\.scale must be a finite number, but is True"),
        ({**LOGARITHM, "applied": 1}, r"spec\.applied must be true or false, but is 1"),
        ({**LOGARITHM, "applied": "yes"}, r"spec\.applied must be true or false, but is 'yes'"),
        ({"problem": "Rescale", "scale": 1}, r"spec\.of is missing: Rescale needs it"),
        ({**RESCALED, "of": [QUADRATIC]}, r"spec\.of must be a mapping"),
        ({"problem": "Sum", "of": QUADRATIC}, r"spec\.of must be a list of problems, but is \{"),
        ({"problem": "Sum", "of": []}, r"spec \(Sum\): .* at least one part"),
        (
            {"problem": "Sum", "of": [QUADRATIC, {**RESCALED, "of": {"problem": "Bowl"}}]},
            r"spec\.of\[1\]\.of\.condition_number is missing",
        ),
        (
            {"problem": "TwoDimensional", "function": 3},
            r"spec\.function must be a text, but is 3",
        ),
        (
            {"problem": "TwoDimensional", "function": "Easom"},
            r"spec \(TwoDimensional\): function must be one of Ackley, .* but is 'Easom'",
        ),
        (
            {"problem": "FullyConnected", "features": 3, "hidden": 8},
            r"spec\.hidden must be a list of whole numbers, but is 8",
        ),
        (
            {"problem": "FullyConnected", "features": 3, "hidden": [8, "9"]},
            r"spec\.hidden\[1\] must be a whole number, but is '9'",
        ),
    ],
)
def test_what_is_no_spec_is_refused_naming_place_value_and_what_is_allowed(spec, message, getkey):
    with pytest.raises(SpecError, match=message):
        build(spec, getkey())


def test_problems_that_differ_in_numbers_share_a_program_and_others_do_not(getkey):
    def program(spec):
        return program_digest(jax.eval_shape(lambda key: build(spec, key), getkey()))

    noisy = {"problem": "GradientNoise", "std": 0.0, "of": QUADRATIC}
    assert program(noisy) == program({**noisy, "std": 0.5})
    functions = [{"problem": "TwoDimensional", "function": name} for name in ("Ackley", "Booth")]
    assert len(set(map(program, functions))) == 1
    bigger = {"problem": "Quadratic", "dimensions": 3}
    network = {"problem": "FullyConnected", "features": 3, "hidden": [2], "activation": "relu"}
    different = [noisy, QUADRATIC, bigger, network, {**network, "activation": "tanh"}]
    assert len(set(map(program, different))) == len(different)


def test_the_program_of_a_shape_is_that_of_the_problem(getkey):
    shape = jax.eval_shape(lambda key: build(RESCALED, key), getkey())
    assert program_digest(shape) == program_digest(build(RESCALED, getkey()))


def test_program_digests_do_not_change_with_the_version_of_a_package():
    # In the manifests of ensembles: if this changes, they have to be drawn again.
    assert program_digest(Bowl(condition_number=5.0)) == "769b05230c816c13"
