"""What the registry needs: nothing of it may be swept, whatever its age.

A version needs the files that MLflow loads it from, its run, and its reports, by which a person
compares it; the version of an alias needs all that its meta-training has left, too.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from tasks import tracking
from tasks.releases import logged_model_id
from tasks.tags import RELEASE_DIGEST


class Needed(NamedTuple):
    """What versions of any registered model hold on to."""

    releases: frozenset[str]
    """Digests."""
    logged_models: frozenset[str]
    places: tuple[str, ...]
    """Where MLflow loads the versions from, however they were registered."""
    runs: frozenset[str]
    """MLflow runs that made the versions."""
    of_aliases: frozenset[str]
    """Those of the versions that have an alias."""

    def has_place(self, place: str) -> bool:
        """Return whether a version is loaded from this place, or from inside it."""
        found = place.rstrip("/")
        return any(one == found or one.startswith(f"{found}/") for one in self.places)


def needed() -> Needed:
    """Return what the versions in the registry need, all of them.

    Raises what MLflow raises where it cannot be asked: then nothing may be swept.
    """
    client = tracking.client()
    versions = all_pages(client.search_model_versions)
    aliased = {
        (model.name, str(number))
        for model in all_pages(client.search_registered_models)
        for number in model.aliases.values()
    }
    models = {logged_model_id(version.source or "") for version in versions}
    places = {client.get_model_version_download_uri(v.name, str(v.version)) for v in versions}
    kept = {one.run_id for one in versions if (one.name, str(one.version)) in aliased}
    return Needed(
        releases=frozenset(_texts(one.tags.get(RELEASE_DIGEST) for one in versions)),
        logged_models=frozenset(_texts(models)),
        places=tuple(sorted(place.rstrip("/") for place in _texts(places))),
        runs=frozenset(_texts(one.run_id for one in versions)),
        of_aliases=frozenset(_texts(kept)),
    )


def all_pages(search: Callable[..., Any]) -> list[Any]:
    """Return all of what MLflow gives page by page.

    **Example**

    ```python
    all_pages(client.search_registered_models)
    ```
    """
    found: list[Any] = []
    token = None
    while True:
        page = search(page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _texts(values: Iterable[str | None]) -> set[str]:
    return {value for value in values if value}
