from pathlib import Path

import pytest

from tasks.conf_checks import check
from tasks.conf_errors import ConfError
from tasks.conf_files import read_conf
from tasks.confs import DEFAULTS, Conf, MetaTrainingConf

SECTIONS = ("ensemble", "meta_training")


def refused(tmp_path: Path, text: str, *overrides: str) -> tuple[str, ...]:
    path = tmp_path / "conf.yaml"
    path.write_text(text)
    with pytest.raises(ConfError) as error:
        read_conf(path, overrides, SECTIONS)
    return error.value.lines


def test_every_field_is_described() -> None:
    for section in Conf().model_dump():
        model = type(getattr(Conf(), section))
        assert all(field.description for field in model.model_fields.values())


def test_a_value_out_of_range_is_refused_with_key_value_and_what_is_allowed(
    tmp_path: Path,
) -> None:
    lines = refused(tmp_path, "meta_training: {meta_steps: 0}")
    assert lines == (
        "meta_training.meta_steps: 0 is not allowed; allowed: an integer from 1 to 10000000",
    )


def test_an_unknown_key_is_refused_with_its_value_and_the_nearest_one(tmp_path: Path) -> None:
    (line,) = refused(tmp_path, "meta_training: {meta_stepz: 3}")
    assert line.startswith(
        "meta_training.meta_stepz: 3 is not allowed, for there is no such key; did you mean "
        "meta_steps? allowed: architecture, preset, "
    )


def test_an_unknown_key_of_an_override_is_refused_with_its_value(tmp_path: Path) -> None:
    (line,) = refused(tmp_path, "", "unroll_step=[3]")
    assert line.startswith("unroll_step: [3] is not allowed, for there is no such key; did you ")


def test_an_unknown_section_is_refused_with_those_there_are(tmp_path: Path) -> None:
    (line,) = refused(tmp_path, "training: {}")
    assert "datasets, ensemble, meta_training, evaluation, publication" in line


@pytest.mark.parametrize("value", ["'200'", "true", "2.5", "[1]", "{a: 1}", "null"])
def test_a_wrong_type_is_refused(tmp_path: Path, value: str) -> None:
    (line,) = refused(tmp_path, f"meta_training: {{meta_steps: {value}}}")
    assert line.startswith("meta_training.meta_steps: ")
    assert line.endswith("allowed: an integer from 1 to 10000000")


def test_all_mistakes_are_named_in_one_go(tmp_path: Path) -> None:
    lines = refused(
        tmp_path,
        "meta_training: {problems: 0, clip_norm: -1}\ndatasets: {names: [digits, birds]}",
        "unroll_step=3",
        "ensemble.seed=x",
    )
    assert [line.partition(":")[0] for line in lines] == [
        "unroll_step",
        "datasets.names.1",
        "ensemble.seed",
        "meta_training.clip_norm",
        "meta_training.problems",
    ]


def test_a_file_that_is_not_yaml_or_not_there_is_one_line(tmp_path: Path) -> None:
    assert len(refused(tmp_path, "a: [")) == 1
    with pytest.raises(ConfError, match=r"missing\.yaml: cannot be read"):
        read_conf(tmp_path / "missing.yaml", [], SECTIONS)


def test_a_key_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    (line,) = refused(tmp_path, "ensemble: {seed: 1, seed: 2}")
    assert "given twice" in line


def test_numbers_may_be_written_with_an_exponent_alone(tmp_path: Path) -> None:
    path = tmp_path / "conf.yaml"
    path.write_text("meta_training: {meta_learning_rate: 1e-3}")
    assert read_conf(path, [], SECTIONS).meta_training.meta_learning_rate == 1e-3


def test_an_override_wins_over_the_file_and_leaves_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "conf.yaml"
    path.write_text("meta_training: {meta_steps: 7, problems: 3}")
    conf = read_conf(path, ["meta_steps=9", "ensemble.seed=4"], SECTIONS)
    assert conf.meta_training == MetaTrainingConf(meta_steps=9, problems=3)
    assert conf.ensemble.seed == 4


def test_a_key_of_two_sections_needs_the_section() -> None:
    with pytest.raises(ConfError, match=r"ensemble\.seed or meta_training\.seed"):
        read_conf(None, ["seed=3"], SECTIONS)


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("meta_training.architecture=Oracle", "meta_training.architecture"),
        ("ensemble.entries=conf/none.yaml", "ensemble.entries"),
        ("evaluation.record_every=7", "evaluation.record_every"),
        ("evaluation.held_out_seed=0", "evaluation.held_out_seed"),
    ],
)
def test_what_a_conf_names_has_to_exist(override: str, key: str) -> None:
    conf = read_conf(Path("conf/tiny.yaml"), [override], list(Conf.model_fields))
    with pytest.raises(ConfError) as error:
        check(conf, list(Conf.model_fields))
    assert all(line.startswith(key) for line in error.value.lines)


def test_equal_confs_have_one_digest_and_others_another() -> None:
    assert MetaTrainingConf(seed=1).digest() == MetaTrainingConf(seed=1).digest()
    assert MetaTrainingConf(seed=1).digest() != MetaTrainingConf(seed=2).digest()


def test_the_quick_conf_is_what_a_form_shows_as_defaults() -> None:
    assert read_conf(Path("conf/quick.yaml"), [], SECTIONS) == DEFAULTS


@pytest.mark.parametrize("path", sorted(Path("conf").glob("*.yaml")), ids=str)
def test_every_conf_that_is_shipped_is_sound(path: Path) -> None:
    # Figures have confs of their own, and refuse targets that no figure draws.
    sections = [name for name in Conf.model_fields if name != "figure"]
    check(read_conf(path, [], sections), sections)


def test_a_warmup_as_long_as_the_meta_training_is_refused() -> None:
    conf = read_conf(None, ["meta_steps=10"], SECTIONS)
    with pytest.raises(ConfError, match=r"warmup_meta_steps: 20 .*fewer than meta_steps = 10"):
        check(conf, ["meta_training"])
