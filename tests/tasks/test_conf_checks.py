from pathlib import Path

import pytest

from tasks.conf_checks import check
from tasks.conf_errors import ConfError
from tasks.conf_files import read_conf
from tasks.confs import Conf

SECTIONS = list(Conf.model_fields)
TINY = Path("conf/tiny.yaml")
"""Its entries are drawn in no time, which every check of an ensemble does."""


def refused(*overrides: str) -> tuple[str, ...]:
    with pytest.raises(ConfError) as error:
        check(read_conf(TINY, overrides, SECTIONS), SECTIONS)
    return error.value.lines


@pytest.mark.parametrize("content", ["3", "text", "{a: 1}", "null", "true"])
def test_entries_that_are_no_list_are_refused_in_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "entries.yaml"
    path.write_text(f"entries: {content}")
    (line,) = refused(f"ensemble.entries={path}")
    assert line.startswith(f"ensemble.entries: '{path}' is not allowed; {path}: entries has to be")
    assert "a list, but is " in line


def test_lengths_of_which_the_shortest_is_the_longer_are_refused() -> None:
    (line,) = refused("shortest_unrolls=100", "longest_unrolls=60")
    assert line == (
        "meta_training.shortest_unrolls: 100 is not allowed; allowed: at most longest_unrolls = 60"
    )


def test_more_inner_steps_than_can_be_counted_are_refused() -> None:
    (line,) = refused("unroll_steps=10000", "longest_unrolls=300000")
    assert line == (
        "meta_training.longest_unrolls: 300000 is not allowed; "
        "allowed: at most 214748 with unroll_steps = 10000"
    )


def test_lengths_may_all_be_equal() -> None:
    conf = read_conf(None, ["shortest_unrolls=60", "longest_unrolls=60"], SECTIONS)
    check(conf, SECTIONS)


def test_a_learning_rate_that_is_there_twice_is_refused() -> None:
    (line,) = refused("learning_rates=[1e-3, 3e-3, 0.001]")
    assert line == ("evaluation.learning_rates: 0.001 is there more than once; allowed: each once")


@pytest.mark.parametrize("alias", ["latest", "v1", "v12"])
def test_an_alias_that_mlflow_would_refuse_after_the_work_is_refused_before(alias: str) -> None:
    (line,) = refused(f"publication.alias={alias}")
    assert line.startswith(f"publication.alias: '{alias}' is not allowed")


def test_a_preset_that_the_architecture_has_not_is_refused_naming_those_it_has() -> None:
    (line,) = refused("preset=best")
    assert line == (
        "meta_training.preset: 'best' is not allowed; "
        "allowed: one of release, paper, which HierarchicalRNN has"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sets: [quadratics]", "sets: 'quadratics' is none; allowed: bowl, dependency_chain"),
        ("sets: bowl", "sets has to be a list, but is 'bowl'"),
        ("set: [bowl]", "set: unknown key with the value ['bowl']; allowed: sets or entries, or"),
        ("[]", "has to hold sets or entries, or both, but is []"),
        ("{}", "has to hold sets or entries, or both, but is {}"),
        ("sets: [bowl, norm, bowl]", "sets: 'bowl' is there more than once; allowed: each once"),
    ],
)
def test_sets_that_there_are_not_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "sets").symlink_to(Path("conf/ensembles/sets").absolute())
    path = tmp_path / "entries.yaml"
    path.write_text(content)
    (line,) = refused(f"ensemble.entries={path}")
    assert message in line


@pytest.mark.parametrize("key", ["evaluation.held_out_seed", "meta_training.validation_seed"])
def test_entries_of_which_only_a_later_draw_is_refused_are_refused(
    tmp_path: Path, key: str
) -> None:
    path = tmp_path / "entries.yaml"
    spec = "{problem: Bowl, condition_number: {choice: [1, 2, 3, 1, -5]}}"
    path.write_text(f"entries: [{{family: bowls, count: 4, spec: {spec}}}]")
    overrides = [f"ensemble.entries={path}", "ensemble.seed=5"]
    alone = ("ensemble",)
    check(read_conf(None, overrides, alone), alone)
    sections = ("ensemble", key.partition(".")[0])
    with pytest.raises(ConfError) as error:
        check(read_conf(None, [*overrides, f"{key}=1"], sections), sections)
    (line,) = error.value.lines
    assert line.startswith(f"ensemble.entries: '{path}' is not allowed; with {key} = 1: ")
    assert "condition_number" in line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("entries: []", "category is missing; given: entries"),
        ("{category: convex, entries: [], count: 2}", "count: unknown key with the value 2; allow"),
        ("[]", "has to hold category and entries, but is []"),
    ],
)
def test_a_set_of_another_form_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "mine.yaml").write_text(content)
    path = tmp_path / "entries.yaml"
    path.write_text("sets: [mine]")
    (line,) = refused(f"ensemble.entries={path}")
    assert f"{tmp_path / 'sets' / 'mine.yaml'}: {message}" in line


@pytest.mark.parametrize("key", ["estimator", "objective"])
def test_a_class_that_is_not_there_is_refused_naming_those_that_are(key: str) -> None:
    (line,) = refused(f"{key}=Best")
    assert line.startswith(f"meta_training.{key}: 'Best' is not allowed; allowed: one of ")


@pytest.mark.parametrize("taken", ["ensemble.seed", "evaluation.held_out_seed"])
def test_validation_on_what_others_draw_is_refused(taken: str) -> None:
    lines = refused("validation_seed=5", f"{taken}=5")
    assert lines[0].startswith("meta_training.validation_seed: 5 is not allowed; ")
    assert taken in lines[0]


def test_more_devices_than_there_are_are_refused() -> None:
    (line,) = refused("devices=1000", "problems=1000")
    assert line.startswith("meta_training.devices: 1000 is not allowed; allowed: at most ")


def test_a_teacher_that_there_is_not_is_refused_naming_those_there_are() -> None:
    (line,) = refused("teacher=adamw")
    assert line == (
        "meta_training.teacher: 'adamw' is not allowed; "
        "allowed: one of adam, momentum, rmsprop, sgd"
    )


def test_imitation_is_refused_as_an_estimator_and_the_key_for_it_is_named() -> None:
    (line,) = refused("estimator=Imitation", "imitation_weight=0.1")
    assert line.startswith("meta_training.estimator: 'Imitation' is not allowed; allowed: ")
    assert line.endswith("with an imitation_weight above 0")


@pytest.mark.parametrize(
    ("override", "allowed"),
    [
        ("imitation_weight=-0.1", "a number from 0 to 1000000.0"),
        ("teacher_learning_rate=0.0", "a number above 0 to 1000.0"),
    ],
)
def test_a_weight_or_a_rate_below_its_range_is_refused(override: str, allowed: str) -> None:
    (line,) = refused(override)
    assert line.endswith(f"is not allowed; allowed: {allowed}")


def test_targets_that_there_are_not_are_refused_naming_those_that_are() -> None:
    (line,) = refused("targets=[held_out, digits/nothing]")
    assert line.startswith("evaluation.targets: 'digits/nothing' is not allowed; allowed: held_out")
    assert "papers/rosenbrock" in line
    assert "<data set>/<network> with a data set of digits, " in line
    (line,) = refused("targets=[digits/resnet50]")
    assert "other images, for it needs images of at least" in line
    (line,) = refused("targets=[encoded_digits@16/resnet50, encoded_digits@32/resnet50]")
    assert line.startswith("evaluation.targets: 'encoded_digits@16/resnet50' is not allowed")
    line, *_ = refused("targets=[initial_rates/digits/mlp]")
    assert line.startswith("evaluation.targets: 'initial_rates/digits/mlp' alone is not allowed, ")
    assert line.endswith("; allowed: beside another, such as digits/mlp")
    line, *_ = refused("targets=[digits/mlp, initial_rates/digits/resnet50]")
    assert "other images, for it needs images of at least" in line
    (line,) = refused("targets=[held_out, held_out]")
    assert line == "evaluation.targets: 'held_out' is there more than once; allowed: each once"


def test_the_address_of_a_cluster_that_is_not_asked_for_is_refused() -> None:
    (line,) = refused("dask_address=tcp://10.0.0.1:8786")
    assert line == (
        "evaluation.dask_address: 'tcp://10.0.0.1:8786' is not allowed; "
        "allowed: only with task_runner = dask"
    )


def test_baselines_that_there_are_not_are_refused_naming_those_that_are() -> None:
    first, second = refused("baselines=[Adam, Best, Worst]")
    assert first.startswith(
        "evaluation.baselines: 'Best' is not allowed; allowed: of SGD+momentum, RMSProp, Adam, "
    )
    assert "'Worst'" in second


def test_a_baseline_that_is_there_twice_is_refused() -> None:
    (line,) = refused("baselines=[Adam, RMSProp, Adam]")
    assert line == "evaluation.baselines: 'Adam' is there more than once; allowed: each once"


def test_imagenet_is_refused_where_its_files_are_missing(tmp_path: Path) -> None:
    lines = refused("datasets.names=[digits, imagenet2012]", f"datasets.manual_files={tmp_path}")
    assert lines == (
        f"datasets.manual_files: '{tmp_path}' is not allowed; allowed: a folder with all that "
        "datasets.names needs. imagenet2012 is made from files that have to be fetched by hand, "
        f"but {tmp_path} lacks ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar. They are to "
        "be had, with an account, from https://image-net.org/download-images.",
    )


def test_an_evaluation_on_imagenet_is_refused_where_it_cannot_be_prepared(tmp_path: Path) -> None:
    (line,) = refused("targets=[held_out, imagenet2012@64/resnet50]", f"manual_files={tmp_path}")
    assert line.startswith(
        "evaluation.targets: those on imagenet2012 are not allowed; allowed: on what is prepared. "
        "`python -m flows.prepare_datasets --set names=[imagenet2012] --set manual_files=DIR`"
    )


def test_a_network_is_named_after_one_slash() -> None:
    (line,) = refused("targets=[held_out, digits/foo/mlp]")
    assert line.startswith("evaluation.targets: 'digits/foo/mlp' is not allowed; allowed: held_out")


def test_imagenet_needs_no_files_once_it_is_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOPT_HOME", str(tmp_path))
    (tmp_path / "datasets" / "imagenet2012" / "5.1.0-0123456789ab").mkdir(parents=True)
    overrides = ["datasets.names=[digits, imagenet2012]", f"datasets.manual_files={tmp_path}"]
    check(read_conf(TINY, overrides, SECTIONS), SECTIONS)
