import importlib
from pathlib import Path
from typing import Any

import pytest

from tasks.conf_errors import ConfError
from tasks.confs import EnsembleConf, EvaluationConf, MetaTrainingConf

TOO_SHORT = {"meta_training": MetaTrainingConf(meta_steps=10)}
NOT_DIVIDED = {"evaluation": EvaluationConf(record_every=7)}
NO_ENTRIES = {"ensemble": EnsembleConf(entries="conf/ensembles/none.yaml")}


@pytest.mark.parametrize(
    ("name", "confs"),
    [
        ("generate_ensemble", NO_ENTRIES),
        ("meta_train", TOO_SHORT),
        ("evaluate_release", NOT_DIVIDED),
        ("full_cycle", {**TOO_SHORT, **NOT_DIVIDED, **NO_ENTRIES}),
    ],
)
def test_a_flow_that_is_started_from_python_refuses_what_a_command_refuses(
    home: Path, name: str, confs: dict[str, Any]
) -> None:
    flow = getattr(importlib.import_module(f"flows.{name}"), name)
    with pytest.raises(ConfError) as error:
        flow.fn(**confs)
    assert {line.partition(".")[0] for line in error.value.lines} == set(confs)
    assert not list(home.iterdir()), "something has run already"
