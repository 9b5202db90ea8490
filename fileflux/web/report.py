"""``GET /api/runs/{id}/report``: what a run did with every file, as CSV or one JSON object a line, while it is read.

A page of rows is read, written and forgotten before the next one is read; between two pages there is no transaction, so a reader may take
its time, within the deadlines of every connection. What ends early is noticed: only a whole report ends with its last line.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final
from urllib.parse import quote

import marshmallow as ma
import structlog
from flask import Response
from marshmallow import fields, validate

from fileflux.errors import FluxError, NotFoundError
from fileflux.jobs.models import JobSpec
from fileflux.jobs.status import TransferStatus
from fileflux.storage import report as rows
from fileflux.storage import runs
from fileflux.storage.deletions import Deletion
from fileflux.storage.pool import Database
from fileflux.storage.transfers import TransferRow
from fileflux.storage.values import shown_name
from fileflux.web.context import deps
from fileflux.web.paging import Several
from fileflux.web.places import Places
from fileflux.web.resource import Resource

OPEN_MAX: Final = 16
"""Reports at once, each with a connection and a greenlet: more wait for their turn and share the loop with the runs."""
COLUMNS: Final = (
    "path", "kind", "size", "status", "reason", "code", "bytes_transferred", "bytes_reused", "retry_count", "file_hash", "started_at",
    "ended_at", "final_path",
)  # fmt: skip
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet takes for the beginning of a formula, or drops and then takes for one."""
DELETED: Final = "deleted"
_TYPES: Final = {"csv": "text/csv; charset=utf-8; header=present", "ndjson": "application/x-ndjson"}

Record = dict[str, Any]
Form = Callable[[Iterable[Record]], str]

reports = Resource("reports", "What a run did, file by file.")
log = structlog.get_logger("fileflux.report")


class ReportQuery(ma.Schema):
    format = fields.String(load_default="csv", validate=validate.OneOf(tuple(_TYPES)))
    status = Several(
        (*TransferStatus, DELETED),
        metadata={"description": "these only; deleted: what delete_extra removed at the destination"},
    )


_places: Final = Places(OPEN_MAX, "reports")


@reports.route("GET", "/api/runs/<id:run_id>/report", query=ReportQuery)
def report_run(query: dict[str, Any], run_id: int) -> Response:
    """Every file of a run, in the order in which they were found: CSV, or one JSON object a line.

    A whole report ends with a record of the kind `end`. Without it the connection broke, or the hub could not go on: ask again.
    """
    database = deps().database
    with database.transaction() as tx:
        row = runs.get(tx, run_id)
    if row is None:
        raise NotFoundError(f"there is no run {run_id}")
    form: str = query["format"]
    leave = _places.take()
    response = Response(stream(database, row, form, frozenset(query["status"] or ())), content_type=_TYPES[form])
    response.headers["Content-Disposition"] = disposition(run_id, JobSpec.from_json(row.spec).name, form)
    # A proxy that gathers answers would hold them whole.
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(leave)
    return response


def stream(database: Database, run: runs.RunRow, form: str, statuses: frozenset[str] = frozenset()) -> Iterator[bytes]:
    """The body, page by page; of all files, or those of these statuses."""
    write: Form = as_csv if form == "csv" else as_ndjson
    if form == "csv":
        yield _csv_text([COLUMNS]).encode()
    count = 0
    try:
        for records in _pages(database, run.id, statuses):
            count += len(records)
            if records:
                yield write(records).encode()
        with database.transaction() as tx:
            now = runs.get(tx, run.id)
    except FluxError as error:
        # The status is sent already; a report that does not end with its end says so.
        log.warning("a report was cut short", run=run.id, error=error.message)
        return
    status = run.status if now is None else now.status
    yield write([{"kind": "end", "size": count, "status": status, "reason": f"{count} records"}]).encode()


def _pages(database: Database, run_id: int, statuses: frozenset[str]) -> Iterator[list[Record]]:
    of_files = [TransferStatus(status) for status in statuses - {DELETED}]
    if of_files or not statuses:
        for page in rows.pages(database, run_id, of_files):
            yield [file_record(row) for row in page]
    if DELETED in statuses or not statuses:
        for extras in rows.deletions_of(database, run_id):
            yield [deletion_record(row) for row in extras if not statuses or row.outcome == DELETED]


def deletion_record(row: Deletion) -> Record:
    """Something that stood at the destination only."""
    return {
        "path": shown_name(row.path),
        "kind": "directory" if row.directory else "file",
        "size": row.size,
        "status": row.outcome,
        "reason": row.reason or ("not at the source (delete_extra)" if row.outcome == DELETED else ""),
        "code": "extra",
        "final_path": shown_name(row.path),
    }


def file_record(row: TransferRow) -> Record:
    """One file, with the names of COLUMNS."""
    return {
        "path": row.filename,
        "kind": row.kind,
        "size": row.size,
        "status": row.status,
        "reason": row.reason,
        "code": row.code,
        "bytes_transferred": row.bytes_wire,
        "bytes_reused": row.bytes_reused,
        "retry_count": row.retry_count,
        "file_hash": None if row.file_hash is None else row.file_hash.hex(),
        "started_at": None if row.started_at is None else row.started_at.isoformat(),
        "ended_at": None if row.ended_at is None else row.ended_at.isoformat(),
        "final_path": None if row.final_path is None else shown_name(row.final_path),
    }


def as_ndjson(records: Iterable[Record]) -> str:
    """One object a line."""
    return "".join(json.dumps(_whole(record), ensure_ascii=False, separators=(",", ":")) + "\n" for record in records)


def as_csv(records: Iterable[Record]) -> str:
    """RFC 4180; a text that a spreadsheet would take for a formula has a ``'`` in front."""
    return _csv_text([_cell(record.get(name)) for name in COLUMNS] for record in records)


def disposition(run_id: int, job: str, form: str) -> str:
    """RFC 6266: a plain name for every client, and the job's for those that can read it; nothing of it can leave its place."""
    plain = f"run-{run_id}.{form}"
    name = f"{job} {plain}".replace("/", "_").replace("\\", "_")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name.encode('utf-8', 'replace'), safe='')}"


def _whole(record: Record) -> Record:
    return {name: record.get(name) for name in COLUMNS}


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def _csv_text(records: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(records)
    return text.getvalue()
