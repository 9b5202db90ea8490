"""The audit log: who did what, and who was refused."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fileflux.audit import log as rows
from fileflux.storage.pages import Ask
from fileflux.web import account_schemas as schemas
from fileflux.web.context import deps
from fileflux.web.paging import listed
from fileflux.web.resource import Resource

audit = Resource("audit", "Who did what.")


@audit.route("GET", "/api/audit", query=schemas.AuditQuery, returns=schemas.AuditPage)
def list_audit(query: Ask) -> dict[str, Any]:
    """Entries, newest first. Filters are whole values: an actor's e-mail, an action as in `user.created`, an object as in `job:7`."""
    with deps().database.transaction() as tx:
        found = rows.LIST.page(tx, query)
    return listed(query, found, asdict)
