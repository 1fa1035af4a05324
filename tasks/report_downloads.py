"""A report copied from MLflow: the files that are read, once their sizes are known."""

from pathlib import Path, PurePosixPath

from tasks import settings

LARGEST_FILE = 2**28
"""In bytes. The largest of lopt's has 40 for each recorded loss, before it is compressed."""


class SourceError(LookupError):
    """A report that was named is not there, or is not to be fetched."""


def download_report(uri: str, aside: Path) -> Path:
    """Copy the report at a URI of MLflow into the folder `aside`, and return where it lies there.

    Pages and pictures stay where they are. Raises `SourceError` for what cannot be fetched, and
    before anything is fetched for a file of more than `LARGEST_FILE` bytes or unknown size.

    **Example**

    ```python
    Report.read(download_report("runs:/0123abcd/report", Path("aside")))
    ```
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    asked = settings.tracking_uri()
    try:
        names = _names(uri, asked)
        for name in names:
            download_artifacts(
                artifact_uri=f"{uri.rstrip('/')}/{name}", dst_path=str(aside), tracking_uri=asked
            )
    except (MlflowException, OSError) as error:
        raise SourceError(
            f"{uri} cannot be fetched from {settings.tracking_place()}: {error}. {_name_another()}"
        ) from error
    return aside


def _names(uri: str, tracking_uri: str) -> tuple[str, ...]:
    """Return which of a report's files are there, all of them no larger than they may be."""
    from mlflow.artifacts import list_artifacts

    from lopt.evaluation.report_files import FILES, MANIFEST

    listed = list_artifacts(artifact_uri=uri, tracking_uri=tracking_uri)
    sizes = {PurePosixPath(one.path).name: one.file_size for one in listed if not one.is_dir}
    if MANIFEST not in sizes:
        raise SourceError(f"{uri} is no report: it has no {MANIFEST}. {_name_another()}")
    names = tuple(name for name in (MANIFEST, *FILES) if name in sizes)
    for name in names:
        size = sizes[name]
        if size is None or size > LARGEST_FILE:
            raise SourceError(
                f"{uri}: {name} has {'an unknown number of' if size is None else size} bytes, and "
                f"the limit is {LARGEST_FILE}. Nothing was fetched: lopt never writes such a "
                f"file. {_name_another()}"
            )
    return names


def _name_another() -> str:
    return (
        "Name the folder of a report, runs:/ID of a run of evaluate-release, or "
        "models:/NAME/VERSION."
    )
