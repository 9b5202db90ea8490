"""Options that every command shares, and how errors become exit codes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Annotated, cast

import typer

from fileflux import errors as e


class ExitCode(IntEnum):
    """What scripts can rely on (docs/reference.md, Command lines)."""

    OK = 0
    OTHER = 1
    USAGE = 2
    NOT_FOUND = 3
    FORBIDDEN = 4
    TEMPORARY = 5
    SOME_FAILED = 6
    INTEGRITY = 7
    CANCELLED = 8
    TIME_OUT = 10
    INTERRUPTED = 130
    """Ctrl-C, as shells show it."""


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


@dataclass(frozen=True, slots=True)
class Settings:
    """The options before the command; the root command makes it, ``settings`` finds it again."""

    url: str | None = None
    token: str | None = None
    insecure: bool = False
    quiet: bool = False
    verbose: int = 0
    color: bool = True
    ca_file: str | None = None


class WaitedTooLongError(e.FluxError):
    """The run had not ended within the caller's time; it goes on."""

    code = "time_out"


OutputOption = Annotated[Format, typer.Option("--output", "-o", help="How to print the result.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Short for -o json.")]
FieldsOption = Annotated[
    str | None, typer.Option("--fields", metavar="A,B", help="Print these fields only, in this order.")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; without a terminal nobody is asked.")]
LimitOption = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Print at most so many rows.")]
TimeoutOption = Annotated[
    float | None, typer.Option("--timeout", metavar="SECONDS", min=0.1, help="Give up waiting after so many seconds.")
]


def settings(context: typer.Context) -> Settings:
    return cast("Settings", context.find_root().obj)


def exit_code(error: e.FluxError) -> ExitCode:
    """The exit code for an error that ends a command."""
    if isinstance(error, WaitedTooLongError):
        return ExitCode.TIME_OUT
    if isinstance(error, e.ConfigError):
        return ExitCode.USAGE
    if isinstance(error, e.NotFoundError):
        return ExitCode.NOT_FOUND
    if isinstance(error, e.AuthError | e.ForbiddenError):
        return ExitCode.FORBIDDEN
    if isinstance(error, e.UnavailableError) or error.retryable:
        return ExitCode.TEMPORARY
    return ExitCode.OTHER
