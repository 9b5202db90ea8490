"""What became of tokens a moment ago, for links whose token was looked up before it and whose first message comes after it.

The database refuses everybody who comes later; a link that is already open would slip through.
"""

from __future__ import annotations

from datetime import datetime

from fileflux.actors.messages import AgentIdentity
from fileflux.clock import Clock
from fileflux.protocol.limits import Limits


class Credentials:
    """One per hub."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._clock = clock
        # A link says hello within handshake_timeout of its acceptance, and its token was looked up by one statement before.
        self._kept = limits.handshake_timeout + limits.database_statement_timeout
        self._cuts: dict[tuple[int, int | None], float] = {}
        self._ends: dict[int, tuple[float, datetime]] = {}

    def cut(self, agent_id: int, token_id: int | None) -> None:
        """This token of the agent, or all of them, are worth nothing for links that were open before now."""
        now = self._forget()
        self._cuts[agent_id, token_id] = now

    def limit(self, token_id: int, expires_at: datetime) -> None:
        """The token ends then, whatever was read of it before."""
        now = self._forget()
        self._ends[token_id] = now, expires_at

    def expiry(self, identity: AgentIdentity) -> datetime | None:
        """When the token that this link came in with ends."""
        known = self._ends.get(identity.token_id)
        return identity.token_expires_at if known is None else known[1]

    def refusal(self, identity: AgentIdentity) -> str:
        """Why the link may not open a session; empty when it may."""
        for key in ((identity.agent_id, identity.token_id), (identity.agent_id, None)):
            if self._cuts.get(key, -1.0) >= identity.checked_at:
                return "the token was revoked"
        expiry = self.expiry(identity)
        return "the token has expired" if expiry is not None and expiry <= self._clock.utc_now() else ""

    def _forget(self) -> float:
        now = self._clock.monotonic()
        oldest = now - self._kept
        self._cuts = {key: at for key, at in self._cuts.items() if at > oldest}
        self._ends = {key: value for key, value in self._ends.items() if value[0] > oldest}
        return now
