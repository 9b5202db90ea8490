"""How the watch of a job does."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import fields

from fileflux.storage import watches as rows
from fileflux.web.context import deps
from fileflux.web.resource import Resource

watches = Resource("watches", "What tells of files that arrive.")

OFF = "off"


class WatchOut(ma.Schema):
    job_id = fields.Integer()
    status = fields.String(
        metadata={
            "description": "off (the job watches nothing, or is disabled), waiting (for its agent), ok, degraded (looked at from time to"
            " time: the system gives no events there) or failed (cannot be looked at now; it goes on trying)"
        }
    )
    how = fields.String(metadata={"description": "native or looking; empty while that is not known"})
    reason = fields.String()
    since = fields.AwareDateTime(allow_none=True, metadata={"description": "when it came to this"})
    seen = fields.Integer(metadata={"description": "files it remembers: in the same version they start nothing again"})
    pending = fields.Integer(metadata={"description": "files that are ready and wait for the next run"})
    last_fired = fields.AwareDateTime(allow_none=True)
    last_run_id = fields.Integer(allow_none=True)


@watches.route("GET", "/api/jobs/<id:job_id>/watch", returns=WatchOut)
def show_watch(job_id: int) -> dict[str, Any]:
    """How the watch of a job does, and what it has seen."""
    with deps().database.transaction() as tx:
        job, row = rows.row_of(tx, job_id)
    shown: dict[str, Any] = {
        "job_id": job_id,
        "status": "waiting",
        "how": "",
        "reason": "the hub has not got to it yet",
        "since": None,
        "seen": 0,
        "pending": 0,
        "last_fired": None,
        "last_run_id": None,
    }
    if row is not None:
        shown |= {name: getattr(row, name) for name in shown.keys() - {"job_id", "pending"}} | {"pending": row.waiting}
    off = _why_off(job.enabled, job.spec.get("watch") is not None and not job.ad_hoc)
    return shown | ({"status": OFF, "how": "", "reason": off} if off else {})


def _why_off(enabled: bool, watching: bool) -> str:  # noqa: FBT001  # two facts of a job, named at the call's end
    if not watching:
        return "the job watches nothing: set its watch"
    return "" if enabled else "the job is disabled"
