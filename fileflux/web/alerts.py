"""What somebody should look at, until somebody says that it was."""

from __future__ import annotations

from typing import Any

from fileflux.bus.events import AlertRaised
from fileflux.storage import alerts as rows
from fileflux.web import agent_schemas, context, schemas
from fileflux.web.context import deps
from fileflux.web.paging import page
from fileflux.web.resource import Resource

alerts = Resource("alerts", "What somebody should look at.")


@alerts.route("GET", "/api/alerts", query=agent_schemas.AlertQuery, returns=agent_schemas.AlertPage)
def list_alerts(query: dict[str, Any]) -> dict[str, Any]:
    """Open alerts, the newest first; `dismissed=true` shows the dismissed ones too."""
    with deps().database.transaction() as tx:
        found = rows.list_page(tx, query["limit"] + 1, query["cursor"], dismissed=query["dismissed"])
    return page(found, query["limit"], alert_fields)


@alerts.route("POST", "/api/alerts/<id:alert_id>/dismiss", returns=schemas.AlertOut)
def dismiss_alert(alert_id: int) -> dict[str, Any]:
    """Done with. When the same happens again, there is a new alert."""
    with deps().database.transaction() as tx:
        row = rows.dismiss(tx, alert_id, context.principal().email)
        context.audited(tx, "alert.dismissed", f"alert:{alert_id}", kind=row.kind, of=row.object)
    deps().bus.publish(AlertRaised(row.id, row.kind, row.message))
    return alert_fields(row)


def alert_fields(row: rows.AlertRow) -> dict[str, Any]:
    """An alert as the API shows it."""
    return {name: getattr(row, name) for name in schemas.AlertOut().fields}
