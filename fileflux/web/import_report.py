"""What became of the rows of a job file, as the answer of an import tells it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Literal

import marshmallow as ma
from flask import Response, g
from marshmallow import fields

from fileflux.storage.job_bulk import Wanted
from fileflux.web.giving_way import now_and_then
from fileflux.web.problems import CONTENT_TYPE

Outcome = Literal["created", "updated", "unchanged", "skipped", "failed"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("created", "updated", "unchanged", "skipped", "failed")
ERRORS_MAX: Final = 20_000
"""As many as a file has rows; about 5 MiB."""
BREATH: Final = 200


@dataclass(slots=True)
class ImportRow:
    """One job of a file. ``wanted`` is None for one that is not acceptable; ``errors`` then says why, by field."""

    number: int
    name: str
    wanted: Wanted | None
    errors: dict[str, list[str]] = field(default_factory=dict)
    outcome: Outcome = "failed"
    job_id: int | None = None
    version: int = 1


class ImportedRow(ma.Schema):
    row = fields.Integer(metadata={"description": "of the job in its file, from 1; in CSV the line"})
    name = fields.String()
    outcome = fields.String(metadata={"enum": list(OUTCOMES)})
    job_id = fields.Integer(allow_none=True)
    errors = fields.Dict(keys=fields.String(), values=fields.List(fields.String()))


class Imported(ma.Schema):
    """What an import did, or would do."""

    dry_run = fields.Boolean()
    created = fields.Integer()
    updated = fields.Integer()
    unchanged = fields.Integer()
    skipped = fields.Integer()
    failed = fields.Integer()
    items = fields.List(fields.Nested(ImportedRow))


def sums(rows: Iterable[ImportRow]) -> dict[str, int]:
    """How many rows had which outcome."""
    counted: dict[str, int] = dict.fromkeys(OUTCOMES, 0)
    for row in rows:
        counted[row.outcome] += 1
    return counted


def report(rows: Sequence[ImportRow], *, dry_run: bool) -> Response:
    """The answer to an import that was carried out, or would have been. Made in parts: marshmallow takes half a second for 10,000 rows."""
    body = _document({"dry_run": dry_run, **sums(rows)}, {"items": map(_item, rows)})
    return Response(body, content_type="application/json")


def refusal(rows: Sequence[ImportRow]) -> Response:
    """The answer to an import of which nothing was taken: a problem with the errors of all rows, as ``ROW.field``, and those rows as ``items``."""
    wrong = [row for row in rows if row.errors]
    told, left = list[ImportRow](), ERRORS_MAX
    for row in wrong:
        left -= len(row.errors)
        if left < 0:
            break
        told.append(row)
    more = "" if len(told) == len(wrong) else f"; the errors of the first {len(told)} are told"
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    head = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": f"{len(wrong)} of {len(rows)} jobs cannot be imported, and nothing was changed; see errors, which begin with the row{more}",
        "code": "invalid_jobs",
        "request_id": g.get("request_id", ""),
    }
    errors = ((f"{row.number}.{name}", texts) for row in told for name, texts in row.errors.items())
    return Response(_document(head, {"items": map(_item, told)}, errors), status=status, content_type=CONTENT_TYPE)


def _document(
    head: dict[str, Any], lists: dict[str, Iterator[Any]], errors: Iterator[tuple[str, list[str]]] | None = None
) -> str:
    breathe = now_and_then(BREATH)
    parts = [json.dumps(head)[:-1]]
    for name, items in lists.items():
        shown = []
        for item in items:
            shown.append(json.dumps(item))
            breathe()
        parts.append(f', "{name}": [{", ".join(shown)}]')
    if errors is not None:
        shown = []
        for place, texts in errors:
            shown.append(f"{json.dumps(place)}: {json.dumps(texts)}")
            breathe()
        parts.append(f', "errors": {{{", ".join(shown)}}}')
    return "".join([*parts, "}"])


def _item(row: ImportRow) -> dict[str, Any]:
    return {"row": row.number, "name": row.name, "outcome": row.outcome, "job_id": row.job_id, "errors": row.errors}
