"""The chunks of one transfer, as far as the hub knows of them: for a live one the relay's own account, which is not stored."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

import marshmallow as ma
from marshmallow import fields

from fileflux.errors import NotFoundError
from fileflux.jobs.status import TransferStatus
from fileflux.protocol.limits import MAX_CHUNKS
from fileflux.storage import transfers
from fileflux.storage.transfers import TransferRow
from fileflux.web.context import deps
from fileflux.web.resource import Resource

CHUNKS_MAX: Final = 1000
"""In one page: enough for a file of 8 GB at once, and a few milliseconds of JSON."""
STATUSES: Final = ("missing", "in_flight", "acked", "done")

chunks = Resource("chunks", "The chunks of a transfer.")


class ChunkCursor(fields.String):
    """Loads to the index at which the page begins."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        value = super()._deserialize(value, attr, data, **kwargs)
        try:
            index = int(base64.urlsafe_b64decode(value.encode("ascii")).decode("ascii").removeprefix("chunk:"))
        except ValueError:
            index = -1
        if not 0 <= index <= MAX_CHUNKS or value != _cursor(index):
            raise ma.ValidationError("Not a cursor of this list; use next_cursor of the page before.")
        return index


class ChunkQuery(ma.Schema):
    limit = fields.Integer(load_default=200, validate=ma.validate.Range(1, CHUNKS_MAX))
    cursor = ChunkCursor(load_default=0)


class ChunkOut(ma.Schema):
    """One chunk of a file."""

    index = fields.Integer()
    offset = fields.Integer()
    size = fields.Integer(metadata={"description": "uncompressed"})
    status = fields.String(metadata={"enum": list(STATUSES)})


class ChunkPage(ma.Schema):
    items = fields.List(fields.Nested(ChunkOut))
    next_cursor = fields.String(allow_none=True)


@chunks.route("GET", "/api/transfers/<id:transfer_id>/chunks", query=ChunkQuery, returns=ChunkPage)
def list_chunks(query: dict[str, Any], transfer_id: int) -> dict[str, Any]:
    """The chunks of a transfer by index.

    ``done``: the transfer is completed or skipped. ``acked``: the destination has written and synced it in the present attempt.
    ``in_flight``: it is on its way. ``missing``: all others, also what the destination has from an earlier attempt and has not compared yet.
    """
    with deps().database.transaction() as tx:
        row = transfers.get(tx, transfer_id)
    if row is None:
        raise NotFoundError(f"there is no transfer {transfer_id}")
    first: int = query["cursor"]
    statuses = _statuses(row, first, query["limit"])
    last = first + len(statuses)
    return {
        "items": [_fields(row, first + place, status) for place, status in enumerate(statuses)],
        "next_cursor": _cursor(last) if last < row.total_chunks else None,
    }


def _statuses(row: TransferRow, first: int, limit: int) -> list[str]:
    count = max(0, min(limit, row.total_chunks - first))
    match TransferStatus(row.status):
        case TransferStatus.COMPLETED | TransferStatus.SKIPPED:
            return ["done"] * count
        case TransferStatus.FAILED | TransferStatus.CANCELLED:
            # Its part is discarded.
            return ["missing"] * count
        case _:
            return deps().live_runs.chunks(row.run_id, row.id, first, count) or ["missing"] * count


def _fields(row: TransferRow, index: int, status: str) -> dict[str, Any]:
    offset = index * row.chunk_size
    return {"index": index, "offset": offset, "size": max(0, min(row.chunk_size, row.size - offset)), "status": status}


def _cursor(index: int) -> str:
    return base64.urlsafe_b64encode(f"chunk:{index}".encode("ascii")).decode("ascii")
