"""Targets by name, as a conf lists them; found by walking `lopt.evaluation.targets`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from lopt.catalogue import instances
from lopt.datasets import DataSet
from lopt.evaluation.drawn_problem import DrawnProblem
from lopt.evaluation.image_network import ImageNetwork
from lopt.evaluation.robustness import (
    FROM_ALL_RATES,
    is_from_all_rates,
    named_for_all_rates,
    trained_on,
)
from lopt.evaluation.target import Target

Named = TypeVar("Named", ImageNetwork, DrawnProblem)
NO_DATA_SETS: Mapping[str, DataSet] = {}


def targets(
    names: Sequence[str],
    data_sets: Mapping[str, DataSet] = NO_DATA_SETS,
    steps: int = 500,
    record_every: int = 10,
) -> tuple[Target, ...]:
    """Return the targets of these names, in their order.

    A name is that of a data set and of a network on it, "digits/mlp", or of a problem without
    one, "papers/rosenbrock". Before either may stand "initial_rates/": every optimizer begins at
    all of `INITIAL_LEARNING_RATES` there.

    Raises `ValueError` before any work for names that are unknown, for data sets that are not
    among the given ones and for images that a network cannot take: all of them at once.

    **Example**

    ```python
    digits = prepare("digits", root)
    chosen = targets(["digits/softmax", "digits/convnet"], {"digits": digits}, steps=1000)
    ```
    """
    networks, problems = networks_by_name(), problems_by_name()
    on_images = [name for name in names if trained_on(name) not in problems]
    if unknown := [name for name in on_images if _network(name) not in networks]:
        raise ValueError(
            f"There are no targets called {', '.join(unknown)}; known: {', '.join(problems)}, and "
            f"<data set>/<network> with the networks {', '.join(networks)}; before each may stand "
            f"{FROM_ALL_RATES}."
        )
    refusals = [_refusal(name, networks[_network(name)], data_sets) for name in on_images]
    if wrong := [refusal for refusal in refusals if refusal]:
        raise ValueError("\n".join(wrong))
    found = (
        problems[trained_on(name)].target(steps, record_every)
        if trained_on(name) in problems
        else networks[_network(name)].on(data_sets[_data_set(name)], steps, record_every)
        for name in names
    )
    return tuple(
        named_for_all_rates(target) if is_from_all_rates(name) else target
        for name, target in zip(names, found, strict=True)
    )


def data_sets_of(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the data sets that these targets are made of, each once.

    **Example**

    ```python
    data_sets_of(["digits/mlp", "papers/rosenbrock", "digits/convnet"])  # ("digits",)
    ```
    """
    problems = problems_by_name()
    return tuple(
        dict.fromkeys(_data_set(name) for name in names if trained_on(name) not in problems)
    )


def networks_by_name() -> dict[str, ImageNetwork]:
    """Return every network that is trained on the images of whichever data set a name says.

    Raises `ValueError` if two have one name.

    **Example**

    ```python
    list(networks_by_name())  # "convnet", "convnet-6", ...
    ```
    """
    import lopt.evaluation.targets

    return _by_name(instances(lopt.evaluation.targets, ImageNetwork))


def problems_by_name() -> dict[str, DrawnProblem]:
    """Return every problem that is a target without a data set.

    Raises `ValueError` if two have one name.

    **Example**

    ```python
    list(problems_by_name())  # "papers/quadratic", ...
    ```
    """
    import lopt.evaluation.targets

    return _by_name(instances(lopt.evaluation.targets, DrawnProblem))


def _by_name(found: Iterable[Named]) -> dict[str, Named]:
    by_name: dict[str, Named] = {}
    for named in found:
        if named.name in by_name:
            raise ValueError(
                f"Two constants in lopt.evaluation.targets are called {named.name!r}. Confs name "
                f"targets, so rename one."
            )
        by_name[named.name] = named
    return by_name


def _refusal(name: str, network: ImageNetwork, data_sets: Mapping[str, DataSet]) -> str | None:
    data_set = data_sets.get(_data_set(name))
    if data_set is None:
        return (
            f"The target {name!r} needs the data set {_data_set(name)!r}, but was given: "
            f"{', '.join(data_sets) or 'none'}. Prepare it and hand it over."
        )
    refusal = network.refusal(data_set.schema.image_shape)
    return refusal and f"The target {name!r} {refusal}. Take another data set."


def _data_set(name: str) -> str:
    return trained_on(name).partition("/")[0]


def _network(name: str) -> str:
    return trained_on(name).partition("/")[2]
