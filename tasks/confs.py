"""Every value that a flow can be given. One flat model a stage.

The same models validate the YAML of conf/ and the command line, are the flows' parameters,
and draw the form in Prefect's user interface.
"""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tasks.parameters import INITIAL_RELEASE, WORDS

DataSetName = Literal[
    "digits",
    "mnist",
    "fashion_mnist",
    "cifar10",
    "encoded_digits",
    "imagenet2012",
    "imagenet_resized/64x64",
]
Rate = Annotated[float, Field(gt=0, le=1e3)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]


class StageConf(BaseModel):
    """What the confs of all stages have in common."""

    # Strict: "200" is not a number of steps, and neither is true.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, validate_default=True)

    def canonical(self) -> str:
        """Return the conf as JSON, the same text for equal confs."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    def __hash__(self) -> int:
        # A conf may hold mappings, which have no hash of their own.
        return hash(self.canonical())

    def digest(self) -> str:
        """Return the SHA-256 of the canonical form, in hexadecimal."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()


class DatasetsConf(StageConf):
    """Which data sets to prepare."""

    # `strict=False` here lets a YAML list be a tuple; its items stay strict.
    names: tuple[DataSetName, ...] = Field(
        default=("digits",),
        strict=False,
        min_length=1,
        description="Data sets to prepare. digits and encoded_digits need no network; "
        "fashion_mnist needs none where Debian's package dataset-fashion-mnist is installed. "
        "ImageNet's are made from manual_files and never downloaded.",
    )
    fashion_mnist_files: str = Field(
        default="/usr/share/datasets/fashion-mnist",
        min_length=1,
        description="Where that package puts its files.",
    )
    manual_files: str = Field(
        default="~/tensorflow_datasets/downloads/manual",
        min_length=1,
        description="Folder with the files that have to be fetched by hand, as TFDS's manual_dir: "
        "for imagenet2012 ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar.",
    )
    damaged_images: Literal["refuse", "leave_out"] = Field(
        default="refuse",
        description="What to do if an image of ImageNet cannot be decoded; it is named either way.",
    )


class EnsembleConf(StageConf):
    """Which problems to meta-train on."""

    entries: str = Field(
        default="conf/ensembles/quick.yaml",
        min_length=1,
        description="YAML file of the ensemble's entries, as a path from the repository's root.",
    )
    seed: Seed = Field(default=0, description="Seed with which the entries are drawn.")

    def with_seed(self, seed: int) -> "EnsembleConf":
        """Return the conf of other draws of the same entries."""
        return self.model_copy(update={"seed": seed})


class MetaTrainingConf(StageConf):
    """How to meta-train."""

    architecture: str = Field(
        default="HierarchicalRNN", min_length=1, description="A class of lopt.architectures."
    )
    preset: str = Field(
        default="release",
        min_length=1,
        description="Settings of the architecture: release (its published code's) for all of "
        "them, others by architecture, such as paper for HierarchicalRNN.",
    )
    architecture_options: dict[str, Any] = Field(
        default={},
        description="Arguments of the architecture that are to be other than the preset's, by "
        "name, such as {attention: false}.",
    )
    seed: Seed = Field(
        default=0, description="Seed of the first meta-params and of all that is drawn later."
    )
    initial_release: str = Field(
        default="",
        json_schema_extra=INITIAL_RELEASE.schema(),
        description="Release whose meta-params meta-training begins with: a folder, or a URI of "
        "MLflow such as models:/learned-optimizer/3. Empty: they are drawn with the seed.",
    )
    meta_steps: int = Field(default=1000, ge=1, le=10_000_000, description="Meta-steps in all.")
    segment_meta_steps: int = Field(
        default=100,
        ge=1,
        le=100_000,
        description="Meta-steps between checkpoints: the most that a fault costs.",
    )
    meta_learning_rate: float = Field(
        default=3e-3, gt=0, le=1, description="Highest learning rate of Adam on the meta-params."
    )
    warmup_meta_steps: int = Field(
        default=20,
        ge=0,
        le=100_000,
        description="Meta-steps in which the meta-learning rate rises; it falls till the end.",
    )
    clip_norm: float = Field(
        default=1.0, gt=0, le=1e6, description="Global norm to which the meta-gradient is clipped."
    )
    estimator: str = Field(
        default="TruncatedBackprop",
        min_length=1,
        description="How the meta-gradient is estimated: a class of lopt.meta_gradients.",
    )
    problem_clip_norm: float = Field(
        default=1.0,
        gt=0,
        le=1e6,
        description="Norm to which the part of each single problem is clipped; backpropagation.",
    )
    second_derivatives: bool = Field(
        default=True,
        description="Whether to differentiate the problems' gradients as well; backpropagation.",
    )
    rematerialise: bool = Field(
        default=False,
        description="Compute the steps of an unroll again instead of keeping them, which takes "
        "less memory and more time; backpropagation.",
    )
    deviation: float = Field(
        default=0.01,
        gt=0,
        le=10,
        description="Standard deviation of the meta-params' perturbations; evolution strategies.",
    )
    imitation_weight: float = Field(
        default=0.0,
        ge=0,
        le=1e6,
        description="How much of the gradient of differing from a teacher's updates, on "
        "trajectories that the teacher drives, is added to the estimator's; 0 for none.",
    )
    teacher: str = Field(
        default="adam",
        min_length=1,
        description="The optimizer that is imitated: adam, momentum (0.9), rmsprop or sgd.",
    )
    teacher_learning_rate: float = Field(
        default=0.01, gt=0, le=1e3, description="The teacher's learning rate."
    )
    objective: str = Field(
        default="AverageLogLoss",
        min_length=1,
        description="What is minimised: a class of lopt.meta_objectives.",
    )
    objective_data: Literal["training", "validation"] = Field(
        default="training",
        description="Over which data of a problem the losses of the objective are. validation: "
        "images that a problem's `validation` keeps out of its minibatches; others have none, "
        "and their training data are taken.",
    )
    problems: int = Field(
        default=24, ge=1, le=100_000, description="Problems side by side for each group."
    )
    groups_per_meta_step: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="Groups of problems of one program that a meta-step works on, 0 for all; "
        "with fewer, bundles of groups take turns, each one program to compile.",
    )
    meta_steps_per_dispatch: int = Field(
        default=10,
        ge=1,
        le=10_000,
        description="Meta-steps that a program takes on its own, which is a bundle's turn and "
        "a row of metrics.",
    )
    equal_groups: bool = Field(
        default=False,
        description="Whether to divide each group's meta-gradient by a running mean of its norm.",
    )
    compile_quickly: bool = Field(
        default=True,
        description="Compile for a processor in two thirds of the time, which pays in runs of "
        "minutes: problems of more than 64 params then take up to a third longer.",
    )
    explosion_factor: float = Field(
        default=1e6,
        gt=1,
        le=1e30,
        description="A trajectory whose loss is so many times the initial one begins anew.",
    )
    unroll_steps: int = Field(
        default=20, ge=1, le=10_000, description="Inner steps between two meta-gradients."
    )
    lengths: Literal["exponential", "log_uniform"] = Field(
        default="exponential", description="Distribution of the number of unrolls of a trajectory."
    )
    shortest_unrolls: int = Field(
        default=1, ge=1, le=100_000, description="Unrolls in the shortest trajectory."
    )
    mean_extra_unrolls: float = Field(
        default=20.0, ge=0, le=1e6, description="Mean of the exponential number of unrolls more."
    )
    longest_unrolls: int = Field(
        default=60, ge=1, le=1_000_000, description="Unrolls in the longest trajectory."
    )
    growing_meta_steps: int = Field(
        default=0,
        ge=0,
        le=10_000_000,
        description="Meta-steps in which the longest trajectory grows from shortest_unrolls to "
        "longest_unrolls, 0 for none.",
    )
    validation_seed: Seed = Field(
        default=2_000_000,
        description="Seed with which the ensemble's entries are drawn for validation; not the "
        "ensemble's, and not evaluation.held_out_seed.",
    )
    validation_meta_steps: int = Field(
        default=5,
        ge=1,
        le=10_000,
        description="Meta-steps without learning after each segment, on held-out draws; the best "
        "of these losses says which checkpoint the release is made of.",
    )
    rollback_rise: float = Field(
        default=1.0,
        gt=0,
        le=1e6,
        description="How far the validation loss may lie above the best before the run goes back "
        "to the checkpoint with the best, with half the meta-learning rate.",
    )
    rollbacks: int = Field(
        default=3, ge=0, le=100, description="How often at most; then the run has failed."
    )
    devices: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None,
        description="Devices to divide the problems among, those of all processes together; has "
        "to divide `problems`. null: all GPUs, or else a processor's cores, up to 8 a process, as "
        "many as divide `problems`.",
    )
    memory_fraction: float = Field(
        default=0.75,
        gt=0,
        le=1,
        description="Part of a GPU's memory that JAX may take; a CPU's is not limited.",
    )
    when_finished: Literal["next_seed", "reuse"] = Field(
        default="next_seed",
        description="When a run of this very conf is finished already: train with the next "
        "seed, or take its release. An unfinished run goes on in either case.",
    )


class EvaluationConf(StageConf):
    """How to compare a release with hand-made optimizers."""

    seed: Seed = Field(default=0, description="Seed of all draws, the same for all optimizers.")
    seeds: int = Field(
        default=8,
        ge=2,
        le=10_000,
        description="Trajectories on each target: draws, initial params and minibatches.",
    )
    held_out_seed: Seed = Field(
        default=1_000_000,
        description="Seed with which the ensemble's entries are drawn anew; not the ensemble's.",
    )
    targets: tuple[str, ...] = Field(
        default=("held_out", "digits/mlp", "digits/convnet"),
        strict=False,
        min_length=1,
        description="What to evaluate on, by name; held_out is all groups of the ensemble, drawn "
        "anew. On initial_rates/NAME all optimizers begin at all rates from 1e-6 to 1e-1.",
    )
    held_out_steps: int = Field(
        default=300, ge=1, le=10_000_000, description="Inner steps on draws of the ensemble."
    )
    network_steps: int = Field(
        default=500, ge=1, le=10_000_000, description="Inner steps on networks."
    )
    record_every: int = Field(
        default=10,
        ge=1,
        le=100_000,
        description="Inner steps between recorded losses; has to divide both numbers of steps.",
    )
    learning_rates: tuple[Rate, ...] = Field(
        default=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
        strict=False,
        min_length=1,
        description="Learning rates that every baseline is tried at.",
    )
    baselines: tuple[str, ...] = Field(
        default=("SGD+momentum", "RMSProp", "Adam"),
        strict=False,
        min_length=1,
        description="What to compare with, by name: docs/baselines.md lists all there are, "
        "conf/all_baselines.yaml takes them all.",
    )
    compare_seconds: bool = Field(
        default=False,
        description="Whether each optimizer is timed with one learning rate, too, so that seconds "
        "can be compared: it is compiled once more for that on every target.",
    )
    task_runner: Literal["threads", "dask"] = Field(
        default="threads",
        description="Where cells (an optimizer on a target each) are computed: in threads of this "
        "process or in the processes of a Dask cluster.",
    )
    max_workers: int = Field(
        default=2,
        ge=1,
        le=256,
        description="Cells side by side, in as many threads or processes of a local cluster. On a "
        "GPU 1 is best.",
    )
    dask_address: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="Scheduler of a Dask cluster whose workers see the same LOPT_HOME, such as "
        "tcp://10.0.0.1:8786. null: a cluster of this machine's processes while it is needed.",
    )
    stream_processes: int = Field(
        default=0,
        ge=0,
        le=256,
        description="Processes that decode each seed's images of targets such as "
        "imagenet2012@224/resnet50. 0: threads of this one, enough for some 2,000 images a second.",
    )
    checkpoint_seconds: float = Field(
        default=60.0,
        gt=0,
        le=86_400,
        description="Seconds of a cell's work between checkpoints, the most that a fault costs; "
        "a shorter cell writes none.",
    )

    def decisive(self) -> str:
        """Return, as JSON, the values that decide what comes out, and not where or how fast."""
        where = {
            "task_runner",
            "max_workers",
            "dask_address",
            "stream_processes",
            "checkpoint_seconds",
        }
        return json.dumps(self.model_dump(mode="json", exclude=where), sort_keys=True)


class FigureConf(StageConf):
    """Which of the paper's figures to draw, and of what.

    What is trained for it and on what it is evaluated is said by the other sections.
    """

    number: Literal[2, 3, 4, 5, 6, 7] = Field(
        default=3,
        description="Number in the paper: 2 earlier learned optimizers on new networks, 3 problems "
        "of the corpus, 4 new problem types, 5 initial learning rates, 6 ablations, 7 seconds.",
    )
    title: str = Field(default="", max_length=200, description="What stands above the figure.")
    panels: dict[str, str] = Field(
        default={},
        description="Words above the panels of single targets, by the target's name.",
    )
    with_release: bool = Field(
        default=True, description='Whether the release is in it, under the name "learned".'
    )
    variants: dict[str, dict[str, Any]] = Field(
        default={},
        description="Optimizers that are meta-trained for the figure, by name: the keys of "
        "meta_training that are other than there. In figure 6 the first is the full rule.",
    )
    only: tuple[str, ...] = Field(
        default=(), strict=False, description="Which of the variants, by name; empty for all."
    )
    rates: dict[str, Rate] = Field(
        default={},
        description="Learning rates of single baselines, by name; the others are tried at "
        "evaluation.learning_rates and drawn at the best one for all targets together.",
    )
    initial_rates: tuple[Rate, ...] = Field(
        default=(1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1),
        strict=False,
        min_length=2,
        description="Figure 5: learning rates that every optimizer begins at.",
    )
    batch_sizes: tuple[Annotated[int, Field(ge=1, le=1_000_000)], ...] = Field(
        default=(1, 4, 16, 64, 256, 1024),
        strict=False,
        min_length=1,
        description="Figure 7: images in a minibatch.",
    )
    rounds: int = Field(
        default=15,
        ge=2,
        le=10_000,
        description="Figure 7: in how many rounds each optimizer has its turn.",
    )
    reading_seconds: float = Field(
        default=0.1,
        gt=0,
        le=600,
        description="Figure 7: seconds of steps of which a reading is the mean.",
    )
    reference: str = Field(
        default="Adam",
        min_length=1,
        description="Figure 7: the optimizer of whose seconds the others' are multiples.",
    )


class PublicationConf(StageConf):
    """The model in MLflow's registry, and which of its aliases is moved."""

    model_name: str = Field(
        default="learned-optimizer",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        max_length=200,
        json_schema_extra={WORDS: "letters, digits, '_', '.' and '-', first a letter or a digit"},
        description="Name in MLflow's model registry.",
    )
    alias: str = Field(
        default="champion",
        pattern=r"^[a-z][a-z0-9_-]*$",
        max_length=200,
        json_schema_extra={WORDS: "small letters, digits, '_' and '-', first a letter"},
        description="Alias that is moved: to the version that is published or promoted, or back.",
    )


class GateConf(StageConf):
    """What a challenger has to show before it may take the champion's place."""

    tolerance: float = Field(
        default=0.1,
        ge=0,
        le=10,
        description="By how much the challenger's area may be higher than the champion's on a "
        "single target, in decades of loss; over all targets it has to be lower beyond the "
        "interval, and no more trajectories may diverge.",
    )
    comparisons: int = Field(
        default=3,
        ge=1,
        le=100,
        description="How often a night or challenge_champion compares a challenger at most, where "
        "others become champion meanwhile; then it stays a challenger. promote_release compares "
        "once.",
    )


class NightConf(StageConf):
    """What a night of retraining does."""

    begin_with: Literal["champion", "new"] = Field(
        default="champion",
        description="Meta-params to begin with: the champion's, or new ones.",
    )
    latest_hours: float = Field(
        default=12.0,
        gt=0,
        le=8760,
        description="A night that has not begun so long after its time is left out: the machine "
        "was off, and the next one is soon.",
    )


class RetentionConf(StageConf):
    """How long what no version needs is kept."""

    checkpoint_days: float = Field(
        default=14.0,
        ge=0,
        le=36_500,
        description="Days for which the checkpoints of a finished meta-training are kept, "
        "published or not; those of a version with an alias always are.",
    )
    artifact_days: float = Field(
        default=60.0,
        ge=0,
        le=36_500,
        description="Days for which releases, reports, cells, logged models and files of runs in "
        "MLflow that belong to no version are kept, meta-trainings that were never finished, "
        "drawn ensembles and locks of nights.",
    )


class Conf(StageConf):
    """A file of conf/: one section a stage, all of them optional."""

    datasets: DatasetsConf = DatasetsConf()
    ensemble: EnsembleConf = EnsembleConf()
    meta_training: MetaTrainingConf = MetaTrainingConf()
    evaluation: EvaluationConf = EvaluationConf()
    publication: PublicationConf = PublicationConf()
    figure: FigureConf = FigureConf()
    gate: GateConf = GateConf()
    night: NightConf = NightConf()
    retention: RetentionConf = RetentionConf()


DEFAULTS = Conf()
