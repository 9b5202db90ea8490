"""Which name of a run holds which place at the destination, where different names are one there (jobs/collisions.py)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from fileflux.errors import RefusedPathError
from fileflux.jobs.collisions import Claim, by_name, claims_of, clash
from fileflux.jobs.models import Names
from fileflux.jobs.status import TransferStatus
from fileflux.protocol.systems import System, destination_name, falls_together
from fileflux.storage.directories import NewDirectory
from fileflux.storage.pool import Transaction
from fileflux.storage.transfers import NewTransfer


def claim(tx: Transaction, run_id: int, claims: Sequence[Claim]) -> dict[bytes, Claim]:
    """Claim these places and return who holds each of them now. A claim that is made again changes nothing."""
    if not claims:
        return {}
    tx.values(
        "INSERT INTO run_names (run_id, key, path, directory) VALUES %s ON CONFLICT DO NOTHING RETURNING 1",
        [(run_id, one.key, one.path, one.directory) for one in claims],
    )
    rows = tx.all(
        "SELECT key, path, directory FROM run_names WHERE run_id = %s AND key = ANY(%s::bytea[])",
        (run_id, [one.key for one in claims]),
    )
    return {bytes(key): Claim(bytes(key), bytes(path), directory) for key, path, directory in rows}


def apart(
    tx: Transaction,
    run_id: int,
    files: Sequence[NewTransfer],
    directories: Sequence[NewDirectory],
    system: System,
    names: Names,
) -> list[NewTransfer]:
    """The files of a page; those whose place at the destination another name of the run holds are failed before anything of them is moved."""
    if not falls_together(system):
        return list(files)
    live = TransferStatus.PENDING.value
    wanted = {row.path: _name(row.path, system, names) for row in files if row.status == live}
    claims = claims_of(wanted.values(), (_name(row.path, system, names) for row in directories), system)
    holders, keys = claim(tx, run_id, claims), by_name(claims)
    apart: list[NewTransfer] = []
    for row in files:
        reason = clash(wanted[row.path], keys, holders) if row.path in wanted else None
        failed = TransferStatus.FAILED.value
        apart.append(
            row
            if reason is None
            else replace(row, status=failed, reason=f"{reason}; nothing was moved", code="name_collision")
        )
    return apart


def _name(path: bytes, system: System, names: Names) -> str:
    name = os.fsdecode(path)
    try:
        return destination_name(name, system, names)
    except RefusedPathError:
        # Of a listing that was stored under other rules; the agent will refuse it.
        return name
