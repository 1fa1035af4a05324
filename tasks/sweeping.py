"""Freeing the disk of what nobody needs, and saying what that was."""

from collections import defaultdict

from prefect import task
from prefect.artifacts import create_table_artifact

from tasks import terminal
from tasks.confs import RetentionConf
from tasks.leftovers import Leftover, leftovers, remove
from tasks.needed import needed
from tasks.references import Reference

MEGABYTE = 1e6


class Swept(Reference):
    """What was removed, or would be."""

    count: int
    bytes: int
    removed: bool


@task(name="find-leftovers")
def find_leftovers(conf: RetentionConf) -> list[Leftover]:
    """Return what can be removed.

    Raises what MLflow raises where the registry cannot be asked: then nothing may be.
    """
    return list(leftovers(conf, needed()))


@task(name="remove-leftovers")
def remove_leftovers(conf: RetentionConf, found: list[Leftover]) -> list[Leftover]:
    """Remove all of it but what is worked on or needed by now; return what is gone.

    What cannot be removed is named, and keeps nothing else from being.
    """
    from mlflow.exceptions import MlflowException

    gone = []
    for number, one in enumerate(found, start=1):
        try:
            if remove(one, conf):
                gone.append(one)
        except (OSError, MlflowException) as error:
            terminal.warn(f"{one.place} could not be removed: {type(error).__name__}: {error}")
        terminal.reach(number, one.kind)
    return gone


@task(name="announce-sweeping")
def announce(found: list[Leftover], *, removed: bool) -> Swept:
    """Show in Prefect and on the terminal how much of which kind it was."""
    kinds: dict[str, list[int]] = defaultdict(list)
    for one in found:
        kinds[one.kind].append(one.bytes)
    rows = [
        {"what": kind, "how many": len(sizes), "megabytes": round(sum(sizes) / MEGABYTE, 1)}
        for kind, sizes in kinds.items()
    ]
    for row in rows:
        terminal.say(f"  {row['what']}: {row['how many']}, {row['megabytes']} MB")
    words = "removed" if removed else "would be removed"
    total = sum(one.bytes for one in found)
    terminal.say(f"{len(found)} things, {total / MEGABYTE:.1f} MB, {words}.")
    create_table_artifact(
        rows or [{"what": "nothing", "how many": 0, "megabytes": 0.0}],
        key="swept",
        description=f"What {words}.",
    )
    return Swept(count=len(found), bytes=total, removed=removed)
