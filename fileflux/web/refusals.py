"""Puts refused requests into the audit log, without letting strangers fill it.

The first few refusals of one kind (action) and one address within a window are written one by one; further ones are only counted, and the
count goes with the next entry of that kind. So requests without a token do not keep failed logins out of the log.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import structlog

from fileflux.audit import log as audit
from fileflux.clock import Clock
from fileflux.errors import FluxError
from fileflux.protocol.limits import Limits
from fileflux.web.throttle import MAX_KEYS, Throttle

if TYPE_CHECKING:
    from fileflux.storage.pool import Database

MAX_OBJECT_CHARS: Final = 512
log = structlog.get_logger(__name__)


class RefusalLog:
    """Writes audit entries for requests that were answered 401, 403 or 429."""

    def __init__(self, database: Database, limits: Limits, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._written = Throttle(limits.login_attempts, limits.login_window)
        self._left_out: OrderedDict[tuple[str, str], int] = OrderedDict()

    def record(self, address: str, actor: str, action: str, target: str, reason: str) -> None:
        """Never fails: a refusal must be answered even when the database is away."""
        key = (address, action)
        if self._written.take([f"{action} {address}"], self._clock.monotonic()) is not None:
            self._left_out[key] = self._left_out.get(key, 0) + 1
            while len(self._left_out) > MAX_KEYS:
                self._left_out.popitem(last=False)
            return
        detail: dict[str, object] = {"address": address, "reason": reason}
        left_out = self._left_out.pop(key, 0)
        if left_out:
            detail["left_out_before"] = left_out
        try:
            with self._database.transaction() as tx:
                audit.append(
                    tx,
                    actor=actor,
                    action=action,
                    object=target[:MAX_OBJECT_CHARS],
                    outcome="refused",
                    detail=detail,
                )
        except FluxError as error:
            log.warning("a refusal could not be audited", action=action, address=address, reason=str(error))
