#!/usr/bin/env python3
"""Import a file of jobs into a hub, and say row by row what became of them: ``scripts/import_jobs.py jobs.csv``.

The hub and the token are those of ``fileflux login``, or FILEFLUX_URL and FILEFLUX_TOKEN (or FILEFLUX_TOKEN_FILE). Safe to repeat: jobs are
known by their names, and what is as the file says already stays untouched. The file is taken as a whole or, with an error in it, not at all.

On stdout one line for each row: row, name, outcome and what is wrong, with tabs between. Exit codes: 0 all is as the file says, 2 the file or
the usage is wrong and nothing was changed, 4 not allowed, 5 the hub is not there, 6 some jobs were left out (with --partial).
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

if importlib.util.find_spec("fileflux") is None:
    # Run by the system's Python: the one of this checkout has what it needs.
    own = Path(__file__).resolve().parents[1] / ".venv" / "bin" / "python"
    if not own.exists():
        sys.exit("import_jobs: FileFlux is not installed here: run make install, or pip install fileflux")
    os.execv(own, [str(own), *sys.argv])  # noqa: S606  # the same program again, no shell

from fileflux.cli.answers import InvalidError
from fileflux.cli.connect import connect
from fileflux.cli.job_files import read_file, refusals, send_file, summary
from fileflux.cli.options import ExitCode, Settings, exit_code
from fileflux.cli.output import clean
from fileflux.errors import ConfigError, FluxError


def main() -> int:
    """Run it; the exit code."""
    arguments = _arguments()
    try:
        return _import(arguments)
    except FluxError as error:
        print(f"import_jobs: {error.message}", file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED


def _arguments() -> argparse.Namespace:
    about, _, more = str(__doc__).replace("``", "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=about, epilog=more, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", metavar="FILE", help=".json, .yaml or .csv; - for standard input")
    parser.add_argument("--format", choices=("json", "yaml", "csv"), help="if the name does not say it")
    parser.add_argument("--dry-run", action="store_true", help="check everything and change nothing")
    parser.add_argument("--partial", action="store_true", help="take the jobs that are good, though others are not")
    parser.add_argument("--on-existing", choices=("update", "skip", "error"), default="update")
    parser.add_argument("-q", "--quiet", action="store_true", help="only what is wrong")
    return parser.parse_args()


def _import(arguments: argparse.Namespace) -> int:
    content, form = read_file(arguments.file, arguments.format)
    with connect(_settings()) as client:
        try:
            with _bar(len(content), quiet=arguments.quiet):
                answer = send_file(
                    client,
                    content,
                    form,
                    dry_run=arguments.dry_run,
                    partial=arguments.partial,
                    on_existing=arguments.on_existing,
                )
        except InvalidError as error:
            if error.code != "invalid_jobs":
                raise
            for line in refusals(error):
                print(f"import_jobs: {line}", file=sys.stderr)
            return ExitCode.USAGE
    for row in answer["items"]:
        if row["errors"] or not arguments.quiet:
            print("\t".join([str(row["row"]), clean(row["name"]), row["outcome"], *_wrong(row)]))
    if not arguments.quiet:
        print(summary(answer), file=sys.stderr)
    return ExitCode.SOME_FAILED if answer["failed"] else ExitCode.OK


def _wrong(row: dict[str, Any]) -> list[str]:
    return [clean(f"{field}: {' '.join(texts)}") for field, texts in row["errors"].items()]


def _settings() -> Settings:
    url, token, file, ca = (os.environ.get(f"FILEFLUX_{name}") for name in ("URL", "TOKEN", "TOKEN_FILE", "CA_FILE"))
    if token is None and file is not None:
        try:
            token = Path(file).read_text().strip()
        except OSError as error:
            raise ConfigError(f"cannot read FILEFLUX_TOKEN_FILE {file}: {error.strerror}") from None
    insecure = os.environ.get("FILEFLUX_INSECURE", "").lower() in ("1", "true", "yes")
    return Settings(url, token, insecure=insecure, ca_file=ca)


def _bar(size: int, *, quiet: bool) -> AbstractContextManager[object]:
    """For people: a bar that moves while the hub works, and how long it has."""
    if quiet or not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    progress = Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=Console(stderr=True), transient=True
    )
    progress.add_task(f"{size / 2**20:.1f} MiB of jobs", total=None)
    return progress


if __name__ == "__main__":
    sys.exit(main())
