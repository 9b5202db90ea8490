"""``expected_by``: whether a run of the job has succeeded by the time at which one was expected to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fileflux.storage import alerts, fire_times, outbox
from fileflux.storage.alerts import AlertRow
from fileflux.storage.pool import Transaction
from fileflux.storage.schedules import BATCH, Breathe, Entry, short

KIND: Final = "expectation_failed"


@dataclass(frozen=True, slots=True)
class Checked:
    """Write ``entries`` in the same transaction; after the commit, publish AlertRaised for each of ``alerts``.

    ``jobs``: how many were looked at; fewer than BATCH is the end.
    """

    jobs: int
    entries: tuple[Entry, ...] = ()
    alerts: tuple[AlertRow, ...] = ()


def check_due(tx: Transaction, breathe: Breathe, limit: int = BATCH) -> Checked:
    """Look at what was expected by now, once on all hubs; what did not happen is an alert, an audit entry and an event for the world outside."""
    short(tx)
    rows = tx.all(
        "SELECT id, name, spec, expect_at, expect_since, clock_timestamp(), EXISTS (SELECT FROM runs"
        "  WHERE runs.job_id = jobs.id AND status = 'succeeded' AND ended_at > expect_since AND ended_at <= expect_at)"
        " FROM jobs WHERE expect_at <= clock_timestamp() ORDER BY expect_at LIMIT %s FOR NO KEY UPDATE SKIP LOCKED",
        (limit,),
    )
    entries, raised = list[Entry](), list[AlertRow]()
    for job_id, name, spec, expect_at, expect_since, now, succeeded in rows:
        if not succeeded:
            detail = {"expected_by": expect_at.isoformat(), "since": expect_since.isoformat()}
            entries.append(Entry("job.expectation_failed", f"job:{job_id}", "failed", detail))
            outbox.add(tx, "job.expectation_failed", job_id=job_id, detail={"job": name, **detail})
            raised.append(_raise(tx, job_id, name, expect_at))
        following, since = fire_times.expectation(spec, now)
        tx.execute("UPDATE jobs SET expect_at = %s, expect_since = %s WHERE id = %s", (following, since, job_id))
        breathe()
    return Checked(len(rows), tuple(entries), tuple(raised))


def _raise(tx: Transaction, job_id: int, name: str, at: datetime) -> AlertRow:
    shown = f"{at:%Y-%m-%d %H:%M} UTC"
    message = (
        f"No run of job {name} had succeeded by {shown}. Look at its last run, and run it again when the cause is gone."
    )
    return alerts.raise_alert(tx, KIND, f"job:{job_id}", message)
