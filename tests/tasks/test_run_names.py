import re
from typing import Any

import pytest

from tasks.confs import DEFAULTS, EnsembleConf, MetaTrainingConf
from tasks.run_names import name_of

TRAINING: dict[str, Any] = {
    "ensemble": DEFAULTS.ensemble,
    "meta_training": DEFAULTS.meta_training,
    "parent_mlflow_run_id": None,
}


def test_a_name_says_flow_subject_date_and_digest() -> None:
    name = name_of("meta-train", TRAINING)
    assert re.fullmatch(r"meta-train HierarchicalRNN-release \d{4}-\d\d-\d\d [0-9a-f]{6}", name)


@pytest.mark.parametrize(
    ("section", "subject"),
    [
        ("figure", "3"),
        ("publication", "learned-optimizer@champion"),
        ("ensemble", "quick"),
        ("datasets", "digits"),
    ],
)
def test_what_a_run_is_about_is_in_its_name(section: str, subject: str) -> None:
    assert name_of("flow", {section: getattr(DEFAULTS, section)}).split()[1] == subject


def test_other_values_have_another_digest_and_another_caller_has_not() -> None:
    def digest(**changes: Any) -> str:
        return name_of("meta-train", TRAINING | changes).rpartition(" ")[2]

    assert digest(parent_mlflow_run_id="0a1b") == digest()
    assert digest(meta_training=MetaTrainingConf(seed=1)) != digest()
    assert digest(ensemble=EnsembleConf(seed=1)) != digest()
