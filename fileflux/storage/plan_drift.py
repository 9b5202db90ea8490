"""How what a run found differs from its plan, compared a batch at a time and kept with the plan."""

# ruff: noqa: S608  # SQL is put together from names in this file only; every value is a parameter
from __future__ import annotations

from typing import Final, Literal

from psycopg2.extras import Json

from fileflux.storage.plans import SILENT_S, StoredEntry
from fileflux.storage.pool import Transaction
from fileflux.storage.rows import page_size

Drift = Literal["new", "changed", "gone"]
DRIFTS: Final[tuple[Drift, ...]] = ("new", "changed", "gone")
SOURCE_CLASSES: Final = ("new", "changed", "equal", "refused")
"""Classes of what the source has."""

# LIMIT 1 keeps PostgreSQL from reading all of a plan for each batch: without statistics of a table that grew a moment ago it would.
_PLANNED: Final = (
    "LEFT JOIN LATERAL (SELECT size, mtime_ns FROM plan_entries"
    " WHERE plan_id = %(plan)s AND sha256(path) = sha256(page.path) AND class <> 'extra' LIMIT 1) AS was ON true"
)
_FOUND: Final = (
    "LEFT JOIN LATERAL (SELECT size FROM transfers"
    " WHERE run_id = %(run)s AND sha256(path) = sha256(page.path) LIMIT 1) AS is_there ON true"
)


def take(tx: Transaction, plan_id: int) -> bool:
    """Whether a plan is to be compared with its run, and nobody is at it: then the caller is."""
    taken = tx.execute(
        "UPDATE plans SET heard_at = clock_timestamp() WHERE id = %s AND run_id IS NOT NULL AND drift IS NULL"
        " AND heard_at < clock_timestamp() - make_interval(secs => %s)",
        (plan_id, SILENT_S),
    )
    return taken > 0


def hold(tx: Transaction, plan_id: int, *, anew: bool) -> bool:
    """Say that somebody is at it; False when there is nothing to do any more. ``anew``: forget what was found."""
    held = tx.execute(
        "UPDATE plans SET heard_at = clock_timestamp() WHERE id = %s AND drift IS NULL AND remove_at > now()",
        (plan_id,),
    )
    if held and anew:
        tx.execute("DELETE FROM plan_drift WHERE plan_id = %s", (plan_id,))
    return held > 0


def compare_found(tx: Transaction, plan_id: int, run_id: int, after: int, limit: int) -> int | None:
    """Note which of the next files of the run's listing, those behind row ``after``, are new or changed; the last one's id, None at the end."""
    tx.execute("UPDATE plans SET heard_at = clock_timestamp() WHERE id = %s", (plan_id,))
    row = tx.one(
        "WITH page AS MATERIALIZED (SELECT id, path, kind, size, mtime_ns FROM transfers"
        " WHERE run_id = %(run)s AND id > %(after)s ORDER BY id LIMIT %(limit)s),"
        " noted AS (INSERT INTO plan_drift (plan_id, path, kind, size, mtime_ns, drift)"
        " SELECT %(plan)s, page.path, page.kind, page.size, page.mtime_ns,"
        f" CASE WHEN was.size IS NULL THEN 'new' ELSE 'changed' END FROM page {_PLANNED}"
        " WHERE was.size IS NULL OR (was.size, was.mtime_ns) <> (page.size, page.mtime_ns) ORDER BY page.id)"
        " SELECT max(id) FROM page",
        {"plan": plan_id, "run": run_id, "after": after, "limit": limit},
    )
    return None if row is None else row[0]


def compare_planned(tx: Transaction, plan_id: int, run_id: int, of_class: str, after: int, limit: int) -> int | None:
    """Note which of the next planned files of a class the run did not find; the last one's id, None at the end."""
    tx.execute("UPDATE plans SET heard_at = clock_timestamp() WHERE id = %s", (plan_id,))
    row = tx.one(
        "WITH page AS MATERIALIZED (SELECT id, path, kind, size, mtime_ns FROM plan_entries"
        " WHERE plan_id = %(plan)s AND class = %(class)s AND id > %(after)s ORDER BY id LIMIT %(limit)s),"
        " noted AS (INSERT INTO plan_drift (plan_id, path, kind, size, mtime_ns, drift)"
        f" SELECT %(plan)s, page.path, page.kind, page.size, page.mtime_ns, 'gone' FROM page {_FOUND}"
        " WHERE page.kind <> 'directory' AND is_there.size IS NULL ORDER BY page.id)"
        " SELECT max(id) FROM page",
        {"plan": plan_id, "run": run_id, "class": of_class, "after": after, "limit": limit},
    )
    return None if row is None else row[0]


def finish(tx: Transaction, plan_id: int) -> None:
    """Every file is compared."""
    counts = dict.fromkeys(DRIFTS, 0) | dict(
        tx.all("SELECT drift, count(*) FROM plan_drift WHERE plan_id = %s GROUP BY drift", (plan_id,))
    )
    tx.execute("UPDATE plans SET drift = %s WHERE id = %s", (Json(counts), plan_id))


def page(tx: Transaction, plan_id: int, kind: Drift, limit: int, cursor: int | None) -> list[StoredEntry]:
    """The files of one kind, by id, those behind ``cursor``."""
    rows = tx.all(
        "SELECT id, path, kind, size, mtime_ns, drift, '' FROM plan_drift"
        " WHERE plan_id = %s AND drift = %s AND id > %s ORDER BY id LIMIT %s",
        (plan_id, kind, cursor or 0, page_size(limit)),
    )
    return [StoredEntry(row[0], bytes(row[1]), *row[2:]) for row in rows]
