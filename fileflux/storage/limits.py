"""The limits that take effect on live runs: what jobs, agents and the hub's settings say of them now."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from fileflux.jobs.bandwidth import DEFAULT_PRIORITY
from fileflux.storage.agents import id_array
from fileflux.storage.pool import Transaction


@dataclass(frozen=True, slots=True)
class JobNow:
    """Of a job as it is now, whatever its live runs were started with."""

    bandwidth: int | None
    priority: int
    parallel: int


@dataclass(frozen=True, slots=True)
class AgentNow:
    """``limit``: the lower one of what is set for the agent here and of what its own configuration says."""

    name: str
    limit: int | None
    timetable: list[dict[str, Any]]


def of_jobs(tx: Transaction, job_ids: Collection[int]) -> dict[int, JobNow]:
    """Those of these jobs that there are."""
    rows = tx.all(
        "SELECT id, (spec->>'bandwidth_limit')::bigint, (spec->>'priority')::int, (spec->>'parallel')::int"
        " FROM jobs WHERE id = ANY(%s::bigint[])",
        (id_array(job_ids),),
    )
    return {
        # Jobs that are older than priorities have none.
        job_id: JobNow(bandwidth, priority or DEFAULT_PRIORITY, parallel)
        for job_id, bandwidth, priority, parallel in rows
    }


def of_agents(tx: Transaction) -> dict[int, AgentNow]:
    """All agents that have a limit of any kind."""
    rows = tx.all(
        "SELECT id, name, least(bandwidth_limit, nullif((info->>'bandwidth_limit')::bigint, 0)), bandwidth_timetable FROM agents"
        " WHERE bandwidth_limit IS NOT NULL OR bandwidth_timetable <> '[]' OR info->>'bandwidth_limit' <> '0'"
    )
    return {agent_id: AgentNow(name, limit, timetable) for agent_id, name, limit, timetable in rows}
