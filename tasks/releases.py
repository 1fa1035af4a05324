"""Finding a release: the newest one, one in a folder, or one in MLflow."""

import re
from pathlib import Path

from prefect import task

from tasks import run_folders, settings, tracking
from tasks.references import ReleaseReference, short

LATEST = "latest"
LOGGED_MODEL = "optimizer"
"""What a release is called among the models of its MLflow run."""


class NoReleaseError(LookupError):
    """There is no release yet."""


@task(name="find-release")
def find_release(release: str) -> ReleaseReference:
    """Return a reference to "latest", to a folder, or to a URI of MLflow; load it as a check.

    Raises `NoReleaseError` if nothing has been meta-trained yet, and what `lopt.load` raises.
    """
    if release == LATEST:
        newest = run_folders.newest_finished(settings.runs_root())
        if newest is None:
            raise NoReleaseError(
                f"There is no finished meta-training under {settings.runs_root()}. Run "
                "`python -m flows.meta_train`, or name a release."
            )
        return release_of(newest)
    path = Path(release)
    if (path.parent / "run.json").is_file():
        return release_of(run_folders.read(path.parent))
    return _fetched(release)


def note_settled(release: ReleaseReference) -> None:
    """Note that nothing is left to be done with the run of a release, if it is of one here."""
    run_folders.note_published(Path(release.directory))


def release_of(folder: run_folders.RunFolder) -> ReleaseReference:
    """Return the release of a finished run."""
    from lopt import release

    return ReleaseReference(
        directory=str(folder.release),
        digest=release.digest(folder.release),
        mlflow_run_id=folder.record.mlflow_run_id,
        model_uri=folder.record.model_uri,
    )


def logged_model_id(uri: str) -> str | None:
    """Return the id of a logged model, `None` for a URI that names something else."""
    found = re.fullmatch(r"models:/(m-[^/@]+)", uri)
    return found[1] if found else None


def _fetched(uri: str) -> ReleaseReference:
    """Keep a copy of a release from elsewhere, in a folder that is named by its digest."""
    import tempfile

    from lopt import release
    from lopt.loading import load

    tracking.client()  # points what loads to our store
    optimizer = load(uri)
    root = settings.home() / "releases"
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root) as aside:
        digest = release.digest(release.save(optimizer, Path(aside) / "release"))
    directory = release.save(optimizer, root / short(digest))
    # Any other URI only leads to a model: a version with such a source cannot be loaded.
    model_uri = uri if logged_model_id(uri) else None
    return ReleaseReference(directory=str(directory), digest=digest, model_uri=model_uri)
