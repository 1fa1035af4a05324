import io
import shlex
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

import lopt
from tasks import last_screen, settings, tracking
from tasks.confs import EnsembleConf
from tasks.references import FigureReference, ModelVersionReference, ReleaseReference
from tasks.score_screen import fitting
from tasks.score_table import ScoreTable

# As wide as real scores get.
TABLE = ScoreTable(
    ("target", "learned", "SGD+momentum", "RMSProp", "Adam"),
    (
        ("held_out/softmax_regression", "-10.81 ±0.16", *["-10.77 ±0.16† !2 +"] * 3),
        ("held_out/two_dimensional", "-2.12 ±1.10 !1", *["-1.46 ±1.34 ="] * 3),
        ("mean (best rate per target)", "-1.40 ±0.28", *["-1.27 ±0.18 !1 -"] * 3),
    ),
)
ENTRIES = "conf/ensembles/release.yaml"
VERSION = ModelVersionReference(
    name="learned-optimizer", version=3, alias="champion", uri="models:/learned-optimizer@champion"
)


def printed(part: Table, width: int) -> list[str]:
    """The text of each column below the heading, without any blanks, as it stands on a screen."""
    screen = io.StringIO()
    Console(width=width, file=screen).print(part)
    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    rows = [line.strip("│").split("│") for line in lines if line.startswith("│")]
    return ["".join("".join(column).split()) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize("width", [120, 80, 60, 40, 20])
def test_every_cell_is_printed_whole_at_any_width(width: int) -> None:
    columns = dict(zip(TABLE.heading, zip(*TABLE.rows, strict=True), strict=True))
    shown = set()
    for part in fitting(TABLE, Console(width=width)):
        names = [str(column.header) for column in part.columns]
        shown.update(names)
        for name, text in zip(names, printed(part, width), strict=True):
            assert text == "".join("".join(columns[name]).split())
    assert shown == set(TABLE.heading)


@pytest.mark.parametrize(("width", "lines"), [(120, 3), (80, 6)])
def test_one_table_is_enough_on_the_usual_screens(width: int, lines: int) -> None:
    (part,) = fitting(TABLE, Console(width=width))
    screen = io.StringIO()
    Console(width=width, file=screen).print(part)
    assert sum(line.startswith("│") for line in screen.getvalue().splitlines()) == lines


@pytest.fixture
def lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    """What is printed of a version, in a home and from a clone with blanks in their names."""
    monkeypatch.setenv("LOPT_HOME", str(tmp_path / "my home"))
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_HOME", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(settings, "REPOSITORY", tmp_path / "my clone")
    monkeypatch.setattr(tracking, "experiment_id", lambda: "1")
    last_screen.show_version(VERSION)
    return capsys.readouterr().out.splitlines()


def words(lines: list[str], part: str) -> list[str]:
    """The one line with this part, as a shell reads it."""
    (line,) = [line for line in lines if part in line]
    return shlex.split(line)


def test_what_is_to_be_typed_is_quoted(lines: list[str], tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'my home' / 'mlflow.db'}"
    assert store in words(lines, "mlflow server")
    assert f"MLFLOW_TRACKING_URI={store}" in words(lines, "export ")
    assert f"PREFECT_HOME={tmp_path / 'my home' / 'prefect'}" in words(lines, "prefect server")


def test_the_servers_to_be_started_call_nobody_and_are_called_from_here_alone(
    lines: list[str],
) -> None:
    prefect, mlflow = words(lines, "prefect server"), words(lines, "mlflow server")
    assert "PREFECT_SERVER_UI_V2_ENABLED=false" in prefect
    assert "PREFECT_SERVER_ANALYTICS_ENABLED=false" in prefect
    assert "MLFLOW_DISABLE_TELEMETRY=true" in mlflow
    for command in (prefect, mlflow):
        assert command[command.index("--host") + 1] == "127.0.0.1"


def test_the_optimizer_is_used_after_an_installation_that_is_possible(
    lines: list[str], tmp_path: Path
) -> None:
    assert f"pip install '{tmp_path / 'my clone'}[mlflow]'" in "\n".join(lines)


def test_servers_that_run_already_are_not_to_be_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    monkeypatch.setattr(tracking, "experiment_id", lambda: "1")
    last_screen.show_version(VERSION)
    text = capsys.readouterr().out
    assert "server" not in text
    assert "  http://127.0.0.1:5000/#/experiments/1/runs?" in text
    assert "  http://127.0.0.1:4200/runs" in text


def test_a_release_is_shown_with_its_run_and_as_python_that_loads_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    monkeypatch.setattr(tracking, "experiment_id", lambda: "1")
    loaded: list[str] = []
    monkeypatch.setattr(lopt, "load", lambda place: loaded.append(place) or lopt)
    monkeypatch.setattr(lopt, "transformation", lambda: None, raising=False)
    directory = "/data/of o'hara/my runs/release"
    release = ReleaseReference(directory=directory, digest="d", mlflow_run_id="r")
    last_screen.show_release(release, EnsembleConf(entries=ENTRIES))
    lines = capsys.readouterr().out.splitlines()
    evaluation = words(lines, "flows.evaluate_release")[3:]
    assert evaluation == ["--release", directory, "--set", f"ensemble.entries={ENTRIES}"]
    assert words(lines, "flows.publish_release")[3:] == ["--release", directory]
    assert "  http://127.0.0.1:5000/#/experiments/1/runs/r" in lines
    (code,) = [line.strip() for line in lines if "lopt.load" in line]
    exec(code, {"lopt": lopt})
    assert loaded == [directory]


def test_what_is_done_is_shown_though_mlflow_is_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    release = ReleaseReference(directory="runs/release", digest="d", mlflow_run_id="r")
    last_screen.show_release(release, EnsembleConf(entries=ENTRIES))
    lines = capsys.readouterr().out.splitlines()
    assert "  http://127.0.0.1:1 does not answer now" in lines
    assert words(lines, "flows.publish_release")[3:] == ["--release", "runs/release"]


def test_what_is_done_is_shown_though_the_experiment_was_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOPT_HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracking.client().delete_experiment(tracking.experiment_id())
    last_screen.show_page("r", "report/report.html")
    assert "mlflow experiments restore" in capsys.readouterr().out


def test_a_figure_s_picture_data_and_page_are_named_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracking, "experiment_id", lambda: "7")
    figure = FigureReference(
        number=3,
        title="Losses",
        directory="f",
        picture="f/figure_3.png",
        page="f/figure_3.html",
        tables=("f/curves.parquet", "f/finals.parquet"),
        digest="d" * 64,
        caption="Lines are medians.",
        columns=("target", "learned"),
        rows=(("papers/rosenbrock", "-1.250"),),
    )
    last_screen.show_figure("run", figure)
    text = capsys.readouterr().out
    assert "papers/rosenbrock" in text
    assert "Lines are medians." in text
    assert "/artifacts/figure/figure_3.html" in text
    assert text.splitlines()[-4:] == [
        "Picture: f/figure_3.png",
        "Data:    f/curves.parquet",
        "Data:    f/finals.parquet",
        "Page:    f/figure_3.html",
    ]
