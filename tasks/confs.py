"""Every value that a flow can be given. One flat model a stage.

The same models validate the YAML of conf/ and the command line, are the flows' parameters,
and draw the form in Prefect's user interface.
"""

import hashlib
import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

DataSetName = Literal["digits", "mnist", "fashion_mnist", "cifar10"]
Baseline = Literal["sgd_momentum", "rmsprop", "adam"]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]


class StageConf(BaseModel):
    """What the confs of all stages have in common."""

    # Strict: "200" is not a number of steps, and neither is true.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, validate_default=True)

    def canonical(self) -> str:
        """Return the conf as JSON, the same text for equal confs."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    def digest(self) -> str:
        """Return the SHA-256 of the canonical form, in hexadecimal."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()


class DatasetsConf(StageConf):
    """Which data sets to prepare."""

    # `strict=False` here lets a YAML list be a tuple; its items stay strict.
    names: tuple[DataSetName, ...] = Field(
        ("digits",),
        strict=False,
        min_length=1,
        description="Data sets to prepare. digits needs no network; fashion_mnist needs none "
        "where Debian's package dataset-fashion-mnist is installed.",
    )


class EnsembleConf(StageConf):
    """Which problems to meta-train on."""

    entries: str = Field(
        "conf/ensembles/quick.yaml",
        min_length=1,
        description="YAML file of the ensemble's entries, as a path from the repository's root.",
    )
    seed: Seed = Field(0, description="Seed with which the entries are drawn.")


class MetaTrainingConf(StageConf):
    """How to meta-train."""

    architecture: str = Field(
        "HierarchicalRNN",
        min_length=1,
        description="Name of a class of lopt.architectures.",
    )
    preset: Literal["release", "paper"] = Field(
        "release", description="Published code's settings, or the paper's."
    )
    seed: Seed = Field(0, description="Seed of the meta-params and of everything drawn later.")
    meta_steps: int = Field(400, ge=1, le=10_000_000, description="Meta-steps in all.")
    segment_meta_steps: int = Field(
        50,
        ge=1,
        le=100_000,
        description="Meta-steps between checkpoints: what is repeated at most after a fault.",
    )
    learning_rate: float = Field(
        3e-3, gt=0, le=1, description="Learning rate of Adam on the meta-params."
    )
    clip_norm: float = Field(
        1.0, gt=0, le=1e6, description="Global norm to which the meta-gradient is clipped."
    )
    unroll_steps: int = Field(
        25, ge=1, le=10_000, description="Inner steps through which a meta-step differentiates."
    )
    problems_per_group: int = Field(
        24, ge=1, le=100_000, description="Trajectories that run at once in each group."
    )
    when_finished: Literal["next_seed", "repeat", "reuse"] = Field(
        "next_seed",
        description="If a run of this very conf is finished already: train anew with the next "
        "seed, train anew with the same seed, or take its release. An unfinished one goes on.",
    )


class EvaluationConf(StageConf):
    """How to compare a release with hand-made optimizers."""

    baselines: tuple[Baseline, ...] = Field(
        ("sgd_momentum", "rmsprop", "adam"),
        strict=False,
        min_length=1,
        description="Hand-made optimizers to compare with.",
    )
    seeds: int = Field(
        3, ge=1, le=1000, description="Seeds (initialisations and minibatches) for each target."
    )


class PublicationConf(StageConf):
    """Where to publish."""

    model_name: str = Field(
        "learned-optimizer",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        max_length=200,
        description="Name in MLflow's model registry.",
    )
    alias: str = Field(
        "champion",
        pattern=r"^[a-z][a-z0-9_-]*$",
        max_length=200,
        description="Alias that is moved to the new version.",
    )


class Conf(StageConf):
    """A file of conf/: one section a stage, all of them optional."""

    datasets: DatasetsConf = DatasetsConf()
    ensemble: EnsembleConf = EnsembleConf()
    meta_training: MetaTrainingConf = MetaTrainingConf()
    evaluation: EvaluationConf = EvaluationConf()
    publication: PublicationConf = PublicationConf()
