"""Who is champion: the alias is moved by one process at a time, and back again by its history.

What is noted of the history is written first and the alias moved last, so that whoever is
interrupted in between has moved nothing.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from tasks import alias_history, settings, tracking
from tasks.alias_history import NOTHING
from tasks.locks import locked
from tasks.references import ModelVersionReference
from tasks.tags import ROLLED_BACK
from tasks.tracking_store import is_code

LIMIT = "lopt-promotion"
"""Prefect's limit for those who move an alias on several machines; `make up` declares it."""
LEASE_SECONDS = 60.0
"""After how long others need not wait any more for one that was killed; Prefect takes no less."""
CHALLENGER = "challenger"
"""Alias of the version that was compared with the champion last."""
PREVIOUS = "previous"


class AnotherChampionError(RuntimeError):
    """Somebody else has become champion meanwhile."""


class RollBackError(LookupError):
    """There is nothing to go back to."""


class VersionError(RuntimeError):
    """A version in the registry is not there, or cannot be loaded."""


def holder(name: str, alias: str) -> int | None:
    """Return the version that an alias names, `None` for none."""
    from mlflow.exceptions import MlflowException

    try:
        return int(tracking.client().get_model_version_by_alias(name, alias).version)
    except MlflowException as error:
        if is_code(error, "INVALID_PARAMETER_VALUE") or is_code(error, "RESOURCE_DOES_NOT_EXIST"):
            return None
        raise


def rival(version: ModelVersionReference) -> int | None:
    """Return the version to be compared with: that of the alias, or of before it moved to this one.

    A process may have died between moving the alias and telling of it.
    """
    found = holder(version.name, version.alias)
    if found != version.version:
        return found
    return next(iter(alias_history.before(version.name, version.alias, found)), None)


def promote(version: ModelVersionReference, expected: int | None) -> None:
    """Move the alias to the version if it is where it is expected, `None` for nowhere.

    Nothing is done where the version has it already.

    Raises `VersionError` if the version cannot be loaded, and `AnotherChampionError` if the alias
    is elsewhere: whoever was compared with the champion was compared with another.
    """
    check_loads(version.name, version.version)
    with _alone():
        found = holder(version.name, version.alias)
        if found == version.version:
            return
        if found != expected:
            raise AnotherChampionError(
                f"{version.name}@{version.alias} is {_said(found)}, and not {_said(expected)}, "
                f"which version {version.version} was compared with: somebody moved it meanwhile. "
                f"Compare again: `python -m flows.promote_release --version {version.version}`."
            )
        _promote(version, found)


def take(version: ModelVersionReference) -> None:
    """Move the alias to the version, whoever has it.

    Raises `VersionError` if the version cannot be loaded.
    """
    check_loads(version.name, version.version)
    with _alone():
        _promote(version, holder(version.name, version.alias))


def named(name: str, alias: str, version: str) -> ModelVersionReference:
    """Return the version that is meant by its number or by an alias, to be given the alias.

    Raises `VersionError` if there is none.
    """
    from mlflow.exceptions import MlflowException

    if not version.isdecimal():
        found = holder(name, version)
        if found is None:
            raise VersionError(
                f"No version of {name} in {settings.tracking_place()} has the alias {version!r}. "
                "Name a version by its number."
            )
        return _reference(name, alias, found)
    try:
        tracking.client().get_model_version(name, version)
    except MlflowException as error:
        raise VersionError(
            f"{name} has no version {version} in {settings.tracking_place()}: {error.message}"
        ) from error
    return _reference(name, alias, int(version))


def to_roll_back(name: str, alias: str, to: str) -> tuple[int, ModelVersionReference]:
    """Return which version has the alias, and which it would be rolled back to.

    Raises `RollBackError` where there is no such version, and `VersionError` where it cannot be
    loaded.
    """
    now = holder(name, alias)
    if now is None:
        raise RollBackError(f"Nothing in the registry is {name}@{alias}: nothing to roll back.")
    version = _previous(name, alias, now) if to == PREVIOUS else int(to)
    if version == now:
        raise RollBackError(f"{name}@{alias} is version {now} already.")
    check_loads(name, version)
    return now, _reference(name, alias, version)


def _previous(name: str, alias: str, now: int) -> int:
    earlier = alias_history.before(name, alias, now)
    if not earlier:
        raise RollBackError(
            f"{name}@{alias} is version {now}, which has replaced {NOTHING}: it is not known what "
            "to go back to. Say which version: --to VERSION."
        )
    return earlier[0]


def roll_back(version: ModelVersionReference, expected: int) -> None:
    """Move the alias back to the version, and note that of the one that has it now.

    The next one to go back to is what the alias was on before that version, never the one that
    it has left.

    Raises `AnotherChampionError` if that is not the one that is expected.
    """
    with _alone():
        found = holder(version.name, version.alias)
        if found != expected:
            raise AnotherChampionError(
                f"{version.name}@{version.alias} is {_said(found)} by now, and not "
                f"{_said(expected)}. Look again, and say what to go back to: --to VERSION."
            )
        client, now = tracking.client(), datetime.now(UTC).isoformat(timespec="seconds")
        earlier = _kept_history(version, expected)
        _move(version, alias_history.further_back(earlier, version.version))
        # Last: it is a note on what has been done.
        key = f"{ROLLED_BACK}{version.alias}"
        client.set_model_version_tag(version.name, str(expected), key, now)


def check_loads(name: str, version: int) -> None:
    """Raise `VersionError` if a version cannot be loaded."""
    from lopt.loading import load
    from lopt.registry import RegistryError
    from lopt.release import ReleaseError

    uri = f"models:/{name}/{version}"
    tracking.client()  # points what loads to our store
    try:
        load(uri)
    except (RegistryError, ReleaseError) as error:
        raise VersionError(
            f"{uri} cannot be loaded, so the alias stays where it is. Publish again once this is "
            f"mended: {error}"
        ) from error


def _reference(name: str, alias: str, version: int) -> ModelVersionReference:
    uri = f"models:/{name}@{alias}"
    return ModelVersionReference(name=name, version=version, alias=alias, uri=uri)


def _promote(version: ModelVersionReference, found: int | None) -> None:
    if found is None:
        _move(version, ())
    elif found != version.version:
        _move(version, (found, *_kept_history(version, found)))


def _kept_history(version: ModelVersionReference, found: int) -> tuple[int, ...]:
    """Return what was before the version that has the alias, which notes that if it did not yet.

    Otherwise it would be lost with the tags of those that an older lopt has promoted.
    """
    earlier = alias_history.before(version.name, version.alias, found)
    alias_history.note(version.name, version.alias, found, earlier)
    return earlier


def _move(version: ModelVersionReference, history: tuple[int, ...]) -> None:
    alias_history.note(version.name, version.alias, version.version, history)
    tracking.client().set_registered_model_alias(version.name, version.alias, str(version.version))


@contextmanager
def _alone() -> Iterator[None]:
    """Keep other processes from moving an alias: here by a lock, elsewhere by Prefect's limit."""
    with ExitStack() as kept:
        settings.home().mkdir(parents=True, exist_ok=True)
        kept.enter_context(locked(settings.home() / "promotion.lock", wait=True))
        if os.environ.get("PREFECT_API_URL"):
            from prefect.concurrency.sync import concurrency

            kept.enter_context(concurrency(LIMIT, lease_duration=LEASE_SECONDS))
        yield


def _said(version: int | None) -> str:
    return "no version" if version is None else f"version {version}"
