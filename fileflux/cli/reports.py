"""``fileflux runs report`` and ``explain``, ``fileflux jobs match`` and ``history``: what happened, why, and what would."""

from __future__ import annotations

import codecs
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from fileflux.cli import job_options as o
from fileflux.cli.command import Call, Plain, verb
from fileflux.cli.completion import complete_job, complete_place
from fileflux.cli.options import Format, LimitOption
from fileflux.errors import ConfigError, UnavailableError

RunArgument = Annotated[int, typer.Argument(min=1, help="The run's id.")]
SAY_EVERY_S: Final = 2.0
TAIL: Final = 16_384
"""More than the last line of a report."""
_MATCHED: Final = ("matched", "path", "size", "why")
_HISTORY: Final = ("version", "changed_at", "changed_by", "changes")


class ReportFormat(StrEnum):
    CSV = "csv"
    NDJSON = "ndjson"


def add_to(jobs: typer.Typer, runs: typer.Typer) -> None:
    """Make these verbs of jobs and runs."""
    verb(
        runs,
        "report",
        "fileflux runs report 42 --out run-42.csv",
        "fileflux runs report 42 --format ndjson --status failed",
    )(report)
    verb(runs, "explain", "fileflux runs explain 42 report.csv", "fileflux runs explain 42 /srv/data/x.tmp --json")(
        explain
    )
    verb(
        jobs,
        "match",
        "fileflux jobs match web-1:/srv/data --include '*.csv' --exclude 'tmp/'",
        "fileflux jobs match web-1:/srv/data --exclude '*.tmp' --json --fields summary,decided",
    )(match)
    verb(jobs, "history", "fileflux jobs history nightly", "fileflux jobs history nightly --json")(history)


def report(
    call: Plain,
    run: RunArgument,
    form: Annotated[ReportFormat, typer.Option("--format", help="csv, or one JSON object a line.")] = ReportFormat.CSV,
    status: Annotated[
        list[str] | None,
        typer.Option("--status", metavar="STATUS", help="As in failed, or deleted; may be given several times."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Instead of standard output.")] = None,
) -> None:
    """Write what a run did with every file. A report that is cut off is an error, and leaves no FILE."""
    with (
        call.connect() as client,
        client.download(f"/api/runs/{run}/report", format=form.value, status=status) as pieces,
    ):
        told = _told(call, pieces)
        if out is None:
            tail = _print(told)
        else:
            tail = _write(out, told, form)
    if not _is_whole(tail, form):
        raise UnavailableError("the report ends early: the hub could not go on, or the connection broke; ask again")


def explain(call: Call, run: RunArgument, path: Annotated[str, typer.Argument(metavar="PATH")]) -> None:
    """Say why a run sent, skipped, renamed or refused a path, or never saw it. PATH is below the source, or absolute."""
    from fileflux.cli.output import clean

    with call.connect() as client:
        found = client.get(f"/api/runs/{run}/explain", path=path)
    if call.form is not Format.TABLE or call.fields:
        call.record(found)
        return
    print(clean(found["summary"]))
    for step in found["steps"]:
        print(f"  {clean(step['what'])}: {clean(step['detail'])}")


def match(
    call: Call,
    place: Annotated[str, typer.Argument(metavar="AGENT:PATH", autocompletion=complete_place)],
    include: o.IncludeOption = None,
    exclude: o.ExcludeOption = None,
    recursive: o.RecursiveOption = None,
) -> None:
    """Try rules out: which files of an agent would a job with them move now? Nothing is moved."""
    from fileflux.cli.connect import find
    from fileflux.cli.output import size
    from fileflux.cli.place import parse_agent_place

    agent, path = parse_agent_place(place)
    with call.connect() as client:
        body = {"include": include, "exclude": exclude, "recursive": recursive}
        given = {name: value for name, value in body.items() if value is not None}
        asked = {"agent_id": find(client, "agent", agent)["id"], "path": path}
        found = client.post("/api/jobs/match", {**asked, **given})
    if call.form is not Format.TABLE or call.fields:
        call.record(found)
        return
    call.records([*found["matched_sample"], *found["unmatched_sample"]], _MATCHED)
    print(f"{found['summary']} ({size(found['matched_bytes'])} of {size(found['bytes'])})")


def history(
    call: Call,
    job: Annotated[str, typer.Argument(help="Name or #id.", autocompletion=complete_job)],
    limit: LimitOption = 100,
) -> None:
    """Say who changed what of a job, the newest change first."""
    from fileflux.cli.connect import find

    with call.connect() as client:
        found = list(client.pages(f"/api/jobs/{find(client, 'job', job)['id']}/versions", limit))
    people = call.form is Format.TABLE and not call.fields
    call.records([{**one, "changes": _in_words(one)} for one in found] if people else found, _HISTORY)


def _in_words(version: Mapping[str, Any]) -> str:
    if version["version"] == 1:
        return "created"
    changes = version["changes"].items()
    return "; ".join(f"{name}: {_brief(old)} → {_brief(new)}" for name, (old, new) in changes) or "-"


def _brief(value: Any) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _told(call: Plain, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces, with a word now and then on how much has come."""
    from fileflux.cli.output import size

    came, due = 0, time.monotonic() + SAY_EVERY_S
    for piece in pieces:
        came += len(piece)
        if time.monotonic() >= due:
            due = time.monotonic() + SAY_EVERY_S
            call.say(f"{size(came)} …")
        yield piece


def _print(pieces: Iterable[bytes]) -> bytes:
    """To standard output, byte by byte as it came where that takes bytes; returns the end."""
    tail = b""
    binary = getattr(sys.stdout, "buffer", None)
    text = codecs.getincrementaldecoder("utf-8")("replace")
    for piece in pieces:
        tail = (tail + piece)[-TAIL:]
        if binary is None:
            sys.stdout.write(text.decode(piece))
        else:
            binary.write(piece)
    sys.stdout.flush()
    return tail


def _write(out: Path, pieces: Iterable[bytes], form: ReportFormat) -> bytes:
    """Under another name until it is whole; returns the end."""
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    if out.is_dir():
        raise ConfigError(f"{out} is a folder: name a file with --out")
    tail = b""
    try:
        with part.open("xb") as file:
            for piece in pieces:
                tail = (tail + piece)[-TAIL:]
                file.write(piece)
        if _is_whole(tail, form):
            part.replace(out)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
    return tail


def _is_whole(tail: bytes, form: ReportFormat) -> bool:
    """Whether this is how a whole report ends: with a record of the kind ``end``."""
    last = tail.rstrip(b"\r\n").rpartition(b"\n")[2]
    if form is ReportFormat.CSV:
        return tail.endswith(b"\r\n") and last.startswith(b",end,")
    try:
        return bool(json.loads(last)["kind"] == "end")
    except (ValueError, TypeError, KeyError):
        return False
