"""What the routes need of the rest of the hub, as small protocols; the composition root fills them in.

Every method blocks its caller only for a bounded time and may be called from any greenlet.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from fileflux.clock import Clock
from fileflux.protocol.limits import Limits

if TYPE_CHECKING:
    from fileflux.actors.messages import LiveProgress
    from fileflux.bus.bus import Bus
    from fileflux.storage.pool import Database
    from fileflux.storage.runs import RunRow


@dataclass(frozen=True, slots=True)
class LiveAgent:
    """An agent that has a session; ``online`` is False while the session waits for its agent to come back."""

    online: bool
    transport: str
    reason: str
    """Why the agent chose this transport, if it had a choice: ``upgrade refused with 403``."""
    since: datetime
    """When the present link came up, or when the last one went down; aware."""
    session_id: str


class Runs(Protocol):
    """Starts and stops runs. Both methods append their audit entry in the transaction that changes the row."""

    def start(self, job_id: int, requested_by: str) -> RunRow:
        """Create a run of the job. For a single file its transfer row exists on return, unless that takes over 2 s.

        Raises NotFoundError for an unknown job, ConflictError when the job may not run now, UnavailableError, OverloadedError.
        """
        ...

    def cancel(self, run_id: int, requested_by: str) -> None:
        """Ask the run to end as cancelled; transfers that are being committed still finish.

        Raises NotFoundError for an unknown run, ConflictError when it has ended already, UnavailableError.
        """
        ...


class LiveRuns(Protocol):
    """Counters that are newer than the database."""

    def progress(self, run_id: int) -> LiveProgress | None:
        """None when the run is not live here."""
        ...


class AgentsLive(Protocol):
    """The agents' sessions in this hub."""

    def status(self, agent_id: int) -> LiveAgent | None:
        """None when the agent has no session here."""
        ...

    def cut(self, agent_id: int, reason: str) -> None:
        """Close the agent's session and link at once, if it has one. Its credentials are checked again when it comes back."""
        ...

    def test(self, agent_id: int, timeout: float) -> float:
        """Seconds of one real round trip to the agent.

        Raises UnavailableError when the agent is offline or does not answer within ``timeout`` seconds.
        """
        ...


class Passwords(Protocol):
    """argon2id, done by a worker process. Both methods raise UnavailableError or OverloadedError when no worker can take it."""

    def hash(self, password: str) -> str: ...

    def check(self, password: str, password_hash: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Deps:
    """Everything ``create_app`` needs. ``secret`` signs the users' tokens: at least 32 random bytes, the same on every start.

    ``ca_pem`` is the hub's own CA (``--tls auto``), which agents pin by what stands in their tokens.
    """

    database: Database
    bus: Bus
    limits: Limits
    secret: bytes
    clock: Clock
    runs: Runs
    live_runs: LiveRuns
    agents: AgentsLive
    passwords: Passwords
    ca_pem: bytes | None = None
