"""Finding a release: the newest one, one in a folder, or one in MLflow."""

from pathlib import Path

from prefect import task

from tasks import run_folders, settings
from tasks.references import ReleaseReference

LATEST = "latest"


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


def release_of(folder: run_folders.RunFolder) -> ReleaseReference:
    """Return the release of a finished run."""
    from lopt import release

    return ReleaseReference(
        directory=str(folder.release),
        digest=release.digest(folder.release),
        mlflow_run_id=folder.record.mlflow_run_id,
        model_uri=folder.record.model_uri,
    )


def _fetched(uri: str) -> ReleaseReference:
    """Keep a copy of a release from elsewhere, in a folder that is named by its digest."""
    import tempfile

    from lopt import release
    from lopt.loading import load

    optimizer = load(uri)
    root = settings.home() / "releases"
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root) as aside:
        digest = release.digest(release.save(optimizer, Path(aside) / "release"))
    directory = release.save(optimizer, root / digest[:16])
    is_model = uri.startswith(("models:", "runs:"))
    return ReleaseReference(
        directory=str(directory), digest=digest, model_uri=uri if is_model else None
    )
