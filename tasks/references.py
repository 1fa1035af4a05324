"""What tasks hand to each other: where something lies and what it is, never the thing itself."""

from pydantic import BaseModel, ConfigDict


class Reference(BaseModel):
    """A small immutable value that Prefect can hash, store and show."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSetReference(Reference):
    """A prepared data set."""

    name: str
    version: str
    digest: str
    directory: str
    counts: dict[str, int]

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {split}" for split, count in self.counts.items())
        return f"{self.name} {self.version}: {counts} images ({self.digest[:12]})"


class EnsembleReference(Reference):
    """A drawn ensemble."""

    path: str
    digest: str
    entries: int
    programs: int

    def __str__(self) -> str:
        programs = "1 program" if self.programs == 1 else f"{self.programs} programs"
        return f"{self.entries} problems in {programs} ({self.digest[:12]})"


class RunReference(Reference):
    """A meta-training run folder."""

    directory: str
    conf_digest: str
    seed: int
    mlflow_run_id: str


class CheckpointReference(Reference):
    """The newest checkpoint of a run folder."""

    directory: str
    meta_step: int
    digest: str


class ReleaseReference(Reference):
    """A release, and the MLflow run and logged model that it belongs to where there are such."""

    directory: str
    digest: str
    mlflow_run_id: str | None = None
    model_uri: str | None = None


class ReportReference(Reference):
    """An evaluation report, of one release unless it was made of several reports."""

    directory: str
    digest: str
    release_digest: str | None = None


class FigureReference(Reference):
    """A figure of the paper's as it was drawn here: a picture, a page, and the tables behind."""

    number: int
    title: str
    directory: str
    picture: str
    page: str
    tables: tuple[str, ...]
    digest: str
    caption: str
    columns: tuple[str, ...]
    """Of its main numbers."""
    rows: tuple[tuple[str, ...], ...]


class ModelVersionReference(Reference):
    """A version in the model registry."""

    name: str
    version: int
    alias: str
    uri: str


def short(digest: str) -> str:
    """Return as much of a digest as tells folders and files apart."""
    return digest[:16]
