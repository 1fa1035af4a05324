from pathlib import Path

import pytest

from tasks import command_line
from tasks.confs import DEFAULTS, EnsembleConf, MetaTrainingConf
from tasks.releases import NoReleaseError


def toy(
    ensemble: EnsembleConf = DEFAULTS.ensemble,
    meta_training: MetaTrainingConf = DEFAULTS.meta_training,
    release: str = "latest",
    parent_mlflow_run_id: str | None = None,
) -> None:
    """Stand where a flow would."""
    calls.append((ensemble, meta_training, release, parent_mlflow_run_id))


calls: list[tuple[EnsembleConf, MetaTrainingConf, str, str | None]] = []
TINY = ["--set", "ensemble.entries=conf/ensembles/tiny.yaml"]


def test_a_flow_gets_the_sections_it_takes_and_its_plain_parameters() -> None:
    calls.clear()
    command_line.main(toy, [*TINY, "--set", "meta_steps=70", "--release", "here"])
    ((ensemble, meta_training, release, parent),) = calls
    assert ensemble.entries == "conf/ensembles/tiny.yaml"
    assert (meta_training.meta_steps, release, parent) == (70, "here", None)


def test_a_flow_of_things_without_a_conf_takes_them_one_after_another(
    capsys: pytest.CaptureFixture[str],
) -> None:
    given: list[list[str]] = []

    def comparing(reports: list[str]) -> None:
        """Compare.

        Args:
            reports: What to compare.
        """
        given.append(reports)

    command_line.main(comparing, ["one", "name=two"])
    assert given == [["one", "name=two"]]
    with pytest.raises(SystemExit) as ending:
        command_line.main(comparing, ["--help"])
    assert ending.value.code == 0
    text = capsys.readouterr().out
    assert "What to compare." in text
    assert "--conf" not in text
    assert "keys:" not in text


def test_a_flag_is_off_unless_it_is_given() -> None:
    given: list[bool] = []

    def moving(dry_run: bool = False) -> None:
        """Move."""
        given.append(dry_run)

    command_line.main(moving, [])
    command_line.main(moving, ["--dry-run"])
    assert given == [False, True]


def test_a_refused_conf_runs_nothing_and_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    calls.clear()
    with pytest.raises(SystemExit) as ending:
        command_line.main(toy, ["--set", "meta_steps=0", "--set", "problems=none"])
    assert ending.value.code == 2
    assert not calls
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_help_names_every_key_with_its_default_and_limits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ending:
        command_line.main(toy, ["--help"])
    text = capsys.readouterr().out
    assert ending.value.code == 0
    for name, field in MetaTrainingConf.model_fields.items():
        default = "null" if field.default is None else field.default
        assert f"meta_training.{name} = {default}  (" in text
    assert "(an integer from 1 to 10000000)" in text
    assert "datasets." not in text


def test_an_error_of_ours_is_a_line_and_no_traceback() -> None:
    def failing(ensemble: EnsembleConf = DEFAULTS.ensemble) -> None:
        """Fail."""
        del ensemble
        raise NoReleaseError("train first")

    with pytest.raises(SystemExit) as ending:
        command_line.main(failing, TINY)
    assert ending.value.code == "NoReleaseError: train first"


def test_an_error_of_others_keeps_its_traceback() -> None:
    def failing(ensemble: EnsembleConf = DEFAULTS.ensemble) -> None:
        """Fail."""
        del ensemble
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command_line.main(failing, TINY)


@pytest.mark.parametrize(
    ("error", "word"), [(KeyboardInterrupt, "Interrupted"), (SystemExit, "St")]
)
def test_who_stops_a_flow_is_told_what_the_same_command_does(
    error: type[BaseException], word: str
) -> None:
    def stopped(ensemble: EnsembleConf = DEFAULTS.ensemble) -> None:
        """Stop."""
        del ensemble
        raise error

    with pytest.raises(SystemExit, match=rf"^{word}.*\. The same command begins anew\.$"):
        command_line.main(stopped, TINY)
    with pytest.raises(SystemExit, match=rf"^{word}.*\. It goes on\.$"):
        command_line.main(stopped, TINY, if_stopped="It goes on.")


def drawing(ensemble: EnsembleConf = DEFAULTS.ensemble) -> None:
    """Stand where a flow would that does nothing sensible without a conf."""
    seeds.append(ensemble.seed)


seeds: list[int] = []


def test_a_conf_that_is_shipped_is_taken_by_its_name(tmp_path: Path) -> None:
    for seed in (3, 4):
        (tmp_path / f"{seed}.yaml").write_text(f"ensemble: {{seed: {seed}}}")
    seeds.clear()
    shipped = ("figure", tmp_path)
    command_line.main(drawing, ["--figure", "4", *TINY], shipped=shipped)
    command_line.main(drawing, ["--conf", str(tmp_path / "3.yaml"), *TINY], shipped=shipped)
    assert seeds == [4, 3]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--figure", "9"], "argument --figure: '9' is not allowed; allowed: one of 3"),
        ([], "one of the arguments --conf --figure is required"),
        (["--figure", "3", "--conf", "x"], "argument --conf: not allowed with argument --figure"),
    ],
)
def test_another_name_none_or_both_are_refused_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    (tmp_path / "3.yaml").write_text("")
    seeds.clear()
    with pytest.raises(SystemExit) as ending:
        command_line.main(drawing, arguments, shipped=("figure", tmp_path))
    assert ending.value.code == 2
    assert said in capsys.readouterr().err
    assert seeds == []
