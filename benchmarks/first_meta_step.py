"""Seconds from a command to its first meta-steps, on one core: cold, and with programs on disk.

    python -m benchmarks.first_meta_step
    python -m benchmarks.first_meta_step --runs "--conf conf/release.yaml" --cores 2

Each run is `python -m flows.meta_train` in a home of its own, ended when the first line of its
progress is there, and begun once more in the same home as a night after it is: with another seed
and meta-learning rate, so that nothing but the compiled programs (JAX's cache on disk) is there
from before.
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRESS = "  meta-training "
RUNS = ("--conf conf/quick.yaml", "--conf conf/release.yaml")


def seconds_to_first(options: str, home: Path, seed: int) -> float:
    """Return how long it takes until the first meta-steps are said to be done."""
    command = [sys.executable, "-m", "flows.meta_train", *shlex.split(options)]
    command += ["--set", f"meta_training.seed={seed}"]
    command += ["--set", f"meta_learning_rate={3e-3 / (1 + seed)}"]
    environment = os.environ | {"LOPT_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    begun = time.perf_counter()
    with (home / f"log-{seed}.txt").open("w") as log:
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith(PROGRESS):
                    return time.perf_counter() - begun
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate()
    raise RuntimeError(f"{shlex.join(command)} ended without a meta-step: {(home / log.name)}")


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_meta_step")
    parser.add_argument("--runs", nargs="+", default=RUNS, help="options of flows.meta_train")
    parser.add_argument("--cores", type=int, default=1)
    asked = parser.parse_args()
    # What is started inherits it.
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: asked.cores]))
    for options in asked.runs:
        with tempfile.TemporaryDirectory(prefix="lopt-") as home:
            for seed, caches in enumerate(("cold", "warm")):
                seconds = seconds_to_first(options, Path(home), seed)
                sys.stdout.write(f"{options}: {caches} {seconds:.0f} s\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
