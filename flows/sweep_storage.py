"""Old checkpoints and files that no version in the registry needs, removed."""

from prefect import flow

from tasks import alarms, cancellation, command_line, run_names, terminal
from tasks.conf_checks import check_given
from tasks.confs import DEFAULTS, RetentionConf
from tasks.sweeping import Swept, announce, find_leftovers, remove_leftovers


@flow(
    name="sweep-storage",
    flow_run_name=run_names.run_name,
    on_running=[cancellation.listen],
    on_failure=[alarms.report],
)
def sweep_storage(retention: RetentionConf = DEFAULTS.retention, dry_run: bool = False) -> Swept:
    """Remove what is old and needed by no version, alias or unfinished run.

    Args:
        dry_run: Whether to say only what would be removed.
    """
    check_given({"retention": retention})
    terminal.heading("Sweeping")
    found = find_leftovers(retention)
    if dry_run:
        return announce(found, removed=False)
    with terminal.stage("sweeping", len(found)):
        gone = remove_leftovers(retention, found)
    return announce(gone, removed=True)


if __name__ == "__main__":
    command_line.main(sweep_storage, if_stopped="The same command goes on with what is left.")
