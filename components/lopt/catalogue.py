"""Finding the classes of a package or module by walking it: adding one is adding one file."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")


def concrete_classes(package: ModuleType, base: type[T]) -> dict[str, type[T]]:
    """Map the name of every concrete public subclass of `base` defined in `package` to it.

    Raises `ValueError` if two classes of different modules have one name.

    **Example**

    ```python
    import lopt.problems
    from lopt.catalogue import concrete_classes

    sorted(concrete_classes(lopt.problems, lopt.problems.Problem))
    ```
    """
    found: dict[str, type[T]] = {}
    for module in _modules(package):
        for name, value in vars(module).items():
            if name.startswith("_") or not inspect.isclass(value) or inspect.isabstract(value):
                continue
            if not issubclass(value, base) or value.__module__ != module.__name__:
                continue
            if name in found:
                raise ValueError(
                    f"Two classes are called {name!r}: {found[name].__module__} and "
                    f"{value.__module__}. Confs and releases name classes, so rename one."
                )
            found[name] = value
    return dict(sorted(found.items()))


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    yield package
    for info in pkgutil.walk_packages(getattr(package, "__path__", ()), package.__name__ + "."):
        yield importlib.import_module(info.name)


def instances(package: ModuleType, kind: type[T]) -> Iterator[T]:
    """Yield every public constant of this kind that some module of `package` holds.

    Each once, in the order of the modules' names and of the lines in a module.

    **Example**

    ```python
    import lopt.evaluation.targets
    from lopt.evaluation.image_network import ImageNetwork

    names = [network.name for network in instances(lopt.evaluation.targets, ImageNetwork)]
    ```
    """
    seen = set[int]()
    for module in _modules(package):
        for name, value in vars(module).items():
            if isinstance(value, kind) and not name.startswith("_") and id(value) not in seen:
                seen.add(id(value))
                yield value


def find_class(package: ModuleType, base: type[T], name: str) -> type[T]:
    """Return the concrete subclass of `base` called `name`.

    Raises `KeyError` naming the classes there are.

    **Example**

    ```python
    Quadratic = find_class(lopt.problems, lopt.problems.Problem, "Quadratic")
    ```
    """
    classes = concrete_classes(package, base)
    if name not in classes:
        raise KeyError(f"Unknown {base.__name__} {name!r}; known: {', '.join(classes)}.")
    return classes[name]
