"""Data sets, downloaded or embedded, as checked files that are read from memory maps."""

from prefect import flow

from tasks import cancellation, command_line, run_names, terminal, tracking
from tasks.conf_checks import check_given
from tasks.confs import DEFAULTS, DatasetsConf
from tasks.datasets import prepare_dataset
from tasks.references import DataSetReference
from tasks.tracked_inputs import log_data_set


@flow(name="prepare-datasets", flow_run_name=run_names.run_name, on_running=[cancellation.listen])
def prepare_datasets(
    datasets: DatasetsConf = DEFAULTS.datasets, parent_mlflow_run_id: str | None = None
) -> list[DataSetReference]:
    """Prepare data sets; what is prepared already is only checked.

    Args:
        parent_mlflow_run_id: MLflow run of the cycle that this is a part of; empty for none.
    """
    confs = {"datasets": datasets}
    check_given(confs)
    terminal.heading("Data sets")
    with tracking.tracked("prepare-datasets", confs, parent_mlflow_run_id) as mlflow_run_id:
        prepared = []
        for name in datasets.names:
            with terminal.stage("data set", 100):
                prepared.append(prepare_dataset(name, datasets))
                terminal.reach(100, name)
            log_data_set(mlflow_run_id, prepared[-1], "preparation")
            terminal.say(f"  {prepared[-1]}")
    return prepared


if __name__ == "__main__":
    command_line.main(
        prepare_datasets,
        if_stopped="The same command begins anew, but for data sets that are prepared.",
    )
