"""Which agents were told to be online. A row says what was told last, so that a restart of the hub tells nothing."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from fileflux.storage import outbox
from fileflux.storage.pool import Transaction


def known_online(tx: Transaction, hub: UUID) -> list[int]:
    """The agents that this hub, also in an earlier life, told to be online."""
    return [
        row[0] for row in tx.all("SELECT agent_id FROM agent_presence WHERE online AND hub = %s::uuid", (str(hub),))
    ]


def came(tx: Transaction, hub: UUID, agent_ids: Sequence[int]) -> None:
    """These are here; it is told of those that were not known to be anywhere. Temporary agents are nobody's news."""
    rows = tx.all(
        "WITH here AS (SELECT id FROM agents WHERE id = ANY(%(ids)s::bigint[]) AND NOT temporary ORDER BY id),"
        " before AS (SELECT p.agent_id, p.online FROM agent_presence AS p JOIN here ON here.id = p.agent_id),"
        " put AS (INSERT INTO agent_presence AS p (agent_id, online, hub) SELECT id, true, %(hub)s::uuid FROM here"
        "  ON CONFLICT (agent_id) DO UPDATE SET online = true, hub = EXCLUDED.hub, at = CASE WHEN p.online THEN p.at ELSE now() END"
        "  RETURNING agent_id)"
        " SELECT put.agent_id FROM put LEFT JOIN before USING (agent_id) WHERE before.online IS NOT TRUE ORDER BY 1",
        {"ids": list(agent_ids), "hub": str(hub)},
    )
    outbox.add_many(tx, "agent.online", [row[0] for row in rows])


def went(tx: Transaction, hub: UUID, agent_ids: Sequence[int]) -> None:
    """These are gone from this hub; it is told of those that are not at another one by now."""
    rows = tx.all(
        "UPDATE agent_presence SET online = false, at = now()"
        " WHERE agent_id = ANY(%s::bigint[]) AND online AND hub = %s::uuid RETURNING agent_id",
        (list(agent_ids), str(hub)),
    )
    outbox.add_many(tx, "agent.offline", sorted(row[0] for row in rows))
