from pathlib import Path

import pytest

from tasks.confs import EnsembleConf
from tasks.ensembles import draw_ensemble, groups_of

CONF = EnsembleConf(entries="conf/ensembles/tiny.yaml")


@pytest.fixture
def ensembles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where they are drawn to."""
    monkeypatch.setenv("LOPT_HOME", str(tmp_path))
    return tmp_path / "ensembles"


@pytest.mark.usefixtures("ensembles")
def test_a_damaged_ensemble_is_named_and_whole_again_after_drawing_it_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from lopt.ensembles import EnsembleError

    drawn = draw_ensemble.fn(CONF)
    path = Path(drawn.path)
    content = path.read_bytes()
    path.write_bytes(content[:100])
    with pytest.raises(EnsembleError, match="Draw it again"):
        groups_of.__wrapped__(drawn)
    assert not capsys.readouterr().out
    assert draw_ensemble.fn(CONF) == drawn
    assert f"damaged, and drawn again: {path}" in capsys.readouterr().out
    assert path.read_bytes() == content
    assert len(groups_of.__wrapped__(drawn)) == drawn.programs


def test_drawing_twice_is_one_file(ensembles: Path) -> None:
    assert draw_ensemble.fn(CONF) == draw_ensemble.fn(CONF)
    assert len(list(ensembles.iterdir())) == 1


def test_what_the_held_out_seed_draws_in_no_program_of_the_ensemble_is_said(
    ensembles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tasks.validation import held_out_groups

    path = tmp_path / "sizes.yaml"
    path.write_text(
        "entries: [{family: q, count: 8, "
        "spec: {problem: Quadratic, dimensions: {choice: [2, 5]}}}, "
        "{family: bowl, spec: {problem: Quadratic, dimensions: 3}}]"
    )
    conf = EnsembleConf(entries=str(path))
    drawn, other = draw_ensemble.fn(conf), draw_ensemble.fn(conf.with_seed(2_000_000))
    capsys.readouterr()
    found, own = held_out_groups(drawn, other), groups_of(drawn)
    (line,) = capsys.readouterr().out.splitlines()
    missed = [one.family for one, two in zip(found, own, strict=True) if one is two]
    assert "bowl" not in missed
    assert f"in {', '.join(missed)}: with validation_seed" in line
