"""What the hub has stored, read from its own database: the audit log and the rows, not what the API makes of them."""

from __future__ import annotations

from typing import Any

import psycopg2
import psycopg2.extras

from fileflux.storage.cluster import DATABASE, USER, Cluster
from tests.integration.harness import Hub


def query(hub: Hub, sql: str, *values: object) -> list[dict[str, Any]]:
    """Rows of a hub with an embedded database."""
    cluster = Cluster((hub.folder / "hub").absolute())
    connection = psycopg2.connect(
        user=USER, password=cluster.password, dbname=DATABASE, host=str(cluster.socket_folder())
    )
    try:
        with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.execute(sql, values)
            return [dict(row) for row in cursor.fetchall()]
    finally:
        connection.close()


def connects(hub: Hub, agent: str) -> list[dict[str, Any]]:
    """Every link of an agent whose session was established, in order: ``at``, ``resumed``, ``transport``, ``reason``. A little late."""
    rows = query(
        hub,
        "SELECT at, detail FROM audit WHERE action = 'agent.connected' AND actor = %s ORDER BY id",
        f"agent:{agent}",
    )
    return [{"at": row["at"], **row["detail"]} for row in rows]


def refusals(hub: Hub) -> list[dict[str, Any]]:
    """Everything that was refused to agents."""
    return query(
        hub,
        "SELECT actor, action, object, detail FROM audit WHERE outcome = 'refused' AND actor LIKE 'agent:%%' ORDER BY id",
    )
