"""Reports of several releases and baselines as one: a page, plots and tables."""

from prefect import flow

from tasks import cancellation, command_line, last_screen, run_names, terminal, tracking
from tasks.comparison import merge_reports
from tasks.parameters import Sources
from tasks.references import ReportReference
from tasks.scores import PAGE, log_report
from tasks.tags import REPORTS


@flow(name="compare-reports", flow_run_name=run_names.run_name, on_running=[cancellation.listen])
def compare_reports(reports: Sources, parent_mlflow_run_id: str | None = None) -> ReportReference:
    """Put reports on the same targets and seeds together, and compare all that they hold.

    Args:
        reports: The reports to compare. WORD= before one says what it is called in the comparison.
        parent_mlflow_run_id: MLflow run of the cycle that this is a part of; empty for none.
    """
    terminal.heading("Comparison")
    with tracking.tracked("compare-reports", {}, parent_mlflow_run_id) as mlflow_run_id:
        merged = merge_reports(reports)
        tracking.set_tags(mlflow_run_id, {REPORTS: " ".join(reports)})
        log_report(mlflow_run_id, merged)
    last_screen.show_scores(merged)
    last_screen.show_page(mlflow_run_id, PAGE)
    return merged


if __name__ == "__main__":
    command_line.main(compare_reports)
