"""``fileflux jobs import`` and ``export``; ``scripts/import_jobs.py`` is the first of them on its own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer

from fileflux.cli.answers import InvalidError
from fileflux.cli.command import Call, Plain, verb
from fileflux.cli.options import ExitCode
from fileflux.errors import ConfigError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fileflux.cli.client import HubClient

WAIT_S: Final = 120.0
"""For an import: 20,000 jobs take the hub less than a minute."""
TYPES: Final = {"json": "application/json", "yaml": "application/yaml", "csv": "text/csv"}
_SUFFIXES: Final = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".csv": "csv"}
_COLUMNS: Final = ("row", "name", "outcome", "job_id")
FormatOption = Annotated[str | None, typer.Option("--format", metavar="FORM", help="json, yaml or csv.")]


def add_to(app: typer.Typer) -> None:
    """Make these commands of ``app``."""
    verb(
        app,
        "import",
        "fileflux jobs import jobs.yaml --dry-run",
        "fileflux jobs import jobs.csv",
        "fileflux jobs import jobs.json --on-existing skip",
    )(import_jobs)
    verb(
        app,
        "export",
        "fileflux jobs export --out jobs.yaml",
        "fileflux jobs export --tag nightly --out nightly.csv",
    )(export_jobs)


def import_jobs(
    call: Call,
    file: Annotated[str, typer.Argument(metavar="FILE", help="Of jobs: .json, .yaml or .csv; - for standard input.")],
    form: FormatOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and change nothing.")] = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="Take the jobs that are good, though others are not.")
    ] = False,
    on_existing: Annotated[
        str, typer.Option("--on-existing", metavar="HOW", help="A job of that name is there: update, skip or error.")
    ] = "update",
) -> None:
    """Make or change the jobs of a file. The same file again changes nothing; with an error in it, nothing is changed at all."""
    content, form = read_file(file, form)
    with call.connect() as client:
        try:
            answer = send_file(client, content, form, dry_run=dry_run, partial=partial, on_existing=on_existing)
        except InvalidError as error:
            if error.code != "invalid_jobs":
                raise
            raise ConfigError("\n".join(refusals(error))) from None
    call.records([row for row in answer["items"] if call.form != "table" or row["outcome"] != "unchanged"], _COLUMNS)
    call.say(summary(answer))
    for line in problems(answer["items"]):
        print(f"fileflux: {line}", file=sys.stderr)
    if answer["failed"]:
        raise typer.Exit(ExitCode.SOME_FAILED)


def export_jobs(
    call: Plain,
    form: FormatOption = None,
    tag: Annotated[str | None, typer.Option("--tag", metavar="TAG", help="Only jobs with this tag.")] = None,
    out: Annotated[str | None, typer.Option("--out", metavar="FILE", help="Instead of standard output.")] = None,
) -> None:
    """Print all jobs as a file that `fileflux jobs import` takes. The form is that of --out's name, or yaml."""
    chosen = form or (_form_of(out) if out is not None else "yaml")
    with call.connect() as client, client.download("/api/jobs/export", format=chosen, tag=tag) as pieces:
        if out is None:
            sys.stdout.buffer.writelines(pieces)
            sys.stdout.buffer.flush()
            return
        _write(Path(out), pieces)
    call.say(f"written to {out}")


def read_file(file: str, form: str | None) -> tuple[bytes, str]:
    """The content of a file and its form. Raises ConfigError, NotFoundError."""
    if file == "-":
        if form is None:
            raise ConfigError("say what comes on standard input, as in --format yaml")
        return sys.stdin.buffer.read(), _checked(form)
    form = _checked(form) if form is not None else _form_of(file)
    try:
        return Path(file).read_bytes(), form
    except FileNotFoundError:
        raise NotFoundError(f"there is no file {file}") from None
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from error


def send_file(
    client: HubClient, content: bytes, form: str, *, dry_run: bool, partial: bool, on_existing: str
) -> dict[str, Any]:
    """Import a file; what the hub answers."""
    query = {"dry_run": str(dry_run).lower(), "partial": str(partial).lower(), "on_existing": on_existing}
    return cast("dict[str, Any]", client.post_file("/api/jobs/import", content, TYPES[form], WAIT_S, **query))


def refusals(error: InvalidError) -> list[str]:
    """What is wrong with the rows of a file of which nothing was taken, a line each."""
    count = len(error.items)
    return [
        *problems(error.items),
        f"nothing was changed: {count} {'job is' if count == 1 else 'jobs are'} not acceptable",
    ]


def summary(answer: dict[str, Any]) -> str:
    """What an import did, in a line."""
    counts = [
        f"{answer[name]} {name}" for name in ("created", "updated", "unchanged", "skipped", "failed") if answer[name]
    ]
    said = ", ".join(counts) or "no jobs"
    return f"dry run, nothing was changed: {said}" if answer["dry_run"] else said


def problems(rows: Iterable[dict[str, Any]]) -> list[str]:
    """What is wrong with the rows that failed, a line for each field."""
    return [
        f"row {row['row']} ({row['name'] or 'without a name'}): {field}: {' '.join(texts)}"
        for row in rows
        for field, texts in row["errors"].items()
    ]


def _form_of(file: str) -> str:
    form = _SUFFIXES.get(Path(file).suffix.lower())
    if form is None:
        raise ConfigError(f"{file}: what form is it? Name it .json, .yaml or .csv, or say --format")
    return form


def _checked(form: str) -> str:
    if form not in TYPES:
        raise ConfigError(f"--format is json, yaml or csv, not {form!r}")
    return form


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    try:
        with path.open("wb") as file:
            file.writelines(pieces)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
