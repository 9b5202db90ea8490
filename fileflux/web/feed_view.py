"""What the live feed shows of an object: the same JSON as the REST API, made once for everybody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from flask import Flask

from fileflux.actors.events import Kind, Shown
from fileflux.actors.kernel import runtime
from fileflux.storage import agents as agent_rows
from fileflux.storage import alerts as alert_rows
from fileflux.storage import runs as run_rows
from fileflux.storage import transfers as transfer_rows
from fileflux.web import agent_schemas, context, schemas
from fileflux.web.agents import agent_fields
from fileflux.web.runs import run_fields
from fileflux.web.transfers import live_of, transfer_fields

if TYPE_CHECKING:
    import marshmallow as ma

    from fileflux.storage.pool import Transaction

IN_A_ROW: Final = 10
"""About 2 ms of the loop."""
SCHEMAS: Final[dict[Kind, ma.Schema]] = {
    "agent": agent_schemas.AgentOut(),
    "alert": schemas.AlertOut(),
    "run": schemas.RunOut(),
    "transfer": schemas.TransferOut(),
}


class RestView:
    """``actors.events.View`` over the app's own rendering."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def show(self, kind: Kind, ids: Sequence[int]) -> list[Shown]:
        with self._app.app_context():
            with context.deps().database.transaction() as tx:
                found = _load(tx, kind, ids)
            live = live_of(found) if kind == "transfer" else {}
            order = {row_id: place for place, row_id in enumerate(ids)}
            shown = []
            for number, row in enumerate(sorted(found, key=lambda row: order[row.id]), 1):
                if number % IN_A_ROW == 0:
                    runtime.yield_loop()
                run_id, fields = _fields(kind, row, live)
                shown.append(Shown(run_id, self._app.json.dumps(SCHEMAS[kind].dump(fields), separators=(",", ":"))))
            return shown


def _load(tx: Transaction, kind: Kind, ids: Sequence[int]) -> list[Any]:
    match kind:
        case "agent":
            return list(agent_rows.get_many(tx, ids))
        case "alert":
            return list(alert_rows.get_many(tx, ids))
        case "run":
            return list(run_rows.get_many(tx, ids))
        case "transfer":
            return list(transfer_rows.get_many(tx, ids))
        case _:
            return []


def _fields(kind: Kind, row: Any, live: Any) -> tuple[int | None, Any]:
    match kind:
        case "agent":
            return None, agent_fields(row)
        case "run":
            return row.id, run_fields(row)
        case "transfer":
            return row.run_id, transfer_fields(row, live.get(row.id))
        case _:
            return None, row
