"""What a cycle costs beside meta-training and evaluation, stage by stage, with the servers up.

    python -m benchmarks.cycle_cost
    python -m benchmarks.cycle_cost --conf conf/quick.yaml --home FOLDER

It starts the servers of a home (of one that is removed afterwards, by default), runs the command
`python -m flows.full_cycle` with them, and asks Prefect's API when each flow run and each of its
steps began and ended. Nothing is timed that is not recorded of every run.

Of a stage, what its steps take is either the work itself (meta-steps, cells), or telling MLflow of
it (steps whose names begin with log, and send-rows), or the rest; what lies between steps is
Prefect's orchestration and what is told to MLflow outside of them. Meta-steps include what
segments log, and compiling.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from tests.e2e.operators import Operator, free_port

LIMIT_SECONDS = 60
WORK = {"meta_train_segment", "evaluate_cell"}
"""Functions whose time is meta-training or evaluation proper."""
TRACKING = ("log_", "send_")
Interval = tuple[float, float]


class Stage(NamedTuple):
    """Seconds of a stage by what they went into."""

    name: str
    work: float
    steps: float
    tracking: float
    between: float

    @property
    def beside(self) -> float:
        """All but the work."""
        return self.steps + self.tracking + self.between


def main() -> None:
    """Run a cycle and print the table; the exit status is 1 if it costs more than it may."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--conf", type=Path, default=Path("conf/tiny.yaml"))
    parser.add_argument("--home", type=Path, help="a home that is to be kept")
    options = parser.parse_args()
    with ExitStack() as kept:
        home = options.home or kept.enter_context(tempfile.TemporaryDirectory(prefix="lopt-"))
        operator = Operator(Path(home).absolute(), free_port(), free_port())
        kept.callback(operator.down)
        # Compiled as for a real one.
        run = operator.command("up", JAX_DISABLE_MOST_OPTIMIZATIONS="false")
        if run.returncode:
            sys.exit(run.stderr)
        stages = measured(operator, options.conf)
    sys.stdout.write(table(stages))
    sys.exit(sum(stage.beside for stage in stages) > LIMIT_SECONDS)


def measured(operator: Operator, conf: Path) -> list[Stage]:
    """Run a cycle from a shell, with the servers of the operator, and return its stages."""
    environment = {**os.environ, "LOPT_HOME": str(operator.home)}
    importing = _seconds([sys.executable, "-c", "import flows.full_cycle"], environment)
    begun = time.time()
    _seconds([sys.executable, "-m", "flows.full_cycle", "--conf", str(conf)], environment)
    ended = time.time()
    (cycle,) = operator.ask("flow_runs/filter", flows={"name": {"any_": ["full-cycle"]}})
    children = operator.ask(
        "flow_runs/filter",
        flow_runs={"parent_flow_run_id": {"any_": [cycle["id"]]}},
        sort="START_TIME_ASC",
    )
    first, last = _interval(cycle)
    parts = [_stage(operator, child) for child in children]
    inside = covered(_interval(child) for child in children)
    return [
        Stage("process and imports", 0, 0, 0, importing),
        Stage("conf checks, first connection", 0, 0, 0, first - begun - importing),
        *parts,
        Stage("between stages", 0, 0, 0, last - first - inside),
        Stage("end of the process", 0, 0, 0, ended - last),
    ]


def covered(intervals: Iterable[Interval]) -> float:
    """Return how long at least one of the intervals lasts.

    **Example**

    ```python
    covered([(0.0, 2.0), (1.0, 3.0), (5.0, 6.0)])  # 4.0
    ```
    """
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(intervals):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def divided(name: str, whole: Interval, steps: Sequence[tuple[str, Interval]]) -> Stage:
    """Divide the time of a stage by its steps, each the name of a function and when it ran."""
    work = covered(one for step, one in steps if step in WORK)
    tracking = covered(one for step, one in steps if step.startswith(TRACKING))
    inside = covered(one for _, one in steps)
    return Stage(name, work, inside - work - tracking, tracking, whole[1] - whole[0] - inside)


def table(stages: Sequence[Stage]) -> str:
    """Return the stages as lines, with their sums."""
    heads = ("work", "steps", "tracking", "between", "beside")
    lines = [f"{'seconds':32}" + "".join(f"{head:>10}" for head in heads)]
    for stage in [*stages, _sum(stages)]:
        values = (*stage[1:], stage.beside)
        lines.append(f"{stage.name:32}" + "".join(f"{value:10.1f}" for value in values))
    return "\n".join(lines) + f"\nbeside the work: at most {LIMIT_SECONDS} s are allowed\n"


def _sum(stages: Sequence[Stage]) -> Stage:
    numbers = [sum(stage[column] for stage in stages) for column in range(1, 5)]
    return Stage("all", *numbers)


def _stage(operator: Operator, flow_run: dict[str, Any]) -> Stage:
    only = {"flow_run_id": {"any_": [flow_run["id"]]}}
    runs = operator.ask("task_runs/filter", flow_runs={"id": only["flow_run_id"]})
    (flow,) = operator.ask("flows/filter", flow_runs={"id": only["flow_run_id"]})
    # Its key is the function's name and a digest.
    steps = [(run["task_key"].rpartition("-")[0], _interval(run)) for run in runs]
    return divided(flow["name"], _interval(flow_run), steps)


def _interval(run: dict[str, Any]) -> Interval:
    begin, end = (datetime.fromisoformat(run[name]) for name in ("start_time", "end_time"))
    return begin.timestamp(), end.timestamp()


def _seconds(command: Sequence[str], environment: dict[str, str]) -> float:
    begun = time.perf_counter()
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if run.returncode:
        sys.exit(f"{' '.join(command)}:\n{run.stdout}\n{run.stderr}")
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
