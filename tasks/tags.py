"""Names of all tags that are set on runs and versions, by which a person or a program filters.

docs/reference.md has them from here. Where a name ends with a point, more comes after it.
"""

from collections.abc import Mapping
from typing import NamedTuple

DECLARED = "lopt"
"""Tag of the deployments that the file declares, and of no other."""

SOURCE = "mlflow.source.name"
PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"
FLOW_RUN_ID = "prefect.flow_run_id"
FLOW_RUN_URL = "prefect.flow_run_url"
GIT_COMMIT = "git_commit"
GIT_DIRTY = "git_dirty"
LOCK = "lock_sha256"
RESUMED = "lopt.resumed"
NIGHT = "lopt.night"
NIGHT_BEGAN_WITH = "lopt.night_began_with"
NIGHT_DONE = "lopt.night_done"
REPORT = "report"
RELEASE = "release."
REPORTS = "reports"
FIGURE = "figure"
FIGURE_DIGEST = "figure_digest"
EMPTIED = "lopt.files_removed"
GATE = "gate"
GATE_WORDS = "gate.words"
GATE_CHAMPION = "gate.champion"
GATE_REASONS = "gate.reasons"
GATE_DIFFERENCE = "gate.difference"
RELEASE_DIGEST = "release_digest"
HELD_OUT_DIFFERENCE = "held_out_difference."
REPLACES = "lopt.replaces."
HISTORY = "lopt.history."
ROLLED_BACK = "lopt.rolled_back."


class Tag(NamedTuple):
    """What a tag is on, and what it says there."""

    where: str
    meaning: str


GATE_SAYS = "what the gate has ruled: promoted, refused, or forced by a person"

OF_RUNS: Mapping[str, Tag] = {
    SOURCE: Tag("all", "which flow it is of"),
    PARENT: Tag("parts of a cycle", "the run of the cycle"),
    NOTE: Tag("with Prefect's server", "a link to the flow run, on the run's first page"),
    FLOW_RUN_ID: Tag("all", "the flow run in Prefect"),
    FLOW_RUN_URL: Tag("with Prefect's server", "the page of the flow run"),
    GIT_COMMIT: Tag("in a git checkout", "the commit that was checked out"),
    GIT_DIRTY: Tag("in a git checkout", "whether files were other than in the commit"),
    LOCK: Tag("all", "SHA-256 of requirements.lock"),
    RESUMED: Tag("what was gone on with", "True"),
    NIGHT: Tag("nightly-retraining", "the time that the night was scheduled for, in UTC"),
    NIGHT_BEGAN_WITH: Tag("nightly-retraining", "the release that it began with, or new"),
    NIGHT_DONE: Tag("nightly-retraining", "what became of it, once the gate has ruled"),
    REPORT: Tag("with a report", "digest of the report"),
    f"{RELEASE}<number>": Tag("with a report", "digests of the releases in it, from 0"),
    REPORTS: Tag("compare-reports", "what was compared, as it was named"),
    FIGURE: Tag("reproduce-figure", "its number in the paper"),
    FIGURE_DIGEST: Tag("reproduce-figure", "digest of the figure"),
    GATE: Tag("challenge-champion, promote-release", GATE_SAYS),
    GATE_WORDS: Tag("challenge-champion, promote-release", "the same in a sentence"),
    EMPTIED: Tag("what was swept", "when its files were removed"),
}
"""Tags of runs in MLflow; what else begins with `mlflow.` MLflow sets itself."""

OF_VERSIONS: Mapping[str, Tag] = {
    RELEASE_DIGEST: Tag("all", "digest of the release"),
    f"{HELD_OUT_DIFFERENCE}<optimizer>": Tag(
        "published with a report",
        "its area on held-out problems minus another's",
    ),
    GATE: Tag("challengers", GATE_SAYS),
    GATE_CHAMPION: Tag("challengers", "the version that it was compared with, or nothing"),
    GATE_REASONS: Tag("challengers", "why it was refused"),
    GATE_DIFFERENCE: Tag("challengers", "its mean area minus the champion's"),
    f"{REPLACES}<alias>": Tag("what had the alias", "the version that had it before, or nothing"),
    f"{HISTORY}<alias>": Tag("what had the alias", "all that had it before, the last one first"),
    f"{ROLLED_BACK}<alias>": Tag("what was rolled back", "when the alias was moved back"),
}
"""Tags of versions in MLflow's registry."""
