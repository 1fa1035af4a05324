"""One of ten that write at once: `python -m tests.e2e.writer NUMBER`, told to begin by a line.

It writes by the same functions as the flows do: a run with params, metrics and files, a model, a
version of it, and the alias.
"""

import os
import sys
from pathlib import Path

from tasks import promotion, publication, settings, tracking
from tasks.confs import DEFAULTS
from tasks.references import ReleaseReference

STEPS, BATCH, METRICS = 200, 10, 5
FILES = 3
NAME = "writer"


def value(number: int, step: int, metric: int) -> float:
    """Return what a writer logs: no two points are the same."""
    return float(number * 1_000_000 + step * 100 + metric)


def rows(number: int, first: int) -> list[tuple[int, dict[str, float]]]:
    steps = range(first, first + BATCH)
    named = {f"level/{metric}": metric for metric in range(METRICS)}
    return [
        (step, {name: value(number, step, metric) for name, metric in named.items()})
        for step in steps
    ]


def text(number: int, file: int) -> str:
    return f"{file} of {number}\n" * 1000


def release_of(number: int) -> ReleaseReference:
    """Make a release that no other writer has."""
    import jax

    from lopt import release
    from lopt.architectures import LearnedAdam
    from lopt.provenance import Provenance

    provenance = Provenance(lopt_version="0.1.0", ensemble_digest=f"{number:064x}")
    optimizer = LearnedAdam.release(key=jax.random.key(number)).with_provenance(provenance)
    directory = release.save(optimizer, settings.home() / "written" / str(number) / "release")
    return ReleaseReference(directory=str(directory), digest=release.digest(directory))


def write(number: int, release: ReleaseReference) -> None:
    folder = Path(release.directory).parent
    with tracking.tracked(NAME, {"publication": DEFAULTS.publication}) as mlflow_run_id:
        tracking.set_tags(mlflow_run_id, {NAME: number})
        logged = tracking.LoggedRows(mlflow_run_id, "level/0")
        for first in range(0, STEPS, BATCH):
            logged.log(rows(number, first))
        for file in range(FILES):
            path = folder / f"{file}.txt"
            path.write_text(text(number, file))
            tracking.log_files(mlflow_run_id, [path], "texts")
        version = publication.register_release.fn(
            DEFAULTS.publication, release, publication.NO_REPORT, mlflow_run_id
        )
        promotion.take(version)


def main() -> None:
    number = int(sys.argv[1])
    for name, said in settings.defaults().items():
        os.environ.setdefault(name, said)
    release = release_of(number)
    # What takes a core and not the database comes before: they are to meet.
    tracking.experiment_id()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    write(number, release)


if __name__ == "__main__":
    main()
