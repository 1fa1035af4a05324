"""Write docs/reference.md: every key of a conf, from the models that check confs, and every tag.

.venv/bin/python docs/make_reference.py
"""

from collections.abc import Mapping
from pathlib import Path

from tasks.conf_errors import allowed, field_schema
from tasks.conf_files import SECTIONS
from tasks.confs import Conf
from tasks.deployment_confs import read_deployments
from tasks.tags import DECLARED, OF_RUNS, OF_VERSIONS, Tag

FILE = Path(__file__).with_name("reference.md")

HEAD = """# Reference

Written by `docs/make_reference.py`; `--help` of each flow prints the same.

## Confs

A conf is a YAML file with the sections below, each of them optional. The command line takes it by
`--conf FILE`, and changes single keys by `--set section.key=value` (or `--set key=value` where the flow
has one section with that key).
"""

METRICS = """
## Metrics in MLflow

Meta-training logs a row a dispatch (`meta_steps_per_dispatch` meta-steps), at its last meta-step:
of what is counted the sum over the dispatch, of all else the mean.

| run | metric | meaning |
|---|---|---|
| generate-ensemble | `ensemble/entries/all`, `ensemble/entries/<category>` | problems of the ensemble, and those of one category |
| generate-ensemble | `ensemble/programs` | programs that meta-training has to compile |
| meta-train | `meta/loss` | mean over families, by weight, of the meta-loss of the conf's objective, each family as it was last; by default the average log loss relative to a trajectory's beginning (natural logarithm; lower is better) |
| meta-train | `meta/loss/<family>` | the same for one family, at the dispatches that worked on it |
| meta-train | `meta/gradient_norm`, `meta/gradient_clipped` | norm of the meta-gradient before `clip_norm`, and the share of meta-steps in which that clipped it |
| meta-train | `meta/gradient_error` | standard error of the meta-gradient, as a norm, from the spread over problems |
| meta-train | `meta/learning_rate` | of Adam on the meta-params, rollbacks included |
| meta-train | `meta/nonfinite`, `meta/nonfinite/<family>` | problems left out of meta-steps because their loss or gradient was not finite; they begin anew (by family only where not 0) |
| meta-train | `meta/clipped` | problems whose own gradient was longer than `problem_clip_norm` (TruncatedBackprop, ESAndBackprop) |
| meta-train | `meta/left_to_es` | problems whose backpropagated gradient was not finite, or beyond ten times `problem_clip_norm`, and that were left to evolution strategies (ESAndBackprop) |
| meta-train | `imitation/loss`, `imitation/loss/<family>` | how far the proposed updates are from the teacher's on its trajectories, mean of log(1 + squared distance / squared length): 0 for the same, 0.69 for none (with `imitation_weight`) |
| meta-train | `imitation/resets`, `imitation/exploded`, `imitation/clipped`, `imitation/nonfinite` | the same counts as for the estimator, of the teacher's trajectories; the last ones are in `meta/nonfinite`, too |
| meta-train | `validation/loss`, `validation/loss/<family>` | meta-loss on held-out draws after each segment, the same ones each time |
| meta-train | `inner/resets` | trajectories that had reached their length and began anew |
| meta-train | `inner/exploded`, `inner/exploded/<family>` | trajectories that began anew because of `explosion_factor` (by family only where not 0) |
| meta-train | `inner/steps` | inner steps, over all problems; a pair of evolution strategies takes two, a teacher one more |
| meta-train | `inner/steps_per_second` | inner steps of a dispatch, by the seconds since the one before |
| meta-train | `system/...` | what MLflow reads of the machine every 10 s: cores, memory, disk, network, and GPUs of NVIDIA |
| evaluate-release | `evaluation/area/<target>/<optimizer>/<choice>` | mean over steps and seeds of log10(loss / first loss) |
| evaluate-release | `evaluation/area/initial_rates/<target>/<optimizer>/...` | over all initial learning rates, where a target is named so: `mean_over_rates`, `worst_rate` |
| evaluate-release | `evaluation/final/...` | log10(loss / first loss) after the last step |
| evaluate-release | `evaluation/training_loss/...` | the loss after the last step, in the target's own units |
| evaluate-release | `evaluation/speed_up/...`, `evaluation/speed_up_in_seconds/...` | log2 of how many times fewer steps, or seconds, than Adam's it takes to Adam's final loss, Adam at its best rate for the target (0: as many; higher is better); whoever never reaches that is charged with all its steps for the loss it ends with |
| evaluate-release | `evaluation/difference/<target>/<optimizer>/<choice>` | area of the learned optimizer minus that of another |
| evaluate-release | `evaluation/test_accuracy/...`, `evaluation/test_loss/...`, `evaluation/training_accuracy/...` | after the last step, on test images, and on those of which the training loss is recorded |
| compare-reports | the same | `evaluation/difference/<learned>/<target>/...` for each learned optimizer |
"""

TAGS = """
## Tags

By these runs and versions are filtered: in MLflow's list of runs ``tags.`lopt.night` = '2026-11-26T02:00Z'`` finds a night,
in its list of versions ``tags.gate = 'refused'`` what the gate refused; in Prefect's list of runs a tag is chosen.
"""


def text() -> str:
    """Return the page."""
    return HEAD + "".join(map(_section, SECTIONS)) + METRICS + TAGS + _all_tags()


def _all_tags() -> str:
    return (
        _tags("Runs in MLflow", "run", OF_RUNS)
        + _tags("Versions in MLflow's registry", "version", OF_VERSIONS)
        + _tags("Runs and deployments in Prefect", "flow", _of_deployments())
    )


def _tags(title: str, column: str, table: Mapping[str, Tag]) -> str:
    rows = [f"| `{name}` | {one.where} | {one.meaning} |\n" for name, one in table.items()]
    return f"\n### {title}\n\n| tag | {column} | meaning |\n|---|---|---|\n" + "".join(rows)


def _of_deployments() -> Mapping[str, Tag]:
    """Tags that deployments give their runs, by the file that declares them."""
    flows: dict[str, dict[str, None]] = {}
    for one in read_deployments().deployments:
        for tag in one.tags:
            flows.setdefault(tag, {})[one.flow.replace("_", "-")] = None
    begun = "begun by a form or a schedule, as `conf/operations/deployments.yaml` declares it"
    kinds = {tag: Tag(", ".join(names), "the same, of this kind") for tag, names in flows.items()}
    return {DECLARED: Tag("all", begun)} | kinds


def _section(name: str) -> str:
    model = Conf.model_fields[name].annotation
    rows = [
        f"| `{key}` | `{_shown(field.default)}` | {allowed(field_schema(model, key))} "
        f"| {field.description} |\n"
        for key, field in model.model_fields.items()
    ]
    return f"\n### {name}\n\n| key | default | allowed | meaning |\n|---|---|---|---|\n" + "".join(
        rows
    )


def _shown(default: object) -> str:
    if default is None:
        return "null"
    return f"[{', '.join(map(str, default))}]" if isinstance(default, tuple) else str(default)


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
