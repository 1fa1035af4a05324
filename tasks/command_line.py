"""A flow as a command: `python -m flows.NAME --conf FILE --set key=value`."""

import argparse
import inspect
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, NoReturn

from prefect import Flow
from prefect.utilities.callables import parameter_docstrings

from tasks import assembly, ending, garbage, processes, temporary_server
from tasks.conf_errors import ConfError, allowed, field_schema
from tasks.conf_files import SECTIONS, read_conf
from tasks.confs import Conf
from tasks.errors import is_ours
from tasks.following import follow
from tasks.parameters import bare, like, refusals
from tasks.processes import REFUSED
from tasks.stopping import StoppedAtOnceError, stop_behind

BEGIN_ANEW = "The same command begins anew."
Shipped = tuple[str, Path]
"""An option of a flow that names confs, and the folder in which they lie under their names."""


class Taken(NamedTuple):
    """The parameters of a flow by what they become on the command line."""

    sections: list[str]
    texts: list[str]
    lists: list[str]
    flags: list[str]
    """Options without a value, which are off by default."""

    @property
    def others(self) -> tuple[str, ...]:
        """Those that are no section of a conf."""
        return (*self.texts, *self.lists, *self.flags)


def main(
    flow: Callable[..., Any],
    arguments: Sequence[str] | None = None,
    *,
    if_stopped: str = BEGIN_ANEW,
    shipped: Shipped | None = None,
) -> None:
    """Run a flow with the conf that the command line asks for, checked as a whole before.

    `if_stopped` is what a person is told who has stopped it. A flow that does nothing sensible
    without a conf has an option for those that are `shipped` with it.
    """
    garbage.collect_seldom()
    taken = _parameters(flow)
    sections = taken.sections
    options = _parser(flow, taken, shipped).parse_args(arguments)
    with (
        ending.not_waiting_for_the_gone(),
        processes.ending_together(),
        _in_a_line(if_stopped),
    ):
        try:
            _check_others(flow, taken, options)
            conf = read_conf(options.conf, options.set, sections)
            assembly.checked(conf, sections, flow.__name__)
        except ConfError as error:
            sys.exit(_refuse(error))
        # Without this a SIGTERM would end the process with nothing told to MLflow or Prefect.
        signal.signal(signal.SIGTERM, _exit)
        found = processes.company()
        if found is not None and not found.leads:
            follow(found, conf)
        values = {name: getattr(conf, name) for name in sections}
        try:
            if isinstance(flow, Flow):
                temporary_server.start_out_of_reach()
            flow(**values, **{name: getattr(options, name) for name in taken.others})
        except BaseException as error:
            stop = stop_behind(error)
            if stop is None:
                raise
            word = "Interrupted" if isinstance(stop, KeyboardInterrupt) else "Stopped"
            _stop(f"{word}. {if_stopped}")


@contextmanager
def _in_a_line(if_stopped: str) -> Iterator[None]:
    """End with one line where that says what to do, instead of a traceback."""
    try:
        yield
    except StoppedAtOnceError:
        ending.end_soon(1)
        processes.leave(1)
        sys.exit(f"Stopped at once. {if_stopped}")
    except Exception as error:
        if not is_ours(error):
            raise
        sys.exit(f"{type(error).__name__}: {error}")


def _parameters(flow: Callable[..., Any]) -> Taken:
    parameters = inspect.signature(flow).parameters
    kinds = {name: one.annotation for name, one in parameters.items()}
    return Taken(
        sections=[name for name in kinds if name in SECTIONS],
        texts=[name for name, kind in kinds.items() if bare(kind) is str],
        lists=[name for name, kind in kinds.items() if bare(kind) is list],
        flags=[name for name, kind in kinds.items() if bare(kind) is bool],
    )


def _check_others(flow: Callable[..., Any], taken: Taken, options: argparse.Namespace) -> None:
    """Raise `ConfError` for what the form of the flow would refuse of those that are no section."""
    kinds = {name: inspect.signature(flow).parameters[name].annotation for name in taken.others}
    if lines := refusals(kinds, vars(options)):
        raise ConfError(lines)


def _parser(flow: Callable[..., Any], taken: Taken, shipped: Shipped | None) -> Any:
    sections = taken.sections
    module = sys.modules[inspect.unwrap(flow).__module__]
    parser = argparse.ArgumentParser(
        prog=f"python -m {module.__spec__.name if module.__spec__ else module.__name__}",
        description=str(inspect.getdoc(flow)).partition("\n")[0],
        epilog="\n".join(["keys:", *_key_help(sections)]) if sections else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(conf=None, set=[])
    if sections:
        _add_conf(parser, shipped)
    described = parameter_docstrings(inspect.getdoc(flow))
    for name in taken.lists:
        # Without an option's name before it: it is what the command is about.
        text = _explained(flow, name, described)
        parser.add_argument(name, nargs="+", metavar=name.removesuffix("s").upper(), help=text)
    for name in taken.texts:
        default = inspect.signature(flow).parameters[name].default
        parser.add_argument(f"--{name}", default=default, help=_explained(flow, name, described))
    for name in taken.flags:
        text = described.get(name, "").replace("%", "%%")
        parser.add_argument(f"--{name.replace('_', '-')}", action="store_true", help=text)
    return parser


def _explained(flow: Callable[..., Any], name: str, described: Mapping[str, str]) -> str:
    one = inspect.signature(flow).parameters[name]
    wanted = like(one.annotation)
    said = [f"allowed: {wanted.words}"] if wanted else []
    said += [f"default: {one.default}"] if one.default is not one.empty else []
    limits = f" ({'; '.join(said)})" if said else ""
    return f"{described.get(name, '')}{limits}".replace("%", "%%")


def _add_conf(parser: argparse.ArgumentParser, shipped: Shipped | None) -> None:
    group = parser.add_mutually_exclusive_group(required=shipped is not None)
    group.add_argument("--conf", type=Path, metavar="FILE", help="YAML file, see conf/")
    if shipped is not None:
        _add_shipped(group, *shipped)
    parser.add_argument(
        "--set",
        action="append",
        metavar="KEY=VALUE",
        help="put another value in, after the file; may be given several times",
    )


def _add_shipped(group: Any, name: str, folder: Path) -> None:
    files = {file.stem: file for file in sorted(folder.glob("*.yaml"))}

    def file_of(stem: str) -> Path:
        if stem not in files:
            raise argparse.ArgumentTypeError(
                f"{stem!r} is not allowed; allowed: one of {', '.join(files)}"
            )
        return files[stem]

    group.add_argument(
        f"--{name}",
        dest="conf",
        type=file_of,
        metavar="NAME",
        help=f"a conf of {folder.parent.name}/{folder.name}: {', '.join(files)}",
    )


def _key_help(sections: Sequence[str]) -> list[str]:
    lines = []
    for section in sections:
        model: Any = Conf.model_fields[section].annotation
        for name, field in model.model_fields.items():
            limits = allowed(field_schema(model, name))
            lines.append(f"  {section}.{name} = {_shown(field.default)}  ({limits})")
            lines.append(f"      {field.description}")
    return lines


def _shown(default: object) -> str:
    if default is None:
        return "null"
    return f"[{', '.join(map(str, default))}]" if isinstance(default, tuple) else str(default)


def _refuse(error: ConfError) -> int:
    sys.stderr.writelines(line + "\n" for line in error.lines)
    return REFUSED


def _stop(message: str) -> NoReturn:
    ending.end_soon(1)
    sys.exit(message)


def _exit(number: int, frame: FrameType | None) -> None:
    del frame
    raise SystemExit(128 + number)
