"""Which of several hubs has a run: the one that its agents are connected to, since files are relayed within one hub.

Where an agent is, is known from ``agent_presence``: the hub that it connected to last. A hub that is gone leaves its rows behind, so they only
ever delay: after one lease any hub may take the run.
"""

# ruff: noqa: S608  # SQL is put together from names in this module only; every value is a parameter

from __future__ import annotations

from uuid import UUID

from fileflux.storage.pool import Transaction

_AGENTS = "p.agent_id IN ((spec ->> 'source_agent_id')::bigint, (spec ->> 'destination_agent_id')::bigint)"
_HERE = f"EXISTS (SELECT FROM agent_presence AS p WHERE p.online AND p.hub = %(owner)s::uuid AND {_AGENTS})"
_ELSEWHERE = f"EXISTS (SELECT FROM agent_presence AS p WHERE p.online AND p.hub <> %(owner)s::uuid AND {_AGENTS})"
NEAR_SQL = (
    f"(wanted = 'cancel' OR NOT {_ELSEWHERE} OR {_HERE}"
    " OR coalesce(lease_until, created_at) < clock_timestamp() - make_interval(secs => %(lease)s))"
)
"""Of a row of ``runs``: hub ``owner`` may take it. One whose agents are all elsewhere is left to that hub for one lease."""


def hand_over(tx: Transaction, owner: UUID) -> int:
    """Let go of the runs of ``owner`` that wait for agents which are at another hub, both if two are online; returns how many."""
    return tx.execute(
        "UPDATE runs SET lease_owner = NULL, lease_until = clock_timestamp()"
        " WHERE lease_owner = %(owner)s::uuid AND status = 'waiting_agent' AND wanted IS DISTINCT FROM 'cancel'"
        f" AND {_ELSEWHERE} AND NOT {_HERE}",
        {"owner": str(owner)},
    )


def elsewhere(tx: Transaction, owner: UUID) -> frozenset[int]:
    """The agents at another hub that runs of ``owner`` wait for."""
    rows = tx.all(
        "SELECT DISTINCT p.agent_id FROM runs JOIN agent_presence AS p"
        f" ON p.online AND p.hub <> %(owner)s::uuid AND {_AGENTS}"
        " WHERE lease_owner = %(owner)s::uuid AND status = 'waiting_agent'",
        {"owner": str(owner)},
    )
    return frozenset(row[0] for row in rows)
