"""The ``fileflux`` command. Modules that take long to import are imported by the commands that need them.

An error is one line that says what to do next; a traceback only with ``-vv``.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Annotated, Any, TextIO

import typer

from fileflux.cli import (
    agents,
    hub,
    jobs,
    keys,
    login,
    notifications,
    operations,
    overview,
    plan,
    reports,
    runs,
    schedules,
    send,
    shells,
    tokens,
    transfers,
    users,
)
from fileflux.cli.command import Group
from fileflux.cli.options import ExitCode, Settings, exit_code
from fileflux.errors import ConfigError, FluxError
from flux_agent.help import command_class

app = typer.Typer(cls=Group, rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)

_ANYWHERE = frozenset({"-q", "--quiet", "-v", "-vv", "-vvv", "--verbose", "--no-color"})
_HUB_COMMANDS = (
    (hub.serve, ("fileflux serve", "fileflux serve --host 0.0.0.0 --tls auto --tls-name hub.example.com")),
    (hub.demo, ("fileflux demo", "fileflux demo --once")),
    (hub.migrate, ("fileflux migrate --data-dir /var/lib/fileflux",)),
    (operations.backup, ("fileflux backup --data-dir /var/lib/fileflux hub.backup",)),
    (operations.restore, ("fileflux restore --data-dir /var/lib/fileflux hub.backup",)),
    (operations.doctor, ("fileflux doctor", "fileflux doctor --data-dir /var/lib/fileflux -o json")),
    (hub.version, ("fileflux version",)),
)
for _command, _examples in _HUB_COMMANDS:
    app.command(cls=command_class(*_examples))(_command)
login.add_to(app)
send.add_to(app)
reports.add_to(jobs.app, runs.app)
for _group, _name in (
    (users.app, "users"), (keys.app, "keys"), (tokens.app, "tokens"), (agents.app, "agents"), (jobs.app, "jobs"), (runs.app, "runs"), (plan.app, "plans"),
    (transfers.app, "transfers"), (schedules.app, "schedules"), (notifications.app, "notifications"),
):  # fmt: skip
    app.add_typer(_group, name=_name)
overview.add_to(app)
shells.add_to(app)


@app.callback()
def root(
    context: typer.Context,
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", envvar="FILEFLUX_URL", help="The hub, if not the one of the login."),
    ] = None,
    token: Annotated[str | None, typer.Option("--token", envvar="FILEFLUX_TOKEN", hidden=True)] = None,
    token_file: Annotated[
        typer.FileText | None,
        typer.Option("--token-file", metavar="FILE", envvar="FILEFLUX_TOKEN_FILE", help="A file with a user's token."),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", envvar="FILEFLUX_INSECURE", help="Allow http to other machines.")
    ] = False,
    ca_file: Annotated[
        str | None,
        typer.Option(
            "--ca-file",
            metavar="FILE",
            envvar="FILEFLUX_CA_FILE",
            help="The CA of a hub that the system does not know.",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Results and errors only.")] = False,
    verbose: Annotated[int, typer.Option("-v", "--verbose", count=True, help="Say more; -vv: tracebacks.")] = 0,
    no_color: Annotated[
        bool, typer.Option("--no-color", help="No colours; NO_COLOR in the environment says the same.")
    ] = False,
) -> None:
    """Managed file transfer: moves files between machines and proves it."""
    if token is not None and token_file is not None:
        raise ConfigError("give a token or a token file (FILEFLUX_TOKEN, FILEFLUX_TOKEN_FILE), not both")
    if token_file is not None:
        token = token_file.read(4096).strip()
    context.obj = Settings(url, token, insecure, quiet, verbose, color=not no_color, ca_file=ca_file)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code."""
    _open_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run(given))


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code."""
    if "_FILEFLUX_COMPLETE" in os.environ:
        from typer._completion_classes import completion_init  # what Typer calls for options that we do not offer

        completion_init()
    try:
        code = tree().main(_flags_first(arguments) or ["--help"], prog_name="fileflux", standalone_mode=False)
        sys.stdout.flush()
        return int(code or ExitCode.OK)
    except FluxError as error:
        return _complain(error.message, exit_code(error), arguments)
    except typer.TyperException as error:
        hint = "see `fileflux --help`"
        return _complain(f"{error.format_message().rstrip('.')}; {hint}", ExitCode(error.exit_code), arguments)
    except (KeyboardInterrupt, typer.Abort):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # `fileflux … | head` is no error of anybody's.
        _drop(sys.stdout)
        return ExitCode.OTHER
    except OSError as error:
        _drop(sys.stdout)
        return _complain(f"{error.filename or 'system'}: {error.strerror or error}", ExitCode.OTHER, arguments)
    except Exception as error:  # noqa: BLE001  # the last resort: one line for people instead of a traceback
        return _complain(
            f"internal error: {type(error).__name__}: {error}; run again with -vv", ExitCode.OTHER, arguments
        )


@cache
def tree() -> Any:
    """All commands as Typer made them; of use to who writes them down."""
    return typer.main.get_command(app)


def _flags_first(arguments: list[str]) -> list[str]:
    """``-q``, ``-v`` and ``--no-color`` mean the same behind a command as before it."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    flags = [word for word in arguments[:end] if word in _ANYWHERE]
    return flags + [word for word in arguments[:end] if word not in _ANYWHERE] + arguments[end:]


def _complain(message: str, code: ExitCode, arguments: Sequence[str]) -> int:
    """Called while the error is being handled."""
    try:
        if any(word in ("-vv", "-vvv") for word in arguments):
            import traceback

            traceback.print_exc()
        print(f"fileflux: {' '.join(message.split())}", file=sys.stderr, flush=True)
    except OSError:
        # Nobody reads the errors either; the exit code says it.
        _drop(sys.stderr)
    return code


def _open_streams() -> None:
    """Streams that were closed before the start lead nowhere, and a terminal that lacks a character gets an escape in its place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115  # lives as long as the process
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _drop(stream: TextIO) -> None:
    """What is still to be written to it goes nowhere; else Python complains once more when it flushes at its end."""
    with suppress(OSError, ValueError, io.UnsupportedOperation):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


if __name__ == "__main__":
    main()
