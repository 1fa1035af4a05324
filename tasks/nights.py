"""Which night a scheduled run is of, and whether it is still to be done.

A machine that was off finds all nights that it has missed waiting. Those that are long over are
left out; one that was done is not done again; one that was begun goes on.
"""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from prefect.runtime import flow_run

from tasks import alarms, promotion, settings, tracking
from tasks.confs import MetaTrainingConf, NightConf, PublicationConf
from tasks.locks import locked
from tasks.tags import NIGHT, NIGHT_BEGAN_WITH, NIGHT_DONE

if TYPE_CHECKING:
    from mlflow.entities import Run
    from prefect import Flow
    from prefect.client.schemas.objects import FlowRun
    from prefect.states import State

NEW = "new"
SCHEDULE = "schedule"


class NightError(ValueError):
    """A night that cannot be told."""


class Night(NamedTuple):
    """A night of retraining."""

    scheduled: datetime
    """When it was to begin, in UTC and to the minute: what tells it from other nights."""
    resumed: str | None
    """Its run in MLflow, if it has begun already."""
    began_with: str | None
    """The release that meta-training began with then."""
    done: bool
    """Whether the gate has ruled on what came out of it."""

    @property
    def name(self) -> str:
        """The night as people and tags have it."""
        return _name(self.scheduled)

    @property
    def seed(self) -> int:
        """A number that no other night has, for what is drawn freshly."""
        return int(self.scheduled.timestamp()) // 60


def tonight(at: str = SCHEDULE) -> Night:
    """Return the night at a time, or that which this flow run was scheduled for.

    Raises `NightError` for what is no time.
    """
    scheduled = _time(at).astimezone(UTC).replace(second=0, microsecond=0)
    if scheduled > datetime.now(UTC):
        raise NightError(f"at: {at} is to come; it runs when it is time")
    night = Night(scheduled, None, None, done=False)
    run = _newest(night.name)
    if run is None:
        return night
    tags = run.data.tags
    return Night(
        scheduled, str(run.info.run_id), tags.get(NIGHT_BEGAN_WITH), done=NIGHT_DONE in tags
    )


@contextmanager
def alone(at: str) -> Iterator[Night]:
    """Give the night, kept from other processes of this machine meanwhile.

    Raises `NightError` if another one is doing it.
    """
    night = tonight(at)
    folder = settings.nights_root()
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as kept:
        try:
            kept.enter_context(locked(folder / f"{night.seed}.lock", wait=False))
        except BlockingIOError:
            raise NightError(
                f"Another process is doing the night of {night.name}: wait for it, or end it first."
            ) from None
        # Anew: whoever had the lock may have done it just now.
        yield tonight(night.name)


def report(flow: "Flow[..., Any]", run: "FlowRun", state: "State[Any]") -> None:
    """Say that a night has failed, and how to go on with it; for Prefect's hooks."""
    alarms.report(flow, run, state, how_to_go_on(run))


def how_to_go_on(run: "FlowRun") -> str:
    """Return what to start so that it is no other night, empty for what is no night.

    **Example**

    ```python
    how_to_go_on(run)
    # 'To go on with this night start it again with the same values and at=2026-11-26T02:00Z.'
    ```
    """
    at = run.parameters.get("at", SCHEDULE)
    scheduled = run.expected_start_time if at == SCHEDULE else _read(at)
    if "night" not in run.parameters or scheduled is None:
        return ""
    name = _name(scheduled.astimezone(UTC))
    return f"To go on with this night start it again with the same values and at={name}."


def done_already(night: Night) -> str | None:
    """Return that a night is done, `None` if it is not."""
    return f"The night of {night.name} is done already." if night.done else None


def too_late(night: Night, conf: NightConf) -> str | None:
    """Return by how much a night that nobody has begun is too late, `None` if it is not."""
    if night.resumed is not None:
        return None
    hours = (datetime.now(UTC) - night.scheduled).total_seconds() / 3600
    if hours <= conf.latest_hours:
        return None
    return (
        f"The night of {night.name} is {hours:.0f} hours late, and night.latest_hours is "
        f"{conf.latest_hours:g}: it is left out. To have it done all the same start it with "
        f"at={night.name} and night.latest_hours={math.ceil(hours) + 1}."
    )


def release_to_begin_with(night: Night, conf: NightConf, publication: PublicationConf) -> str:
    """Return the URI of the champion, or an empty text to begin anew.

    A night that goes on begins with what it began with, whoever is champion meanwhile.
    """
    if night.began_with is not None:
        return "" if night.began_with == NEW else night.began_with
    champion = promotion.holder(publication.model_name, publication.alias)
    if conf.begin_with == "new" or champion is None:
        return ""
    return f"models:/{publication.model_name}/{champion}"


def begun_with(conf: MetaTrainingConf, release: str) -> MetaTrainingConf:
    """Return the conf of a meta-training that begins with a release, or anew without one."""
    return conf.model_copy(update={"initial_release": release})


def tags(night: Night, release: str) -> dict[str, str]:
    """Return what a night's run says from its first moment: which it is, and where it begins."""
    return {NIGHT: night.name, NIGHT_BEGAN_WITH: release or NEW}


def note_done(mlflow_run_id: str, words: str) -> None:
    """Note what became of the challenger: the night is not done again."""
    tracking.set_tags(mlflow_run_id, {NIGHT_DONE: words})


def _time(at: str) -> datetime:
    if at == SCHEDULE:
        given = flow_run.get_scheduled_start_time() if flow_run.get_id() else datetime.now(UTC)
        return datetime.fromisoformat(str(given))
    time = _read(at)
    if time is None:
        raise NightError(
            f"at: {at!r} is not allowed; allowed: {SCHEDULE}, or a time with its zone, such as "
            "2026-11-26T01:00Z"
        )
    return time


def _read(at: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(at)
    except ValueError:
        return None
    return None if time.tzinfo is None else time


def _name(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%MZ}"


def _newest(name: str) -> "Run | None":
    found = tracking.client().search_runs(
        [tracking.experiment_id()],
        f"tags.`{NIGHT}` = '{name}'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    return found[0] if found else None
