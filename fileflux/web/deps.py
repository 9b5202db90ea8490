"""What the routes need of the rest of the hub, as small protocols; the composition root fills them in.

Every method blocks its caller only for a bounded time and may be called from any greenlet.
"""

from __future__ import annotations

from collections.abc import Collection, Generator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from fileflux.clock import Clock
from fileflux.metrics import Metrics
from fileflux.protocol.limits import Limits

if TYPE_CHECKING:
    from fileflux.actors.messages import LiveProgress, RoundTrip
    from fileflux.bus.bus import Bus
    from fileflux.protocol.messages import BrowseResult, DoctorResult, ListResult, ListRules
    from fileflux.storage.deliveries import LogRow
    from fileflux.storage.plans import PlanRow
    from fileflux.storage.pool import Database
    from fileflux.storage.runs import RunRow
    from fileflux.storage.transfers import TransferRow
    from fileflux.web.readiness import Readiness


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
    load: float | None = None
    """Of its host, in the last heartbeat."""


class Runs(Protocol):
    """Starts runs, and tells live ones what people want of them."""

    def start(self, job_id: int, requested_by: str) -> RunRow:
        """Create a run of the job, with its audit entry in the same transaction. For a single file its transfer row exists on return, unless that takes over 2 s.

        Raises NotFoundError for an unknown job, ConflictError when the job may not run now, UnavailableError, OverloadedError.
        """
        ...

    def begin(self, run_id: int) -> None:
        """A queued run is stored: let it start. Waits for its first rows as ``start`` does."""
        ...

    def asked(self, run_id: int) -> None:
        """What is wanted of the run (``storage.runs.ask``) is stored: let it act, and wait for that, at most 2 s."""
        ...

    def cancel_transfer(self, row: TransferRow, requested_by: str) -> None:
        """That the transfer is to end is stored: tell its run. What is being committed still finishes."""
        ...

    def resume_transfer(self, run_id: int, transfer_id: int, requested_by: str) -> None:
        """Make a failed or cancelled transfer of the live run pending again; stored on return, with its audit entry.

        Raises ConflictError when the run is ending or the transfer has not ended that way, UnavailableError, OverloadedError.
        """
        ...


class LiveRuns(Protocol):
    """Counters that are newer than the database."""

    def progress(self, run_id: int) -> LiveProgress | None:
        """None when the run is not live here."""
        ...

    def chunks(self, run_id: int, transfer_id: int, first: int, count: int) -> list[str] | None:
        """``missing``, ``in_flight`` or ``acked`` for each of these chunks, in the present attempt; None when there is none."""
        ...

    def ids(self) -> Collection[int]:
        """Of the runs that are live here at this moment."""
        ...


class AgentsLive(Protocol):
    """The agents' sessions in this hub."""

    def status(self, agent_id: int) -> LiveAgent | None:
        """None when the agent has no session here."""
        ...

    def online(self) -> list[int]:
        """The agents that have a link now."""
        ...

    def cut(self, agent_id: int, reason: str, token_id: int | None = None) -> None:
        """Close the agent's session and link at once, if it has one; with ``token_id`` only one that came in with that token.

        Its credentials are checked again when it comes back.
        """
        ...

    def limit_token(self, agent_id: int, token_id: int, expires_at: datetime) -> None:
        """A session that came in with this token ends then."""
        ...

    # The rest raises UnavailableError when the agent is offline or does not answer in time, OverloadedError when it is asked too much, and
    # ConflictError when its version cannot do this.

    def test(self, agent_id: int) -> RoundTrip:
        """One real round trip to the agent's process."""
        ...

    def browse(self, agent_id: int, path: str, after: str | None, limit: int) -> BrowseResult:
        """A page of one directory, as the agent answered: ``code`` says what is wrong with the path."""
        ...

    def examine(self, agent_id: int) -> DoctorResult:
        """The report of the agent's own doctor; takes up to a minute."""
        ...

    def listing(self, agent_id: int, path: str, rules: ListRules, seconds: float) -> Generator[ListResult]:
        """What a job's path holds, page by page, as it is asked for; close it when no more is wanted.

        UnavailableError with the code ``no_answer`` after ``seconds``, however many pages have come.
        """
        ...


class Passwords(Protocol):
    """argon2id, done by a worker process. ``hash`` and ``check`` raise UnavailableError or OverloadedError when no worker can take it."""

    def hash(self, password: str) -> str: ...

    def check(self, password: str, password_hash: str) -> bool: ...

    def outdated(self, password_hash: str) -> bool:
        """Whether it was made with other parameters than ``hash`` uses; costs nothing."""
        ...


class Planning(Protocol):
    """Makes plans."""

    def begin(self, row: PlanRow) -> None:
        """Make this one, which is stored as `planning`; returns at once."""
        ...

    def compare(self, plan_id: int, run_id: int) -> None:
        """Find out how a plan differs from what its run finds, once that is known; returns at once. Call after ``plan_drift.take``."""
        ...


class Notifications(Protocol):
    """Sends notifications (``actors/notifier.py``)."""

    def test(self, target_id: int, asked_by: str) -> LogRow:
        """Send a test now, and its line of the log with how that ended; takes up to 20 s.

        Raises NotFoundError, UnavailableError, OverloadedError.
        """
        ...

    def wake(self) -> None:
        """Something new may be due."""
        ...


class Work(Protocol):
    """What takes longer than a request may hold the loop, done by a worker process (``worker_tasks.py``)."""

    def run(self, key: str, task: str, args: dict[str, Any], timeout: float | None = None) -> dict[str, Any]:
        """The task's value, or its error; UnavailableError after ``timeout`` seconds, OverloadedError. One key is always one worker's."""
        ...


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
    metrics: Metrics = field(default_factory=Metrics)
    readiness: Readiness | None = None
    """None: the hub is not ready."""
    work: Work | None = None
    planning: Planning | None = None
    embedded_database: bool = True
    notifications: Notifications | None = None
    """None: nothing is sent."""
