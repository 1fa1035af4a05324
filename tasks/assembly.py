"""Checking a conf together with the other processes of a run, before anything runs."""

import hashlib
import socket
from collections.abc import Sequence

from tasks import accelerators, code_version, hosts, processes
from tasks.conf_checks import check, mistakes
from tasks.conf_errors import ConfError
from tasks.confs import Conf
from tasks.processes import Company, CompanyError, Presence


def checked(conf: Conf, sections: Sequence[str], flow: str) -> None:
    """Check a conf as `check` does, and join the other processes if the environment names some.

    Only a flow that meta-trains has others. Raises `ConfError` in all processes if one of them
    has been started with other settings, or has no place for the work.
    """
    joins = "meta_training" in sections
    if joins and (lines := hosts.mistakes()):
        raise ConfError([*lines, *mistakes(conf, sections)])
    wanted = hosts.hosts() if joins else None
    if wanted is None or mistakes(conf, sections):
        check(conf, sections)
        return
    found = processes.join(wanted, _presence(conf, sections, flow))
    accelerators.agree(conf.meta_training, found)
    _check_together(found, conf, sections)


def _check_together(found: Company, conf: Conf, sections: Sequence[str]) -> None:
    try:
        check(conf, sections)
    except ConfError as error:
        if not found.leads:
            found.fail(str(error))
        raise
    if not found.leads:
        found.arrive()
        return
    try:
        found.arrivals()
    except CompanyError as error:
        raise ConfError([str(error)]) from None


def _presence(conf: Conf, sections: Sequence[str], flow: str) -> Presence:
    from lopt.cores import usable_cores

    values = [flow, *(getattr(conf, section).canonical() for section in sections)]
    return Presence(
        host=socket.gethostname(),
        cores=usable_cores(),
        conf=hashlib.sha256("\n".join(values).encode()).hexdigest(),
        code=code_version.program_digest(),
    )
