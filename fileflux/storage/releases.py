"""Sources of completed transfers that are still to be deleted or archived. Writing is for the holder of the run's lease."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fileflux.storage.pool import Transaction
from fileflux.storage.rows import page_size
from fileflux.storage.values import safe_text


@dataclass(frozen=True, slots=True)
class DueRelease:
    """``identity``: which version of the source's file arrived."""

    id: int
    path: bytes
    identity: str


@dataclass(frozen=True, slots=True)
class Released:
    """``problem`` is empty when the source's file is gone from its place."""

    id: int
    problem: str = ""


def due(tx: Transaction, run_id: int, limit: int) -> list[DueRelease]:
    """The oldest of the run."""
    rows = tx.all(
        "SELECT id, path, coalesce(source_identity, '') FROM transfers WHERE run_id = %s AND release = 'due' ORDER BY id LIMIT %s",
        (run_id, page_size(limit)),
    )
    return [DueRelease(row_id, bytes(path), identity) for row_id, path, identity in rows]


def settle(tx: Transaction, run_id: int, epoch: int, answers: Sequence[Released]) -> bool:
    """Note what became of these; False, and nothing stored, when the caller is fenced off."""
    if not _holds(tx, run_id, epoch):
        return False
    tx.values(
        "UPDATE transfers AS t SET release = CASE WHEN v.problem = '' THEN 'done' ELSE 'failed' END,"
        " reason = CASE WHEN v.problem = '' THEN t.reason ELSE v.problem END"
        " FROM (VALUES %s) AS v (id, problem) WHERE t.id = v.id AND t.release = 'due' RETURNING t.id",
        [(answer.id, safe_text(answer.problem)) for answer in answers],
        "(%s::bigint, %s::text)",
    )
    return True


def give_up(tx: Transaction, run_id: int, epoch: int, problem: str) -> bool:
    """Whatever is still due stays where it is, because of ``problem``; False when the caller is fenced off."""
    if not _holds(tx, run_id, epoch):
        return False
    tx.execute(
        "UPDATE transfers SET release = 'failed', reason = %s WHERE run_id = %s AND release = 'due'",
        (safe_text(problem), run_id),
    )
    return True


def _holds(tx: Transaction, run_id: int, epoch: int) -> bool:
    return tx.one("SELECT 1 FROM runs WHERE id = %s AND lease_epoch = %s FOR SHARE", (run_id, epoch)) is not None
