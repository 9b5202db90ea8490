"""How long runs are kept, with their files, directories and deletions. The audit log is kept for ever.

A run of a million files is removed a batch at a time, each in a transaction of its own: no statement is long, and no lock is held that
others wait for. The row of the run goes last. Until then the run is what it was, except that a retry of it would list its source anew,
since rows may be missing already.

Kept beyond their time are the newest run of each job that is still there, live runs, runs that another one retries, and those whose
destination may still have parts of theirs.
"""

# ruff: noqa: S608  # SQL is put together from texts of this file only; every value is a parameter
from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg2.extras import Json

from fileflux.storage.pool import Transaction
from fileflux.storage.runs import LIVE_SQL
from fileflux.storage.settings import HubSettings

BATCH: Final = 1000
"""Rows that one transaction removes: some 30 ms, most of it for their indexes."""
LOOK: Final = 200
"""Runs that are looked at in one statement."""
_REMOVED: Final = "history.removed"
"""What has been removed and is not in the audit log yet."""

# Ended long enough ago; a number of days that is 0 stands for ever.
_OLD = "r.ended_at < now() - make_interval(days => nullif(CASE WHEN r.status IN ('failed', 'partial') THEN %(failed)s ELSE %(days)s END, 0))"
_LIVE_FOLLOWER = LIVE_SQL.replace("status", "w.status")
_NEEDED = (
    "EXISTS (SELECT FROM jobs j WHERE j.id = r.job_id AND j.deleted_at IS NULL AND NOT j.ad_hoc)"
    " AND NOT EXISTS (SELECT FROM runs n WHERE n.job_id = r.job_id AND (n.id + 0) > r.id)"
    " OR EXISTS (SELECT FROM runs t WHERE t.retry_of = r.id)"
    f" OR EXISTS (SELECT FROM runs w WHERE w.after_run = r.id AND {_LIVE_FOLLOWER})"
    " OR r.parts_left AND r.ended_at > now() - interval '30 days'"
)
_REMOVABLE = f"{_OLD} AND NOT ({LIVE_SQL.replace('status', 'r.status')}) AND NOT ({_NEEDED})"
_TABLES: Final = {
    "transfers": "sha256(path)",
    "run_directories": "sha256(path)",
    "run_deletions": "sha256(path)",
    "run_names": "key",
}
"""Each with the order of its unique index within a run. Without an order PostgreSQL takes a run with a tenth of all files for spread evenly,
and looks for it from the table's beginning."""


@dataclass(frozen=True, slots=True)
class Term:
    """Days that runs are kept after their end; ``failed`` is for those that failed in part or as a whole. 0: for ever."""

    days: int
    failed: int

    @classmethod
    def of(cls, settings: HubSettings) -> Term:
        return cls(settings.history_days, settings.history_failed_days)

    @property
    def shortest(self) -> int:
        """0: nothing is ever removed."""
        return min((days for days in (self.days, self.failed) if days), default=0)


@dataclass(frozen=True, slots=True)
class Place:
    """How far a look through the old runs has come."""

    ended_at: datetime
    id: int


@dataclass(frozen=True, slots=True)
class Removed:
    """``gone``: the run is, and not only some of its rows."""

    files: int
    rows: int
    gone: bool


def old_runs(tx: Transaction, term: Term, after: Place | None) -> tuple[list[int], Place | None]:
    """The next runs that may be removed, oldest first, and where to go on; None when there is nothing older any more."""
    if not term.shortest:
        return [], None
    place = "" if after is None else "AND (ended_at, id) > (%(ended_at)s, %(id)s)"
    rows = tx.all(
        f"SELECT r.id, r.ended_at, {_REMOVABLE} FROM ("
        f"SELECT * FROM runs WHERE ended_at < now() - make_interval(days => %(shortest)s) {place}"
        " ORDER BY ended_at, id LIMIT %(limit)s) AS r ORDER BY r.ended_at, r.id",
        {
            "days": term.days,
            "failed": term.failed,
            "shortest": term.shortest,
            "limit": LOOK,
            "ended_at": after and after.ended_at,
            "id": after and after.id,
        },
    )
    following = Place(rows[-1][1], rows[-1][0]) if len(rows) == LOOK else None
    return [row_id for row_id, _, removable in rows if removable], following


def remove_some(tx: Transaction, run_id: int, term: Term, limit: int = BATCH) -> Removed | None:
    """Remove at most ``limit`` rows of a run; and itself, when that was all. None when it is to be kept, or somebody else has it in hand."""
    params: dict[str, Any] = {"run": run_id, "days": term.days, "failed": term.failed}
    # Whoever would retry it now waits for the lock, and finds it gone or without its plan.
    row = tx.one(
        f"SELECT job_id FROM runs AS r WHERE id = %(run)s AND {_REMOVABLE} FOR UPDATE OF r SKIP LOCKED", params
    )
    if row is None:
        return None
    left, files = limit, 0
    for table, order in _TABLES.items():
        count = tx.execute(
            f"DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE run_id = %s ORDER BY run_id, {order} LIMIT %s))",
            (run_id, left),
        )
        files += count if table == "transfers" else 0
        left -= count
        if left <= 0:
            tx.execute("UPDATE runs SET plan = NULL, planned = false WHERE id = %s AND plan IS NOT NULL", (run_id,))
            _note(tx, 0, files)
            return Removed(files, limit, gone=False)
    tx.execute("UPDATE runs SET after_run = NULL WHERE after_run = %s", (run_id,))
    tx.execute("DELETE FROM runs WHERE id = %s", (run_id,))
    _forget_job(tx, row[0])
    _note(tx, 1, files)
    return Removed(files, limit - left, gone=True)


def to_report(tx: Transaction) -> dict[str, Any] | None:
    """What was removed since the last report, once a day; whoever gets it writes it into the audit log in this transaction."""
    row = tx.one(
        "DELETE FROM settings WHERE key = %s AND (value ->> 'since')::timestamptz < now() - interval '1 day' RETURNING value",
        (_REMOVED,),
    )
    return None if row is None else dict(row[0])


def _forget_job(tx: Transaction, job_id: int) -> None:
    """A job that was made for one run goes with it."""
    gone = "ad_hoc AND NOT EXISTS (SELECT FROM runs WHERE job_id = j.id) AND NOT EXISTS (SELECT FROM plans WHERE job_id = j.id)"
    if tx.one(f"SELECT FROM jobs AS j WHERE id = %s AND {gone} FOR UPDATE", (job_id,)) is not None:
        tx.execute("DELETE FROM job_versions WHERE job_id = %s", (job_id,))
        tx.execute("DELETE FROM jobs WHERE id = %s", (job_id,))


def _note(tx: Transaction, runs: int, files: int) -> None:
    tx.execute(
        "INSERT INTO settings (key, value) VALUES (%(key)s, jsonb_build_object('since', now()) || %(value)s)"
        " ON CONFLICT (key) DO UPDATE SET value = settings.value || jsonb_build_object("
        "'runs', (settings.value ->> 'runs')::bigint + %(runs)s, 'files', (settings.value ->> 'files')::bigint + %(files)s)",
        {"key": _REMOVED, "value": Json({"runs": runs, "files": files}), "runs": runs, "files": files},
    )
