"""The targets of an evaluation, by the names that a conf gives them."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.confs import EvaluationConf
from tasks.ensembles import groups_of
from tasks.references import DataSetReference, EnsembleReference, Reference

if TYPE_CHECKING:
    from lopt.evaluation import Target

HELD_OUT = "held_out"
"""All groups of the ensemble, each a target."""


class TargetReference(Reference):
    """A target by its name, and what it is made of."""

    name: str
    steps: int
    record_every: int
    ensemble: EnsembleReference | None = None
    data_set: DataSetReference | None = None
    processes: int = 0
    """That decode images, as fast as they can and always the same."""

    @property
    def facts(self) -> dict[str, Any]:
        """What decides the target, and nothing of where that lies."""
        made_of = {
            "ensemble": self.ensemble and self.ensemble.digest,
            "data_set": self.data_set and self.data_set.digest,
        }
        steps = {"steps": self.steps, "record_every": self.record_every}
        return {"name": self.name, **steps, **made_of}

    @property
    def sources(self) -> dict[str, str]:
        """Digests of what the target is made of, by what that is called."""
        sources = {}
        if self.ensemble is not None:
            sources["held_out_ensemble"] = self.ensemble.digest
        if self.data_set is not None:
            sources[self.data_set.name] = self.data_set.digest
        return sources


def refusals(conf: EvaluationConf) -> list[str]:
    """Say what is wrong with each name of a target that the conf gives, before any work."""
    from lopt.datasets import SOURCES
    from lopt.datasets.streams import IMAGE_SOURCES
    from lopt.evaluation.named_targets import networks_by_name, problems_by_name
    from lopt.evaluation.robustness import FROM_ALL_RATES, is_from_all_rates, trained_on

    networks, problems = networks_by_name(), problems_by_name()
    lines = []
    if all(map(is_from_all_rates, conf.targets)):
        lines.append(
            f"{', '.join(map(repr, conf.targets))} alone is not allowed, for it enters no score; "
            f"allowed: beside another, such as {trained_on(conf.targets[0])}"
        )
    for name in dict.fromkeys(conf.targets):
        if name == HELD_OUT or trained_on(name) in problems:
            continue
        shape, network = _shape(name), networks.get(_network(name))
        if shape is None or network is None:
            allowed = (
                f"{HELD_OUT}, {', '.join(problems)}, or <data set>/<network> with a data set of "
                f"{', '.join(SOURCES)}, or such as {next(iter(IMAGE_SOURCES))}@32 of "
                f"{', '.join(IMAGE_SOURCES)}, and a network of {', '.join(networks)}; before all "
                f"but {HELD_OUT} may stand {FROM_ALL_RATES}"
            )
            lines.append(f"{name!r} is not allowed; allowed: {allowed}")
        elif refusal := network.refusal(shape):
            lines.append(f"{name!r} is not allowed; allowed: other images, for it {refusal}")
    return lines


def data_sets_of(conf: EvaluationConf) -> tuple[str, ...]:
    """Return the names of the data sets that the targets of the conf need."""
    from lopt.evaluation.named_targets import problems_by_name
    from lopt.evaluation.robustness import trained_on

    without = (HELD_OUT, *problems_by_name())
    return tuple(
        dict.fromkeys(_data_set(name) for name in conf.targets if trained_on(name) not in without)
    )


def target_references(
    conf: EvaluationConf, held_out: EnsembleReference, data_sets: Sequence[DataSetReference]
) -> list[TargetReference]:
    """Return all targets of the conf, in its order."""
    by_name = {data_set.name: data_set for data_set in data_sets}
    references = []
    for name in conf.targets:
        if name == HELD_OUT:
            references += _held_out(conf, held_out)
        else:
            references.append(
                TargetReference(
                    name=name,
                    steps=conf.network_steps,
                    record_every=conf.record_every,
                    data_set=by_name.get(_data_set(name)),
                    processes=conf.stream_processes,
                )
            )
    return references


def target_of(reference: TargetReference) -> "Target":
    """Return the target as the library takes it."""
    if reference.ensemble is not None:
        return _group(reference, reference.ensemble)
    directory = reference.data_set and reference.data_set.directory
    return _named(
        reference.name, directory, reference.steps, reference.record_every, reference.processes
    )


def _group(reference: TargetReference, ensemble: EnsembleReference) -> "Target":
    from lopt.evaluation.targets.held_out import HeldOut

    family = reference.name.removeprefix(f"{HELD_OUT}/")
    (group,) = (group for group in groups_of(ensemble) if group.family == family)
    return HeldOut.of(group, reference.steps, reference.record_every)


# One for all cells of a target, and thus one copy of its images.
@functools.lru_cache(maxsize=4)
def _named(
    name: str, directory: str | None, steps: int, record_every: int, processes: int
) -> "Target":
    from lopt.datasets import open_dataset
    from lopt.datasets.streams import open_encoded
    from lopt.evaluation.image_streams import StreamName, streamed_target
    from lopt.evaluation.named_targets import networks_by_name, targets
    from lopt.evaluation.robustness import trained_on

    if directory is None:
        (target,) = targets([name], {}, steps, record_every)
    elif said := StreamName.of(trained_on(name)):
        images, network = open_encoded(Path(directory)), networks_by_name()[said.network]
        target = streamed_target(name, images, network, steps, record_every, processes=processes)
    else:
        data_sets = {_data_set(name): open_dataset(Path(directory))}
        (target,) = targets([name], data_sets, steps, record_every)
    return target


def _held_out(conf: EvaluationConf, held_out: EnsembleReference) -> list[TargetReference]:
    return [
        TargetReference(
            name=f"{HELD_OUT}/{group.family}",
            steps=conf.held_out_steps,
            record_every=conf.record_every,
            ensemble=held_out,
        )
        for group in groups_of(held_out)
    ]


def _data_set(target: str) -> str:
    """Return the name of the data set of a target: what its own name begins with."""
    from lopt.evaluation.image_streams import StreamName
    from lopt.evaluation.robustness import trained_on

    plain = trained_on(target)
    said = StreamName.of(plain)
    return said.images if said else plain.partition("/")[0]


def _network(target: str) -> str:
    """Return the name of the network of a target: what its own name ends with."""
    from lopt.evaluation.image_streams import StreamName
    from lopt.evaluation.robustness import trained_on

    plain = trained_on(target)
    said = StreamName.of(plain)
    return said.network if said else plain.partition("/")[2]


def _shape(target: str) -> tuple[int, int, int] | None:
    """Return how large a network sees the images of a target, `None` if there are none such."""
    from lopt.datasets import SOURCES
    from lopt.datasets.streams import IMAGE_SOURCES
    from lopt.evaluation.image_streams import StreamName
    from lopt.evaluation.robustness import trained_on

    if said := StreamName.of(trained_on(target)):
        return (said.pixels, said.pixels, 3) if said.images in IMAGE_SOURCES else None
    source = SOURCES.get(_data_set(target))
    return source and source.schema.image_shape
