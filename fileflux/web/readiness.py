"""Whether the hub can do its work: the answer of ``/readyz``, and what it costs to find out.

A check is made at most once a second, by one request; the others get the answer before. So a flood of them costs nothing, and the
database has one small query a second at most, on a connection of its own: with all others in use the hub is busy, not broken.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog

from fileflux.actors.kernel import runtime
from fileflux.clock import Clock
from fileflux.errors import FluxError
from fileflux.protocol.limits import Limits
from fileflux.storage import alerts
from fileflux.storage.pool import Database

log = structlog.get_logger("fileflux.readiness")

FRESH_S: Final = 1.0
CHECK_S: Final = 2.0
"""A database or disk that takes longer for so little is not usable."""
PROBE: Final = ".writable"


@dataclass(frozen=True, slots=True)
class State:
    """What was found. ``alerts``: how many are open, by kind; ``free`` bytes in the data folder, 0 when that is not known."""

    checks: Mapping[str, bool]
    stopping: bool = False
    alerts: Mapping[str, int] | None = None
    free: int = 0

    @property
    def ready(self) -> bool:
        return not self.stopping and all(self.checks.values())


STARTING: Final = State({"database": False, "workers": False, "disk": False})


class Readiness:
    """Made when everything else runs. ``workers_alive``: whether a worker takes tasks; ``data_dir`` is the hub's data folder."""

    def __init__(
        self,
        database_url: str,
        limits: Limits,
        clock: Clock,
        data_dir: Path,
        workers_alive: Callable[[], bool],
    ) -> None:
        self._database = Database(database_url, replace(limits, database_statement_timeout=CHECK_S), size=1)
        self._clock = clock
        self._data_dir = data_dir
        self._free_min = limits.data_free_min
        self._workers_alive = workers_alive
        self._state: State | None = None
        self._checked_at = 0.0
        self._checking = runtime.Lock()
        self._busy = False
        self._disk: runtime.Result[int] | None = None
        self._query: runtime.Result[Mapping[str, int] | None] | None = None
        self._stopping = False

    def state(self) -> State:
        """At most FRESH_S old, or as old as a check takes that is just being made."""
        known = self._state
        if known is None or (not self._busy and self._clock.monotonic() - self._checked_at >= FRESH_S):
            with self._checking:
                # Whoever waited for the first check has its answer.
                if self._state is known:
                    self._check()
            known = self._state
        assert known is not None  # noqa: S101  # _check has set it
        return replace(known, stopping=True) if self._stopping else known

    def stop(self) -> None:
        """Not ready from now on."""
        self._stopping = True

    def close(self) -> None:
        self._database.close()

    def _check(self) -> None:
        self._busy = True
        try:
            found = self._alerts()
            free = self._free()
            checks = {
                "database": found is not None,
                "workers": self._workers_alive(),
                "disk": free >= self._free_min,
            }
            before = STARTING if self._state is None else self._state
            for name, good in checks.items():
                if not good and before.checks[name]:
                    log.warning("not ready", check=name)
            self._state = State(checks, alerts=found, free=free)
            self._checked_at = self._clock.monotonic()
        finally:
            self._busy = False

    def _alerts(self) -> Mapping[str, int] | None:
        """None when the database cannot be used for writing. The whole look has CHECK_S, whatever its waits add up to; one that is frozen holds one task."""
        if self._query is None or self._query.ready:
            self._query = runtime.Result()
            runtime.spawn(self._ask, self._query, name="readiness")
        try:
            return self._query.get(CHECK_S)
        except FluxError:
            return None

    def _ask(self, answer: runtime.Result[Mapping[str, int] | None]) -> None:
        try:
            answer.set(self._count())
        except Exception as error:  # noqa: BLE001  # handed over whole to the request that waits for it
            answer.set_error(error)

    def _count(self) -> Mapping[str, int] | None:
        """None when the database takes no writes. Raises FluxError when it cannot be used at all."""
        with self._database.transaction() as tx:
            row = tx.one("SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool")
            return alerts.count_open(tx) if row == (False,) else None

    def _free(self) -> int:
        """0 when nothing can be written. A disk that hangs holds one thread of the pool, not one for each check."""
        if self._disk is None or self._disk.ready:
            self._disk = runtime.begin_in_thread(_writable_bytes, self._data_dir)
        try:
            return self._disk.get(CHECK_S)
        except (FluxError, OSError):
            return 0


def _writable_bytes(folder: Path) -> int:
    """Free bytes for this user. Raises OSError when a file cannot be made there."""
    probe = folder / PROBE
    descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, b".")
    finally:
        os.close(descriptor)
        with suppress(OSError):
            probe.unlink()
    return shutil.disk_usage(folder).free
