"""How commands are declared: each with its examples, which its help shows first, and with the options that all of them share.

A command that takes a ``Call`` as its first argument gets ``--output``, ``--json`` and ``--fields`` on its command line; what they say and the
options before the command are in that ``Call``. One that takes a ``Plain`` prints no records and has none of the three.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

import typer
from typer.core import TyperGroup

from fileflux.cli.interrupt import TerminatedError
from fileflux.cli.options import FieldsOption, Format, JsonOption, OutputOption, Settings, settings
from fileflux.errors import ConfigError, FluxError
from flux_agent.help import command_class, write_examples

if TYPE_CHECKING:
    from fileflux.cli.client import HubClient
    from fileflux.cli.output import Record

P = ParamSpec("P")
_OUTPUT: Final = {
    "output": (OutputOption, Format.TABLE),
    "as_json": (JsonOption, False),
    "fields": (FieldsOption, None),
}


@dataclass(frozen=True, slots=True)
class Plain:
    """One use of a command: the options before it."""

    settings: Settings

    def connect(self) -> HubClient:
        """A client for the hub of this command; close it."""
        from fileflux.cli.connect import connect

        return connect(self.settings)

    def say(self, text: str) -> None:
        """A line on stderr for people, unless they want none."""
        if not self.settings.quiet:
            print(text, file=sys.stderr)

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask before something is gone for good. Without a terminal nobody is asked: a script means what it says."""
        if yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
            return
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise FluxError("nothing was done", code="not_confirmed")


@dataclass(frozen=True, slots=True)
class Call(Plain):
    """One use of a command that prints records, and how it prints them."""

    form: Format = Format.TABLE
    fields: tuple[str, ...] = ()

    def records(self, found: Sequence[Record], columns: Sequence[str]) -> None:
        """A list on stdout: ``columns`` as a table, or every field."""
        from fileflux.cli.output import print_records

        print_records(found, columns, self.form, self.fields)

    def record(self, found: Record) -> None:
        """One thing on stdout."""
        from fileflux.cli.output import print_record

        print_record(found, self.form, self.fields)


C = TypeVar("C", Plain, Call)


class Group(TyperGroup):
    """The root command: examples, then options and commands."""

    examples = (
        "fileflux login https://hub.example --email me@example.org",
        "fileflux send ./report.pdf backup:/in/",
        "fileflux jobs run nightly --wait",
        "fileflux agents list -o json",
    )

    def format_options(self, ctx: Any, formatter: Any) -> None:
        write_examples(self.examples, formatter)
        super().format_options(ctx, formatter)


def noun(text: str) -> typer.Typer:
    """A group of verbs."""
    return typer.Typer(help=text)


def verb(
    app: typer.Typer, name: str, *examples: str
) -> Callable[[Callable[Concatenate[C, P], None]], Callable[Concatenate[C, P], None]]:
    """Make a function the command ``name`` of ``app``. Give at least one whole command line as an example."""

    def declare(function: Callable[Concatenate[C, P], None]) -> Callable[Concatenate[C, P], None]:
        app.command(name, cls=command_class(*examples))(_as_typer_wants_it(function))
        return function

    return declare


def _as_typer_wants_it(function: Callable[Concatenate[C, P], None]) -> Callable[..., None]:
    """The function with a context and the shared options in place of its ``Call``."""
    signature = inspect.signature(function, eval_str=True)
    first, *rest = signature.parameters.values()
    prints = first.annotation is Call
    # The annotation of the first parameter says which of the two the function takes.
    call_it: Callable[..., None] = function

    def command(context: typer.Context, **given: Any) -> None:
        if prints:
            form, as_json = given.pop("output"), given.pop("as_json")
            fields = _fields(given.pop("fields"))
            call: Plain = Call(settings(context), Format.JSON if as_json else form, fields)
        else:
            call = Plain(settings(context))
        try:
            call_it(call, **given)
        except TerminatedError as stopped:
            raise typer.Exit(stopped.exit_code) from None

    parameters = [inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]
    parameters += [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in rest]
    if prints:
        parameters += [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for name, (annotation, default) in _OUTPUT.items()
        ]
    setattr(command, "__signature__", signature.replace(parameters=parameters))  # noqa: B010  # a function has no such attribute by its type
    command.__annotations__ = {}
    command.__doc__ = function.__doc__
    return command


def _fields(given: str | None) -> tuple[str, ...]:
    names = tuple(name.strip() for name in (given or "").split(",") if name.strip())
    if given is not None and not names:
        raise ConfigError("--fields needs names, as in --fields id,name,status")
    return names
