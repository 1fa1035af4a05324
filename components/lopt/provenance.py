"""Where a learned optimizer came from; carried by the optimizer itself."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Provenance:
    """The facts from which a published optimizer can be traced back and made again.

    Every field is a plain string or number, so the record is hashable and is written as it
    is into a release's `config.json`. What is unknown is `None`, never guessed.

    **Example**

    ```python
    optimizer = lopt.load("models:/learned-optimizer@champion")
    optimizer.provenance.git_commit
    ```
    """

    lopt_version: str
    seed: int | None = None
    meta_steps: int | None = None
    git_commit: str | None = None
    mlflow_run_id: str | None = None
    flow_run_id: str | None = None
    conf: str | None = None
    """The whole conf of the meta-training as canonical JSON."""
    ensemble_digest: str | None = None
    dataset_digests: tuple[tuple[str, str], ...] = ()
    """Pairs (data set, digest)."""
    checkpoint_digest: str | None = None
