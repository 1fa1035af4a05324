"""What an alias was on before: the way back.

Each version notes all that had the alias before it did. That is written before the alias moves, on
a version that does not have it: whoever is interrupted in between has changed no history but that
of a version which nobody can go back from.
"""

from tasks import tracking
from tasks.tags import HISTORY, REPLACES
from tasks.tracking_store import is_code

NOTHING = "nothing"
LONGEST = 500
"""Promotions that are remembered: as many numbers fit into a tag of any MLflow."""


def before(name: str, alias: str, version: int) -> tuple[int, ...]:
    """Return the versions that had the alias before a version got it, the last one first.

    Versions of an older lopt say only whom they have replaced. These are followed, none twice:
    where a version was promoted again it has forgotten what it had replaced the first time.

    **Example**

    ```python
    before("learned-optimizer", "champion", 7)  # (5, 4, 1)
    ```
    """
    met = [version]
    while True:
        tags = _tags(name, met[-1])
        replaced = tags.get(f"{REPLACES}{alias}", NOTHING)
        words = tags.get(f"{HISTORY}{alias}", NOTHING).split()
        known = [int(word) for word in words if word.isdecimal()]
        # Another first one is that of an older lopt, which has promoted the version since.
        if known and str(known[0]) == replaced:
            return (*met[1:], *known)
        if not replaced.isdecimal() or int(replaced) in met:
            return tuple(met[1:])
        met.append(int(replaced))


def further_back(history: tuple[int, ...], version: int) -> tuple[int, ...]:
    """Return what of a history is before a version that is gone back to.

    One that is not in the history takes the place of the version that is left.
    """
    return history[history.index(version) + 1 :] if version in history else history


def note(name: str, alias: str, version: int, history: tuple[int, ...]) -> None:
    """Note on a version what had the alias before it."""
    numbers = [str(number) for number in history[:LONGEST]]
    said = {
        f"{HISTORY}{alias}": " ".join(numbers) or NOTHING,
        f"{REPLACES}{alias}": numbers[0] if numbers else NOTHING,
    }
    there = _tags(name, version)
    for key, value in said.items():
        if there.get(key) != value:
            tracking.client().set_model_version_tag(name, str(version), key, value)


def _tags(name: str, version: int) -> dict[str, str]:
    """Return the tags of a version, none of one that a person has deleted."""
    from mlflow.exceptions import MlflowException

    try:
        return dict(tracking.client().get_model_version(name, str(version)).tags)
    except MlflowException as error:
        if is_code(error, "RESOURCE_DOES_NOT_EXIST"):
            return {}
        raise
