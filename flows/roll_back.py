"""The champion's alias back to the version that the champion has replaced."""

from prefect import flow

from tasks import cancellation, command_line, promotion, run_names, terminal
from tasks.conf_checks import check_given
from tasks.confs import DEFAULTS, PublicationConf
from tasks.gate import announce_roll_back
from tasks.parameters import EarlierVersion
from tasks.references import ModelVersionReference


@flow(name="roll-back", flow_run_name=run_names.run_name, on_running=[cancellation.listen])
def roll_back(
    publication: PublicationConf = DEFAULTS.publication,
    to: EarlierVersion = promotion.PREVIOUS,
    dry_run: bool = False,
) -> ModelVersionReference:
    """Move the alias back to the version that it was on before.

    Args:
        to: The version of the model to go back to.
        dry_run: Whether to say only what would be done.
    """
    check_given({"publication": publication})
    now, version = promotion.to_roll_back(publication.model_name, publication.alias, to)
    words = f"{version.name}@{version.alias}: from version {now} back to version {version.version}"
    if dry_run:
        terminal.say(f"{words}. Nothing is changed.")
        return version
    promotion.roll_back(version, now)
    announce_roll_back(version, words)
    terminal.say(f"{words}.")
    return version


if __name__ == "__main__":
    command_line.main(roll_back)
