"""Killed, stopped, damaged or diverged: what there is afterwards, and what goes on from it."""

import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flows.command_runs import SECONDS, CommandRun
from tests.harms import cut_in_half, flip_a_byte

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(600)]

# Enough segments that the one being killed is never the last.
# A row is of a dispatch: so that many are to be lost, or logged twice.
SETTINGS = ("meta_steps=24", "segment_meta_steps=3", "meta_steps_per_dispatch=1")
Begin = Callable[..., CommandRun]


@pytest.fixture
def begin(tmp_path: Path, server: str, jax_cache: Path) -> Begin:
    """A function that gives a run in a home of this name, with more settings if need be."""
    return lambda name, *more: CommandRun(tmp_path / name, server, jax_cache, (*SETTINGS, *more))


def test_a_killed_run_goes_on_and_ends_with_the_bits_of_one_never_killed(begin: Begin) -> None:
    from mlflow import MlflowClient

    from tasks import run_folders

    never_killed, killed = begin("never_killed"), begin("killed")
    never_killed.finish()
    assert killed.signalled(signal.SIGKILL, lambda: killed.has(3)) == -signal.SIGKILL
    assert not killed.is_released()
    killed.finish()
    assert killed.meta_params() == never_killed.meta_params()
    assert not list(killed.users_folder.iterdir()), "written outside of LOPT_HOME"
    assert killed.tracked() == ("FINISHED", list(range(1, 25))), "each dispatch is logged once"

    folder = run_folders.newest_finished(killed.home / "runs")
    assert folder is not None
    assert re.search(r"^  release of meta-step \d+, validation loss -?\d", killed.log(), re.M)
    assert killed.log().rstrip().endswith(f"flows.publish_release --release {folder.release}")
    client = MlflowClient(f"sqlite:///{killed.home / 'mlflow.db'}")
    run = client.get_run(str(folder.record.mlflow_run_id))
    assert len(run.inputs.dataset_inputs) == 1
    assert run.data.metrics["system/cpu_utilization_percentage"] > 0


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGINT, "Interrupted."),
        # The way is the same, and half a minute of it is enough for every day.
        pytest.param(signal.SIGTERM, "Stopped.", marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_a_run_with_a_whole_checkpoint_and_a_line(
    begin: Begin, number: int, said: str
) -> None:
    run = begin("stopped")
    assert run.signalled(number, lambda: run.has(3)) == 1
    *_, newest = run.sound_checkpoints()
    assert 3 <= newest < 24
    # Prefect and MLflow know that it has ended, and nothing is said twice or as a traceback.
    assert run.tracked() == ("KILLED", list(range(1, newest + 1)))
    *others, last = run.log().splitlines()
    assert last == f"{said} The same command goes on from the last checkpoint."
    assert not [line for line in others if "Traceback" in line or "Error" in line]
    assert not run.is_released()


# Until it is told of the signal Prefect's server, which hears it as well, is to live.
@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGINT, "Interrupted."),
        # Of this one its server dies, and nobody waits for it.
        pytest.param(signal.SIGTERM, "Stopped.", marks=pytest.mark.slow),
    ],
)
def test_a_signal_to_all_that_a_terminal_has_started_ends_it_with_the_same_line(
    tmp_path: Path, jax_cache: Path, number: int, said: str
) -> None:
    run = CommandRun(tmp_path / "alone", None, jax_cache, SETTINGS)
    assert run.signalled(number, lambda: run.has(3)) == 1
    *_, newest = run.sound_checkpoints()
    assert run.tracked() == ("KILLED", list(range(1, newest + 1)))
    *others, last = run.log().splitlines()
    assert last == f"{said} The same command goes on from the last checkpoint."
    assert not [line for line in others if "Traceback" in line or "Error" in line]


@pytest.mark.slow
@pytest.mark.parametrize("harm", [flip_a_byte, cut_in_half])
def test_a_damaged_newest_checkpoint_is_named_and_that_before_ends_with_the_same_bits(
    begin: Begin, harm: Callable[[Path], None]
) -> None:
    never_harmed, harmed = begin("never_harmed"), begin("harmed")
    never_harmed.finish()
    harmed.signalled(signal.SIGKILL, lambda: harmed.has(9))
    before, newest = harmed.sound_checkpoints()[-2:]
    path = harmed.checkpoint(newest)
    harm(max(path.glob("state/**/*"), key=lambda file: file.is_file() and file.stat().st_size))
    harmed.finish()
    said = f"checkpoint {newest} is damaged: now in {path.parent}/damaged-{newest}-"
    (line,) = [line for line in harmed.log().splitlines() if said in line]
    assert line.endswith(f". The run goes on from that of meta-step {before}.")
    assert [text for text in warnings() if said in text] == [line.strip()]
    assert harmed.meta_params() == never_harmed.meta_params()
    assert harmed.tracked() == ("FINISHED", list(range(1, 25)))


def warnings() -> list[str]:
    """Return what Prefect shows of all runs as a warning."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import LogFilter, LogFilterLevel

    with get_client(sync_client=True) as client:
        logs = client.read_logs(LogFilter(level=LogFilterLevel(ge_=30)))
    return [log.message for log in logs]


def test_a_run_that_cannot_go_on_has_failed_with_the_reason_and_has_kept_its_best(
    begin: Begin,
) -> None:
    """It learns with the largest rate there is, and may neither get worse nor go back."""
    run = begin("diverging", "meta_learning_rate=1.0", "rollbacks=0", "rollback_rise=1e-6")
    assert run.start().wait(SECONDS) == 1, run.log()
    *_, line = run.log().splitlines()
    found = re.fullmatch(
        r"MetaTrainingFailedError: at meta-step (\d+) the validation loss is .*, best .*, after "
        rf"0 rollbacks\. The best optimizer, of meta-step (\d+), is kept in {run.home}/runs/.*: "
        r"take a smaller meta_training\.meta_learning_rate, or fewer meta-steps, to end before\.",
        line,
    )
    assert found, run.log()
    failed, best = map(int, found.groups())
    assert run.sound_checkpoints("best")[-1] == best < failed
    assert run.tracked()[0] == "FAILED"
    assert not run.is_released()
    assert f"Flow run encountered an exception: {line}" in failures()


def failures() -> list[str]:
    """Return what Prefect shows as the reasons of the runs that have failed."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs()
    return [run.state.message for run in runs if run.state and run.state.is_failed()]
