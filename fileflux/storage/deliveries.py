"""What waits to be delivered, and the log of what was.

A delivery is taken for a lease by the database's clock: its ``due_at`` moves to the lease's end and ``attempts`` counts up, so two hubs never have
the same one at once, and one that was taken by a hub that is gone comes up again. An attempt writes its outcome under its own number only.
A target that fails again and again is held: one delivery now and then shows whether it is back.
"""

# ruff: noqa: S608  # SQL is put together from names in this module only; every value is a parameter
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from fileflux.errors import ConflictError, NotFoundError
from fileflux.jobs.notice_text import Notice
from fileflux.jobs.webhook import FAILING_AFTER, TEST, hold_for
from fileflux.storage import notifications
from fileflux.storage.pool import Transaction
from fileflux.storage.rows import page_size
from fileflux.storage.values import exact_json, safe_text

LEASE_S: Final = 60.0
"""More than any attempt takes: webhooks have 15 s, mails 40."""
PER_TARGET: Final = 2
"""Deliveries of one target on their way at once, so that a slow one leaves room for the others."""
FAILING_PLACES: Final = 4
"""Deliveries on their way at once to targets that fail."""
MAILS_PER_MINUTE: Final = 10
"""To one target; what comes beyond that minute is told in one mail."""
MAIL_EVENTS: Final = 500
"""Events that one batch of mails tells of."""
BACKLOG_MAX: Final = 10_000
"""Deliveries that may wait for one target; then nothing is added until there are fewer."""
PATIENCE_S: Final = 36 * 3600.0
"""After so long a delivery has failed, also one that was hardly tried because its target was held or disabled."""
KEPT_DAYS: Final = 30
ANSWER_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery that was taken; ``message_id`` is what receivers know the event by."""

    id: int
    attempt: int
    message_id: str
    notice: Notice


@dataclass(frozen=True, slots=True)
class Batch:
    """Deliveries of one target that are sent one after the other; the first ``single`` of them alone, the rest of a batch of mails in one."""

    target_id: int
    name: str
    kind: str
    url: str
    addresses: tuple[str, ...]
    secrets: tuple[str, ...] = field(repr=False)
    failing: bool
    single: int
    deliveries: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended. ``gone``: the target wants nothing more (410)."""

    ok: bool
    error: str = ""
    http_status: int | None = None
    answer: str = ""
    gone: bool = False
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Settled:
    """The outcome of a delivery's attempt; ``retry_in`` None: it has ended."""

    delivery: Delivery
    outcome: Outcome
    retry_in: float | None


@dataclass(frozen=True, slots=True)
class LogRow:
    """A delivery as it is listed. ``event_id`` is what the receiver gets as ``webhook-id``."""

    id: int
    event_id: str
    type: str
    at: datetime
    data: dict[str, Any]
    status: str
    attempts: int
    next_attempt_at: datetime | None
    last_attempt_at: datetime | None
    http_status: int | None
    answer: str
    error: str
    created_at: datetime
    ended_at: datetime | None


_TARGET: Final = (
    "id, name, kind, coalesce(url, ''), addresses, secret,"
    " CASE WHEN old_secret_ends > clock_timestamp() THEN old_secret END, failures"
)
_LOG: Final = (
    "d.id, 'msg_' || e.uid, e.type, e.at, e.data, d.status, d.attempts, d.due_at, d.last_at, d.http_status, d.answer, d.error, d.created_at,"
    " d.ended_at"
)
_TAKE: Final = (
    "UPDATE notification_deliveries AS d SET attempts = attempts + 1, last_at = clock_timestamp(),"
    " due_at = clock_timestamp() + make_interval(secs => %(lease)s) FROM notification_events AS e"
    " WHERE e.id = d.event_id AND d.id IN (SELECT id FROM notification_deliveries WHERE target_id = %(target)s AND status = 'pending'"
    "  AND due_at <= clock_timestamp() ORDER BY due_at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)"
    " RETURNING d.id, d.attempts, 'msg_' || e.uid, e.type, e.at, e.data"
)
_READY: Final = "enabled AND deleted_at IS NULL AND (hold_until IS NULL OR hold_until <= clock_timestamp())"


def seconds_to_next(tx: Transaction, busy: Sequence[int]) -> float | None:
    """Until something is due, of targets that are not ``busy``; negative: since when. None: nothing waits."""
    row = tx.one(
        "SELECT extract(epoch FROM min(greatest(first.due_at, t.hold_until)) - clock_timestamp())::float8 FROM notification_targets AS t"
        " CROSS JOIN LATERAL (SELECT min(due_at) AS due_at FROM notification_deliveries WHERE target_id = t.id AND status = 'pending') AS first"
        " WHERE t.enabled AND t.deleted_at IS NULL AND first.due_at IS NOT NULL AND t.id <> ALL(%s::bigint[])",
        (list(busy),),
    )
    return None if row is None else row[0]


def take(tx: Transaction, free: int, under_way: Mapping[int, int], failing: int) -> list[Batch]:
    """What is due, for at most ``free`` batches. ``under_way``: how many batches of each target there are; ``failing``: of those that fail.

    Healthy targets come first, in any order. What is taken has to be settled within LEASE_S.
    """
    full = [target_id for target_id, count in under_way.items() if count >= PER_TARGET]
    targets = tx.all(
        f"SELECT {_TARGET} FROM notification_targets AS t WHERE {_READY} AND id <> ALL(%s::bigint[]) AND EXISTS"
        " (SELECT FROM notification_deliveries WHERE target_id = t.id AND status = 'pending' AND due_at <= clock_timestamp())"
        " ORDER BY failures >= %s, random() LIMIT %s FOR NO KEY UPDATE OF t SKIP LOCKED",
        (full, FAILING_AFTER, max(1, free)),
    )
    batches: list[Batch] = []
    for values in targets:
        begun, fails = under_way.get(values[0], 0), values[-1] >= FAILING_AFTER
        if fails and (failing >= FAILING_PLACES or begun):
            continue
        if values[2] == "email":
            found = [] if begun else _take_mails(tx, values, failing=fails)
        else:
            found = _take_webhooks(tx, values, 1 if fails else PER_TARGET - begun, failing=fails)
        failing += len(found) if fails else 0
        batches += found
        if len(batches) >= free:
            break
    return batches


def settle(tx: Transaction, batch: Batch, settled: Sequence[Settled]) -> list[str]:
    """Store outcomes; what an attempt that is not the last one says changes nothing. Returns what somebody should know, in sentences."""
    news: list[str] = []
    for one in settled:
        outcome = one.outcome
        status = "delivered" if outcome.ok else "pending" if one.retry_in is not None else "failed"
        tx.execute(
            "UPDATE notification_deliveries SET status = %(status)s, http_status = %(http)s, answer = %(answer)s, error = %(error)s,"
            " due_at = clock_timestamp() + make_interval(secs => %(retry)s::float8),"
            " ended_at = CASE WHEN %(status)s <> 'pending' THEN clock_timestamp() END"
            " WHERE id = %(id)s AND attempts = %(attempt)s AND status = 'pending'",
            {
                "id": one.delivery.id,
                "attempt": one.delivery.attempt,
                "status": status,
                "http": outcome.http_status,
                "answer": safe_text(outcome.answer)[:ANSWER_MAX],
                "error": safe_text(outcome.error)[:ANSWER_MAX],
                "retry": one.retry_in if status == "pending" else None,
            },
        )
        if outcome.gone:
            notifications.disable(tx, batch.target_id, "it answered 410: it wants nothing more")
            news.append(
                f"{batch.name} answered 410 (gone) and is disabled. Enable it when that was a mistake, else delete it"
            )
        elif status == "failed" and one.delivery.notice.type != TEST:
            news.append(
                f"{batch.name} did not get {one.delivery.notice.type} after {one.delivery.attempt} attempts: {outcome.error}."
                " Mend the target, then deliver it again from its log"
            )
    if all(one.delivery.notice.type == TEST for one in settled):
        return news
    if any(one.outcome.ok for one in settled):
        tx.execute(
            "UPDATE notification_targets SET failures = 0, hold_until = NULL WHERE id = %s AND failures > 0",
            (batch.target_id,),
        )
    elif settled:
        _count_failure(tx, batch.target_id)
    return news


def make_test(tx: Transaction, target_id: int, detail: Mapping[str, Any]) -> Batch:
    """A test for one target, taken already: send it and settle it. Raises NotFoundError."""
    notifications.get(tx, target_id)
    target = tx.one(f"SELECT {_TARGET} FROM notification_targets WHERE id = %s", (target_id,))
    made = tx.one(
        "WITH event AS (INSERT INTO notification_events (type, data) VALUES (%s, %s::jsonb) RETURNING id)"
        " INSERT INTO notification_deliveries (event_id, target_id) SELECT id, %s FROM event RETURNING id",
        (TEST, exact_json(detail, "the test"), target_id),
    )
    assert target is not None and made is not None  # noqa: S101, PT018  # for the type checker: both rows are there
    tx.execute("UPDATE notification_deliveries SET due_at = clock_timestamp() WHERE id = %s", made)
    # Alone: what else waits for this target stays where it is.
    rows = tx.all(
        _TAKE.replace("target_id = %(target)s", "id = %(one)s AND target_id = %(target)s"),
        {"one": made[0], "target": target_id, "limit": 1, "lease": LEASE_S},
    )
    return _batch(target, rows, failing=False, single=1)


def redeliver(tx: Transaction, target_id: int, delivery_id: int) -> LogRow:
    """The same event once more, as a delivery of its own, with the id by which receivers know what they have had.

    Raises NotFoundError, and ConflictError while the target is disabled or the delivery still waits.
    """
    target, row = notifications.get(tx, target_id), get(tx, target_id, delivery_id)
    if not target.enabled:
        raise ConflictError(f"{target.name} is disabled; enable it first", code="disabled")
    if row.status == "pending":
        raise ConflictError("this delivery has not ended: it is tried again by itself", code="pending")
    made = tx.one(
        "INSERT INTO notification_deliveries (event_id, target_id, due_at)"
        " SELECT event_id, target_id, clock_timestamp() FROM notification_deliveries WHERE id = %s RETURNING id",
        (delivery_id,),
    )
    assert made is not None  # noqa: S101  # for the type checker: the row was read above
    tx.execute(
        "UPDATE notification_targets SET hold_until = NULL WHERE id = %s AND hold_until IS NOT NULL", (target_id,)
    )
    return get(tx, target_id, made[0])


def get(tx: Transaction, target_id: int, delivery_id: int) -> LogRow:
    """Raises NotFoundError."""
    row = tx.one(
        f"SELECT {_LOG} FROM notification_deliveries AS d JOIN notification_events AS e ON e.id = d.event_id"
        " WHERE d.id = %s AND d.target_id = %s",
        (delivery_id, target_id),
    )
    if row is None:
        raise NotFoundError(f"there is no delivery {delivery_id} of notification {target_id}")
    return LogRow(*row)


def list_page(tx: Transaction, target_id: int, limit: int, cursor: int | None = None) -> list[LogRow]:
    """The log of a target, newest first, those before ``cursor``."""
    rows = tx.all(
        f"SELECT {_LOG} FROM notification_deliveries AS d JOIN notification_events AS e ON e.id = d.event_id"
        " WHERE d.target_id = %(target)s AND (%(cursor)s::bigint IS NULL OR d.id < %(cursor)s) ORDER BY d.id DESC LIMIT %(limit)s",
        {"target": target_id, "cursor": cursor, "limit": page_size(limit)},
    )
    return [LogRow(*row) for row in rows]


def watch_backlogs(tx: Transaction) -> list[tuple[int, str]]:
    """Note which targets have too much waiting; those that have since now, by id and name: what happens meanwhile they are not told."""
    rows = tx.all(
        "UPDATE notification_targets AS t SET full_up = x.full_up FROM (SELECT id, (SELECT count(*) FROM (SELECT FROM notification_deliveries"
        "   WHERE target_id = one.id AND status = 'pending' LIMIT %(most)s) AS waiting) >= %(most)s AS full_up"
        "  FROM notification_targets AS one WHERE deleted_at IS NULL) AS x"
        " WHERE x.id = t.id AND t.full_up <> x.full_up RETURNING t.id, t.name, t.full_up",
        {"most": BACKLOG_MAX},
    )
    return [(target_id, name) for target_id, name, full_up in rows if full_up]


def give_up_old(tx: Transaction, limit: int) -> list[tuple[int, str]]:
    """Those that waited for PATIENCE_S have failed; the targets concerned, by id and name."""
    rows = tx.all(
        "WITH old AS (SELECT id FROM notification_deliveries WHERE created_at < clock_timestamp() - make_interval(secs => %s)"
        "  AND status = 'pending' ORDER BY created_at LIMIT %s FOR UPDATE SKIP LOCKED),"
        " given_up AS (UPDATE notification_deliveries AS d SET status = 'failed', due_at = NULL, ended_at = clock_timestamp(),"
        "  error = CASE WHEN error = '' THEN 'not delivered in time' ELSE error END FROM old WHERE old.id = d.id RETURNING target_id)"
        " SELECT DISTINCT t.id, t.name FROM given_up JOIN notification_targets AS t ON t.id = given_up.target_id WHERE t.deleted_at IS NULL",
        (PATIENCE_S, limit),
    )
    return [(target_id, name) for target_id, name in rows]


def tidy(tx: Transaction, limit: int) -> int:
    """Remove at most ``limit`` rows of each kind that nobody needs: old ones, and those of deleted targets. How many."""
    removed = tx.execute(
        "DELETE FROM notification_deliveries WHERE id IN (SELECT id FROM notification_deliveries"
        " WHERE created_at < now() - make_interval(days => %s) AND status <> 'pending' ORDER BY created_at LIMIT %s)",
        (KEPT_DAYS, limit),
    )
    removed += tx.execute(
        "DELETE FROM notification_deliveries WHERE id IN (SELECT d.id FROM notification_targets AS t"
        " JOIN notification_deliveries AS d ON d.target_id = t.id WHERE t.deleted_at IS NOT NULL LIMIT %s)",
        (limit,),
    )
    removed += tx.execute(
        "DELETE FROM notification_events WHERE id IN (SELECT id FROM notification_events AS e WHERE at < now() - make_interval(days => %s)"
        " AND NOT EXISTS (SELECT FROM notification_deliveries WHERE event_id = e.id) ORDER BY at LIMIT %s)",
        (KEPT_DAYS, limit),
    )
    return removed + tx.execute(
        "DELETE FROM notification_targets AS t WHERE deleted_at IS NOT NULL"
        " AND NOT EXISTS (SELECT FROM notification_deliveries WHERE target_id = t.id)"
    )


def end_waiting(tx: Transaction, reason: str) -> int:
    """What waits will not be delivered: for a restored backup, whose world has moved on. How many."""
    return tx.execute(
        "UPDATE notification_deliveries SET status = 'failed', due_at = NULL, ended_at = clock_timestamp(), error = %s WHERE status = 'pending'",
        (safe_text(reason),),
    )


def _take_webhooks(tx: Transaction, target: tuple[Any, ...], limit: int, *, failing: bool) -> list[Batch]:
    rows = tx.all(_TAKE, {"target": target[0], "limit": limit, "lease": LEASE_S})
    return [_batch(target, [row], failing=failing, single=1) for row in rows]


def _take_mails(tx: Transaction, target: tuple[Any, ...], *, failing: bool) -> list[Batch]:
    """A target's mails, as many as the minute still has room for; the last one tells of all the rest."""
    minute = tx.one(
        "UPDATE notification_targets SET minute_mails = CASE WHEN minute_began > clock_timestamp() - interval '1 minute' THEN minute_mails ELSE 0 END,"
        " minute_began = CASE WHEN minute_began > clock_timestamp() - interval '1 minute' THEN minute_began ELSE clock_timestamp() END"
        " WHERE id = %s RETURNING minute_mails",
        (target[0],),
    )
    room = MAILS_PER_MINUTE - (0 if minute is None else minute[0])
    rows = (
        tx.all(_TAKE, {"target": target[0], "limit": 1 if failing else MAIL_EVENTS, "lease": LEASE_S}) if room else []
    )
    mails = min(len(rows), room)
    tx.execute(
        "UPDATE notification_targets SET minute_mails = minute_mails + %s, hold_until ="
        " CASE WHEN minute_mails + %s >= %s THEN minute_began + interval '1 minute' ELSE hold_until END WHERE id = %s",
        (mails, mails, MAILS_PER_MINUTE, target[0]),
    )
    single = mails if len(rows) <= room else mails - 1
    return [_batch(target, rows, failing=failing, single=single)] if rows else []


def _batch(target: tuple[Any, ...], rows: Sequence[tuple[Any, ...]], *, failing: bool, single: int) -> Batch:
    target_id, name, kind, url, addresses, secret, old_secret, _ = target
    taken = [
        Delivery(one, attempt, uid, Notice(event, at, data))
        for one, attempt, uid, event, at, data in sorted(rows, key=lambda row: row[0])
    ]
    signing = tuple(one for one in (secret, old_secret) if one)
    return Batch(target_id, name, kind, url, tuple(addresses), signing, failing, single, tuple(taken))


def _count_failure(tx: Transaction, target_id: int) -> None:
    row = tx.one(
        "UPDATE notification_targets SET failures = failures + 1 WHERE id = %s RETURNING failures", (target_id,)
    )
    hold = 0.0 if row is None else hold_for(row[0])
    if hold:
        tx.execute(
            "UPDATE notification_targets SET hold_until = clock_timestamp() + make_interval(secs => %s) WHERE id = %s",
            (hold, target_id),
        )
