"""What a conf's values name has to exist: checked with the conf, before anything runs."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks import (
    accelerators,
    architecture_options,
    figure_checks,
    initial_optimizers,
    processes,
    settings,
)
from tasks.conf_errors import ConfError
from tasks.confs import (
    Conf,
    DatasetsConf,
    EvaluationConf,
    MetaTrainingConf,
    PublicationConf,
    StageConf,
)
from tasks.promotion import CHALLENGER
from tasks.variants import key_of, variants


def check(conf: Conf, sections: Sequence[str]) -> None:
    """Raise `ConfError` if what the sections name is not there or does not fit."""
    lines = mistakes(conf, sections)
    if "meta_training" in sections:
        # First, for drawing problems looks for devices, and then it is too late to make them.
        lines += accelerators.refusal(conf.meta_training)
        if not lines:
            lines += initial_optimizers.refusal(conf.meta_training)
    if "ensemble" in sections:
        lines += _entries(conf, sections)
    if "ensemble" in sections and "datasets" in sections:
        lines += _data_sets(conf)
    if lines:
        raise ConfError(lines)


def mistakes(conf: Conf, sections: Sequence[str]) -> list[str]:
    """Return what is wrong with the values themselves, before any device is looked for."""
    lines: list[str] = []
    if "meta_training" in sections:
        lines += _architecture(conf.meta_training)
        lines += _warmup(conf.meta_training)
        lines += _lengths(conf.meta_training)
        lines += _classes(conf.meta_training)
        lines += _imitation(conf.meta_training)
        lines += _held_out_seeds(conf, sections)
    if "datasets" in sections:
        lines += _manual_files(conf.datasets)
    if "evaluation" in sections:
        lines += _records(conf.evaluation)
        lines += _rates(conf.evaluation)
        lines += _names(conf.evaluation)
        lines += _cluster(conf.evaluation)
        lines += _images(conf, sections)
    if "evaluation" in sections and conf.evaluation.held_out_seed == conf.ensemble.seed:
        lines.append(
            f"evaluation.held_out_seed: {conf.evaluation.held_out_seed} is not allowed; "
            "allowed: any other than ensemble.seed, or nothing would be held out"
        )
    if "figure" in sections:
        lines += _figure(conf)
    if "publication" in sections:
        lines += _alias(conf.publication)
    return lines


def check_given(confs: Mapping[str, StageConf]) -> None:
    """Check what a flow was given, by section: not every flow is started from a command line.

    Raises `ConfError`.
    """
    if "meta_training" in confs:
        processes.refuse_elsewhere()
    check(Conf(**confs), list(confs))


def _architecture(conf: MetaTrainingConf) -> list[str]:
    import lopt.architectures
    from lopt.architectures import LearnedOptimizer
    from lopt.catalogue import concrete_classes

    base: Any = LearnedOptimizer
    known = concrete_classes(lopt.architectures, base)
    key = f"meta_training.architecture: {conf.architecture!r} is not allowed"
    if conf.architecture not in known:
        return [f"{key}; allowed: one of {', '.join(known)}"]
    presets = known[conf.architecture].presets
    if conf.preset not in presets:
        return [
            f"meta_training.preset: {conf.preset!r} is not allowed; "
            f"allowed: one of {', '.join(presets)}, which {conf.architecture} has"
        ]
    return architecture_options.refusals(conf, known[conf.architecture])


def _classes(conf: MetaTrainingConf) -> list[str]:
    import lopt.meta_gradients
    import lopt.meta_objectives
    from lopt.catalogue import concrete_classes

    lines = []
    for key, package, base in (
        ("estimator", lopt.meta_gradients, lopt.meta_gradients.MetaGradient),
        ("objective", lopt.meta_objectives, lopt.meta_objectives.MetaObjective),
    ):
        known = concrete_classes(package, base)
        if getattr(conf, key) not in known:
            lines.append(
                f"meta_training.{key}: {getattr(conf, key)!r} is not allowed; "
                f"allowed: one of {', '.join(known)}"
            )
    return lines


def _imitation(conf: MetaTrainingConf) -> list[str]:
    from lopt.meta_gradients.teachers import TEACHERS

    lines = []
    if conf.estimator == "Imitation":
        lines.append(
            "meta_training.estimator: 'Imitation' is not allowed; allowed: what it is to go "
            "beside, such as TruncatedBackprop, with an imitation_weight above 0"
        )
    if conf.teacher not in TEACHERS:
        lines.append(
            f"meta_training.teacher: {conf.teacher!r} is not allowed; "
            f"allowed: one of {', '.join(TEACHERS)}"
        )
    return lines


def _held_out_seeds(conf: Conf, sections: Sequence[str]) -> list[str]:
    taken = {conf.ensemble.seed: "ensemble.seed"}
    if "evaluation" in sections:
        taken[conf.evaluation.held_out_seed] = "evaluation.held_out_seed"
    seed = conf.meta_training.validation_seed
    if seed not in taken:
        return []
    return [
        f"meta_training.validation_seed: {seed} is not allowed; "
        f"allowed: any other than {taken[seed]}, for validation is to be on draws of its own"
    ]


def _warmup(conf: MetaTrainingConf) -> list[str]:
    if conf.warmup_meta_steps < conf.meta_steps:
        return []
    return [
        f"meta_training.warmup_meta_steps: {conf.warmup_meta_steps} is not allowed; "
        f"allowed: fewer than meta_steps = {conf.meta_steps}"
    ]


def _lengths(conf: MetaTrainingConf) -> list[str]:
    found = []
    if conf.shortest_unrolls > conf.longest_unrolls:
        found.append(
            f"meta_training.shortest_unrolls: {conf.shortest_unrolls} is not allowed; "
            f"allowed: at most longest_unrolls = {conf.longest_unrolls}"
        )
    # Inner steps are counted in 32 bits.
    most = (2**31 - 1) // conf.unroll_steps
    if conf.longest_unrolls > most:
        found.append(
            f"meta_training.longest_unrolls: {conf.longest_unrolls} is not allowed; "
            f"allowed: at most {most} with unroll_steps = {conf.unroll_steps}"
        )
    return found


def _records(conf: EvaluationConf) -> list[str]:
    return [
        f"evaluation.record_every: {conf.record_every} is not allowed; "
        f"allowed: a divisor of {name} = {steps}"
        for name, steps in (
            ("held_out_steps", conf.held_out_steps),
            ("network_steps", conf.network_steps),
        )
        if steps % conf.record_every
    ]


def _rates(conf: EvaluationConf) -> list[str]:
    rates = conf.learning_rates
    return [
        f"evaluation.learning_rates: {rate} is there more than once; allowed: each once"
        for rate in dict.fromkeys(rates)
        if rates.count(rate) > 1
    ]


def _names(conf: EvaluationConf) -> list[str]:
    from lopt.evaluation import BASELINES
    from tasks.evaluation_targets import refusals

    unknown = [name for name in dict.fromkeys(conf.baselines) if name not in BASELINES]
    return [
        *(
            f"evaluation.baselines: {name!r} is not allowed; allowed: of {', '.join(BASELINES)}"
            for name in unknown
        ),
        *_repeated("baselines", conf.baselines),
        *(f"evaluation.targets: {refusal}" for refusal in refusals(conf)),
        *_repeated("targets", conf.targets),
    ]


def _repeated(key: str, names: Sequence[str]) -> list[str]:
    return [
        f"evaluation.{key}: {name!r} is there more than once; allowed: each once"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]


def _cluster(conf: EvaluationConf) -> list[str]:
    if conf.dask_address is None or conf.task_runner == "dask":
        return []
    return [
        f"evaluation.dask_address: {conf.dask_address!r} is not allowed; "
        "allowed: only with task_runner = dask"
    ]


def _manual_files(conf: DatasetsConf) -> list[str]:
    return [
        f"datasets.manual_files: {conf.manual_files!r} is not allowed; "
        f"allowed: a folder with all that datasets.names needs. {lacking}"
        for lacking in _lacking(conf.names, conf.manual_files).values()
    ]


def _images(conf: Conf, sections: Sequence[str]) -> list[str]:
    """Refuse to evaluate on images that are neither prepared nor can be."""
    from tasks.evaluation_targets import data_sets_of

    prepared = conf.datasets.names if "datasets" in sections else ()
    names = [name for name in data_sets_of(conf.evaluation) if name not in prepared]
    return [
        f"evaluation.targets: those on {name} are not allowed; allowed: on what is prepared. "
        f"`python -m flows.prepare_datasets --set names=[{name}] --set manual_files=DIR` does "
        f"that. {lacking}"
        for name, lacking in _lacking(names, conf.datasets.manual_files).items()
    ]


def _lacking(names: Sequence[str], manual_files: str) -> dict[str, str]:
    """Look for files that nobody can download, unless what they are for is prepared already."""
    from lopt.datasets import NotPreparedError
    from lopt.datasets.streams import IMAGE_SOURCES, images_directory, missing_files

    lacking = {}
    for name in dict.fromkeys(names):
        if name not in IMAGE_SOURCES:
            continue
        try:
            images_directory(name, settings.datasets_root())
        except NotPreparedError:
            missing = missing_files(IMAGE_SOURCES[name], Path(manual_files).expanduser())
            if missing:
                lacking[name] = missing
    return lacking


def _figure(conf: Conf) -> list[str]:
    """Look at the figure itself, and at each meta-training that it asks for."""
    lines = figure_checks.refusals(conf.figure, conf.evaluation)
    try:
        of_variants = variants(conf.figure, conf.meta_training)
    except ConfError as error:
        return [*lines, *error.lines]
    base = set(mistakes(conf, ["meta_training"]))
    for name, variant in of_variants.items():
        of_one = mistakes(conf.model_copy(update={"meta_training": variant}), ["meta_training"])
        # What is wrong with all of them is said once.
        lines += [
            line.replace("meta_training", key_of(name), 1) for line in of_one if line not in base
        ]
    return lines


def _alias(conf: PublicationConf) -> list[str]:
    # MLflow keeps these for itself, and would say so only after the meta-training.
    if re.fullmatch(r"latest|v\d+", conf.alias):
        return [
            f"publication.alias: {conf.alias!r} is not allowed; "
            "allowed: any other than latest and v1, v2, ..., which mean versions to MLflow"
        ]
    if conf.alias == CHALLENGER:
        return [
            f"publication.alias: {conf.alias!r} is not allowed; allowed: any other, for this one "
            "is that of whoever is compared with the champion"
        ]
    return []


def _entries(conf: Conf, sections: Sequence[str]) -> list[str]:
    """Draw the entries with all seeds that they will be drawn with: one may be refused alone."""
    from lopt.ensembles import draw_ensemble
    from lopt.problems.named_data_sets import named_data_sets
    from tasks.ensemble_data import stand_ins
    from tasks.ensembles import read_entries

    words = ""
    try:
        entries = read_entries(conf.ensemble)
        data_sets = stand_ins() if named_data_sets(entries) else {}
        draw_ensemble(entries, conf.ensemble.seed, data_sets)
        for key, seed in _other_seeds(conf, sections).items():
            words = f"with {key} = {seed}: "
            draw_ensemble(entries, seed, data_sets)
    except ValueError as error:
        return [f"ensemble.entries: {conf.ensemble.entries!r} is not allowed; {words}{error}"]
    return []


def _other_seeds(conf: Conf, sections: Sequence[str]) -> dict[str, int]:
    """Return the seeds beside the ensemble's own, by the keys that they are of."""
    seeds = {
        "meta_training": ("validation_seed", conf.meta_training.validation_seed),
        "evaluation": ("held_out_seed", conf.evaluation.held_out_seed),
    }
    return {f"{name}.{key}": seed for name, (key, seed) in seeds.items() if name in sections}


def _data_sets(conf: Conf) -> list[str]:
    """Look for data sets that the ensemble's problems are made of and nobody prepares."""
    from lopt.datasets import SOURCES
    from lopt.problems.named_data_sets import named_data_sets
    from tasks.ensembles import read_entries

    try:
        named = named_data_sets(read_entries(conf.ensemble))
    except ValueError:
        return []  # which _entries says
    prepared = conf.datasets.names
    missing = [name for name in named if name in SOURCES and name not in prepared]
    if not missing:
        return []
    return [
        f"datasets.names: {', '.join(prepared)} is not allowed; allowed: with "
        f"{' and '.join(missing)}, of which {conf.ensemble.entries} makes problems"
    ]
