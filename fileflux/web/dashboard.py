"""The dashboard: how the hub is doing, on one page."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import marshmallow as ma
from flask import current_app
from marshmallow import fields

from fileflux.actors.kernel import runtime
from fileflux.jobs.status import RunStatus
from fileflux.storage import alerts as alert_rows
from fileflux.storage import dashboard as rows
from fileflux.storage import runs as run_rows
from fileflux.web import schemas
from fileflux.web.context import deps
from fileflux.web.resource import Resource
from fileflux.web.runs import run_fields
from fileflux.web.settings import hub_version

if TYPE_CHECKING:
    from fileflux.actors.messages import LiveProgress

dashboard = Resource("dashboard", "How the hub is doing.")

FRESH_S: Final = 1.0
"""So long one answer serves everybody who asks."""
ACTIVE_RUNS: Final = 10
FAILING_JOBS: Final = 5
ALERTS: Final = 10
_KEPT: Final = "fileflux.dashboard"


class AgentCounts(ma.Schema):
    online = fields.Integer()
    offline = fields.Integer()
    new = fields.Integer(metadata={"description": "never connected"})
    pending = fields.Integer()
    revoked = fields.Integer()


# One of the fields is called as an attribute of schemas, and may be so only here.
EndedRuns = ma.Schema.from_dict(
    {status.value: fields.Integer() for status in RunStatus if status.terminal}, name="EndedRuns"
)


class RunCounts(ma.Schema):
    active = fields.Integer(metadata={"description": "that have begun and not ended, those that wait for an agent too"})
    queued = fields.Integer()
    last_24h = fields.Nested(EndedRuns, metadata={"description": "that ended within 24 hours"})


class ByteSums(ma.Schema):
    moved = fields.Integer(metadata={"description": "of files"})
    wire = fields.Integer(metadata={"description": "over the wire"})
    reused = fields.Integer(metadata={"description": "that the destination had already"})


class FailingJob(ma.Schema):
    job_id = fields.Integer()
    name = fields.String()
    failed = fields.Integer(metadata={"description": "runs of the last 24 hours that failed or are partial"})
    last_reason = fields.String()


class DashboardOut(ma.Schema):
    agents = fields.Nested(AgentCounts)
    runs = fields.Nested(RunCounts)
    bytes_24h = fields.Nested(
        ByteSums, metadata={"description": "of runs that ended within 24 hours, and of live ones"}
    )
    active_runs = fields.List(fields.Nested(schemas.RunOut), metadata={"description": "newest first, 10 at most"})
    failing_jobs = fields.List(fields.Nested(FailingJob), metadata={"description": "worst first, 5 at most"})
    alerts = fields.List(
        fields.Nested(schemas.AlertOut), metadata={"description": "open ones, newest first, 10 at most"}
    )
    version = fields.String()


class Kept:
    """The newest answer. However many pages ask, one of them looks, and the others get what was seen before."""

    def __init__(self) -> None:
        self._looking = runtime.Lock()
        self._shown: dict[str, Any] = {}
        self._next_look = float("-inf")

    def get(self) -> dict[str, Any]:
        if self._shown and deps().clock.monotonic() < self._next_look:
            return self._shown
        with self._looking:
            now = deps().clock.monotonic()
            if now >= self._next_look:
                # Not only behind the look: who comes meanwhile does not wait for it.
                self._next_look = now + FRESH_S
                try:
                    self._shown = _look()
                except BaseException:
                    self._next_look = now
                    raise
            return self._shown


@dashboard.route("GET", "/api/dashboard", returns=DashboardOut)
def show_dashboard() -> dict[str, Any]:
    """Counts, sums of the last 24 hours, and what needs somebody's eyes. About a second old."""
    kept: Kept = current_app.extensions.setdefault(_KEPT, Kept())
    return kept.get()


def _look() -> dict[str, Any]:
    with deps().database.transaction() as tx:
        agents = rows.agents(tx, deps().agents.online())
        ended = rows.ended(tx)
        live = rows.live(tx)
        active = run_rows.get_many(tx, list(live.bytes_by_run)[:ACTIVE_RUNS])
        failing = rows.failing_jobs(tx, FAILING_JOBS)
        alerts = alert_rows.list_page(tx, ALERTS)
    moved = ended.bytes
    for number, (run_id, stored) in enumerate(live.bytes_by_run.items(), 1):
        moved += _newest(stored, deps().live_runs.progress(run_id))
        if number % 50 == 0:
            runtime.yield_loop()
    return {
        "agents": asdict(agents),
        "runs": {"active": live.total - live.queued, "queued": live.queued, "last_24h": ended.runs},
        "bytes_24h": asdict(moved),
        "active_runs": [run_fields(row) for row in reversed(active) if not RunStatus(row.status).terminal],
        "failing_jobs": failing,
        "alerts": alerts,
        "version": hub_version(),
    }


def _newest(stored: rows.Bytes, live: LiveProgress | None) -> rows.Bytes:
    return stored if live is None else rows.Bytes(live.bytes_done, live.bytes_wire, live.bytes_reused)
