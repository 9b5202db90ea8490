"""All jobs as a file, in the form that an import takes (``job_import.py``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import marshmallow as ma
from flask import Response

from fileflux.errors import ConflictError
from fileflux.jobs.job_file import FORMS, Form, render_csv, render_json, render_yaml
from fileflux.jobs.models import JobSpec
from fileflux.storage import job_bulk
from fileflux.storage.pool import Database
from fileflux.web.context import deps
from fileflux.web.fields import Choice, Text
from fileflux.web.giving_way import now_and_then
from fileflux.web.job_rows import as_row, columns
from fileflux.web.job_schemas import Posted
from fileflux.web.resource import Resource

job_export = Resource("job-export", "All jobs, as a file.")

PAGE: Final = 200
BREATH: Final = 20
PART: Final = 64 * 1024
_CONTENT_TYPES: Final[Mapping[Form, str]] = {
    "json": "application/json",
    "yaml": "application/yaml",
    "csv": "text/csv; charset=utf-8; header=present",
}


class ExportQuery(ma.Schema):
    format = Choice(FORMS, load_default="json")
    tag = Text(low=1, high=64, load_default=None, allow_none=True)


@job_export.route("GET", "/api/jobs/export", query=ExportQuery)
def export_jobs(query: dict[str, Any]) -> Response:
    """All jobs but those made for one run, as a file that can be imported again. Fields that are as they would be anyway are left out."""
    form: Form = query["format"]
    database, tag = deps().database, query["tag"]

    if form == "csv":
        used = _used(_rows(database, tag))
        pieces = render_csv(_within(_rows(database, tag), used), used)
    else:
        pieces = (render_json if form == "json" else render_yaml)(_rows(database, tag))
    response = Response(_in_parts(pieces), content_type=_CONTENT_TYPES[form])
    response.headers["Content-Disposition"] = f'attachment; filename="jobs.{form}"'
    return response


def _rows(database: Database, tag: str | None) -> Iterator[dict[str, Any]]:
    """Runs after the request, while its answer is sent."""
    with database.transaction() as tx:
        names = job_bulk.agents(tx, usable=False)
    after = 0
    breathe = now_and_then(BREATH)
    while True:
        with database.transaction() as tx:
            found = job_bulk.page(tx, after, PAGE, tag)
        for row in found:
            yield as_row(Posted(JobSpec.from_json(row.spec), row.enabled, ad_hoc=False), names)
            breathe()
        if len(found) < PAGE:
            return
        after = found[-1].id


def _used(rows: Iterator[dict[str, Any]]) -> list[str]:
    """The columns that say something of any job."""
    used = {"name", "source_agent", "source_path", "destination_agent", "destination_path"}
    for row in rows:
        used |= _names(row)
    return [name for name in columns() if name in used]


def _within(rows: Iterator[dict[str, Any]], known: list[str]) -> Iterator[dict[str, Any]]:
    """The rows, as long as these columns say all of them."""
    names = frozenset(known)
    for row in rows:
        if not _names(row) <= names:
            # The header is sent: an answer that is cut off says more than one that lacks a field.
            raise ConflictError(f"job {row['name']} was changed during the export: export again")
        yield row


def _names(row: Mapping[str, Any]) -> set[str]:
    names = {name for name, value in row.items() if not isinstance(value, dict)}
    return names | {f"{name}.{part}" for name, value in row.items() if isinstance(value, dict) for part in value}


def _in_parts(pieces: Iterator[str]) -> Iterator[bytes]:
    """Some KiB at a time: each piece of an answer is a write to its socket."""
    held: list[str] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= PART:
            yield "".join(held).encode()
            held, size = [], 0
    yield "".join(held).encode()
