"""The ``fileflux`` command. Modules that take long to import are imported by the commands that need them.

An error is one line that says what to do next; a traceback only with ``-vv``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from fileflux.cli import agents, hub, jobs, login, runs, send, tokens
from fileflux.cli.options import ExitCode, Settings, exit_code
from fileflux.errors import ConfigError, FluxError

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=True)

for _command in (
    hub.serve, hub.demo, hub.migrate, hub.version, login.login, login.logout, login.whoami, send.send
):  # fmt: skip
    app.command()(_command)
for _group, _name in (
    (agents.app, "agents"), (tokens.app, "tokens"), (jobs.app, "jobs"), (runs.app, "runs"), (runs.transfers_app, "transfers")
):  # fmt: skip
    app.add_typer(_group, name=_name)


@app.callback()
def root(
    context: typer.Context,
    url: Annotated[
        str | None, typer.Option("--url", envvar="FILEFLUX_URL", help="The hub, if not the one of the login.")
    ] = None,
    token: Annotated[str | None, typer.Option("--token", envvar="FILEFLUX_TOKEN", hidden=True)] = None,
    token_file: Annotated[
        typer.FileText | None,
        typer.Option("--token-file", envvar="FILEFLUX_TOKEN_FILE", help="A file with a user's token."),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", envvar="FILEFLUX_INSECURE", help="Allow http to other machines.")
    ] = False,
    ca_file: Annotated[
        str | None,
        typer.Option("--ca-file", envvar="FILEFLUX_CA_FILE", help="The CA of a hub that the system does not know."),
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Results and errors only.")] = False,
    verbose: Annotated[int, typer.Option("-v", "--verbose", count=True, help="-vv: tracebacks.")] = 0,
    no_color: Annotated[bool, typer.Option("--no-color")] = False,
) -> None:
    """Managed file transfer: moves files between machines and proves it."""
    if token is not None and token_file is not None:
        raise ConfigError("give a token or a token file (FILEFLUX_TOKEN, FILEFLUX_TOKEN_FILE), not both")
    if token_file is not None:
        token = token_file.read(4096).strip()
    context.obj = Settings(url, token, insecure, quiet, verbose, color=not no_color, ca_file=ca_file)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run(given))


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code."""
    try:
        code = app(arguments or ["--help"], prog_name="fileflux", standalone_mode=False)
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
        # `fileflux … | head` is no error; without this Python complains once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OTHER
    except OSError as error:
        return _complain(f"{error.filename or 'system'}: {error.strerror or error}", ExitCode.OTHER, arguments)
    except Exception as error:  # noqa: BLE001  # the last resort: one line for people instead of a traceback
        return _complain(
            f"internal error: {type(error).__name__}: {error}; run again with -vv", ExitCode.OTHER, arguments
        )


def _complain(message: str, code: ExitCode, arguments: Sequence[str]) -> int:
    """Called while the error is being handled."""
    if any(word in ("-vv", "-vvv") for word in arguments):
        import traceback

        traceback.print_exc()
    print(f"fileflux: {' '.join(message.split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
