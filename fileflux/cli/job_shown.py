"""A job as people are shown it: from where to where, and what is not as it would be anyway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fileflux.errors import NotFoundError

if TYPE_CHECKING:
    from fileflux.cli.client import HubClient

# A test holds it against the hub's schema, which takes too long to import here.
DEFAULTS: Final[dict[str, Any]] = {
    "description": "",
    "tags": [],
    "type": "push",
    "pattern": "",
    "include": [],
    "exclude": [],
    "recursive": True,
    "schedule": None,
    "timezone": "UTC",
    "overlap": "skip",
    "catch_up": "once",
    "jitter_s": 0.0,
    "watch": None,
    "compression": "auto",
    "chunk_size": 8_388_608,
    "verify": "chunks",
    "hub_check": "sample",
    "conflict": "overwrite",
    "delete_extra": False,
    "on_success": "keep",
    "archive_path": "",
    "on_change": "retry",
    "preserve": ["mtime", "mode"],
    "symlinks": "skip",
    "names": "reject",
    "retry": {"attempts": 5, "delay": 10.0, "factor": 2.0},
    "deadline": 604_800.0,
    "expected_by": None,
    "min_age": 0.0,
    "keep_versions": 0,
    "bandwidth_limit": None,
    "priority": 5,
    "parallel": 8,
    "ad_hoc": False,
}
"""What the hub takes for a field that is not given."""
_ABSENT: Final = {"next_run": None, "last_run": None, "last_run_id": None}
_PLACES: Final = ("source_agent_id", "source_path", "destination_agent_id", "destination_path")


def in_short(client: HubClient, job: dict[str, Any]) -> dict[str, Any]:
    """The fields that say something; lists may come in any order."""
    names = {
        number: _name_of(client, number) for number in {job[f"{role}_agent_id"] for role in ("source", "destination")}
    }
    usual = DEFAULTS | _ABSENT
    rest = {
        name: value
        for name, value in job.items()
        if name not in (*_PLACES, "id", "name") and not (name in usual and _same(value, usual[name]))
    }
    return {"id": job["id"], "name": job["name"], **places(job, names), **rest}


def places(job: dict[str, Any], names: dict[int, str]) -> dict[str, str]:
    """``AGENT:PATH``, as people write it, for both ends; ``names`` of agents by id."""
    return {
        role: f"{names.get(job[f'{role}_agent_id'], '#' + str(job[f'{role}_agent_id']))}:{job[f'{role}_path']}"
        for role in ("source", "destination")
    }


def _name_of(client: HubClient, agent_id: int) -> str:
    try:
        return str(client.get(f"/api/agents/{agent_id}")["name"])
    except NotFoundError:
        return f"#{agent_id}"


def _same(value: Any, usual: Any) -> bool:
    return (
        sorted(value) == sorted(usual) if isinstance(value, list) and isinstance(usual, list) else bool(value == usual)
    )
