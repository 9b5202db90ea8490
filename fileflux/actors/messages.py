"""Every message between actors, grouped by who receives it. Frozen; each group is a union type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from fileflux.actors.kernel.ref import ActorRef, Reply
from fileflux.bus.events import Event as BusEvent
from fileflux.protocol.messages import Message, Role
from fileflux.storage.directories import DirectoryRow, NewDirectory
from fileflux.storage.runs import RunRow
from fileflux.storage.transfers import NewTransfer, RunSums, TransferRow, TransferUpdate

if TYPE_CHECKING:
    from fileflux.actors.session_port import LinkGate, SessionPort


@dataclass(frozen=True, slots=True)
class AgentIdentity:
    """Who a token belongs to; ``epoch`` was counted up for this very connection."""

    agent_id: int
    name: str
    token_id: int
    epoch: int
    peer: str


class Receipt(Protocol):
    """A control message that came in; ``done`` when what it changed is stored: only then is it acknowledged to the agent."""

    def done(self) -> None: ...


# To an agent session


@dataclass(frozen=True, slots=True)
class Attach:
    """A link whose first message is ``hello_text`` belongs to this session from now on."""

    gate: LinkGate
    hello_text: str
    resumed: bool


@dataclass(frozen=True, slots=True)
class LinkText:
    gate: LinkGate
    text: str


@dataclass(frozen=True, slots=True)
class LinkClosed:
    gate: LinkGate
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Violation:
    """The peer broke the rules on the data plane: refuse, count, audit; close the link if it says so."""

    gate: LinkGate | None
    code: str
    message: str
    close: bool


@dataclass(frozen=True, slots=True)
class Post:
    """Send a control message. ``reply_to`` gets the answer to a message with a ``request_id`` (Answered)."""

    message: Message
    reply_to: ActorRef[Any] | None = None


@dataclass(frozen=True, slots=True)
class PostItem:
    """Send one item; items of one class that come close together leave in one message."""

    message: type[Message]
    item: Any


@dataclass(frozen=True, slots=True)
class Handled:
    seq: int


@dataclass(frozen=True, slots=True)
class CloseSession:
    """End the session for good."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class TestConnection:
    reply: Reply[float]


@dataclass(frozen=True, slots=True)
class Tick:
    """A timer of the receiver itself."""

    what: str = ""


SessionMessage = (
    Attach | LinkText | LinkClosed | Violation | Post | PostItem | Handled | CloseSession | TestConnection | Tick
)


# To the connection hub


@dataclass(frozen=True, slots=True)
class HelloArrived:
    gate: LinkGate
    identity: AgentIdentity
    text: str


@dataclass(frozen=True, slots=True)
class SessionLinked:
    """A session works over a new link; ``resumed`` is false for a session's first link."""

    port: SessionPort
    resumed: bool


@dataclass(frozen=True, slots=True)
class SessionUnlinked:
    port: SessionPort
    reason: str


@dataclass(frozen=True, slots=True)
class SessionEnded:
    port: SessionPort
    reason: str


@dataclass(frozen=True, slots=True)
class Watch:
    """Tell ``watcher`` of these agents from now on, beginning with how they are."""

    agent_ids: frozenset[int]
    watcher: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class Unwatch:
    watcher: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class CutAgent:
    """Close the agent's session at once, because its token or itself was revoked."""

    agent_id: int
    reason: str
    token_id: int | None = None


@dataclass(frozen=True, slots=True)
class FindPort:
    agent_id: int
    reply: Reply[SessionPort | None]


ConnectionHubMessage = (
    HelloArrived | SessionLinked | SessionUnlinked | SessionEnded | Watch | Unwatch | CutAgent | FindPort | Tick
)


# To the relay


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """A wire id is in use from now on; control messages about it go to ``run`` with ``token``."""

    wire_id: int
    run: ActorRef[Any]
    token: int
    source: SessionPort
    destination: SessionPort
    hub_check: str


@dataclass(frozen=True, slots=True)
class OpenRoute:
    wire_id: int
    size: int
    chunk_size: int
    total_chunks: int


@dataclass(frozen=True, slots=True)
class StartRoute:
    wire_id: int
    have_count: int


@dataclass(frozen=True, slots=True)
class Relink:
    wire_id: int


@dataclass(frozen=True, slots=True)
class CloseAttempt:
    wire_id: int


@dataclass(frozen=True, slots=True)
class FromAgent:
    """A control message whose items carry wire ids."""

    port: SessionPort
    message: Message
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class ChunkChecked:
    """A hub worker looked at a copy of a chunk."""

    wire_id: int
    index: int
    ok: bool
    reason: str


RelayMessage = OpenAttempt | OpenRoute | StartRoute | Relink | CloseAttempt | FromAgent | ChunkChecked | Tick


# To a run


@dataclass(frozen=True, slots=True)
class AgentUp:
    """``resumed``: the session goes on over a new link; otherwise nothing that was open at the agent is open any more."""

    agent_id: int
    port: SessionPort
    resumed: bool


@dataclass(frozen=True, slots=True)
class AgentDown:
    agent_id: int
    reason: str
    lost: bool
    """The session is over, not only its link."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to a request (ListResult, DirApplied)."""

    agent_id: int
    message: Message
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class TransferSaid:
    """An item about one transfer, checked by the relay for who may say it; ``role`` is the end that speaks."""

    token: int
    wire_id: int
    role: Role
    item: Any
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class RouteStarted:
    token: int
    wire_id: int


@dataclass(frozen=True, slots=True)
class RouteMoved:
    """Progress of one transfer, at most a few times a second."""

    token: int
    wire_id: int
    chunks: int
    bytes_done: int
    bytes_wire: int
    bytes_reused: int
    compression: int
    done: bool


@dataclass(frozen=True, slots=True)
class RouteFailed:
    token: int
    wire_id: int
    code: str
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class Stored:
    token: int


@dataclass(frozen=True, slots=True)
class ListingStored:
    new_rows: int
    new_skipped: int


@dataclass(frozen=True, slots=True)
class PendingRows:
    rows: tuple[TransferRow, ...]


@dataclass(frozen=True, slots=True)
class PendingDirectories:
    rows: tuple[DirectoryRow, ...]


@dataclass(frozen=True, slots=True)
class Sums:
    """What the rows of the run add up to."""

    sums: RunSums


@dataclass(frozen=True, slots=True)
class Fenced:
    """Another owner holds the run's lease now, or the run ended: stop without writing."""


@dataclass(frozen=True, slots=True)
class CancelRun:
    requested_by: str


@dataclass(frozen=True, slots=True)
class AwaitRows:
    """Answer when the first rows exist, or when the run waits or has ended."""

    reply: Reply[bool]


@dataclass(frozen=True, slots=True)
class LiveTransfer:
    """What a live transfer shows before it is stored."""

    status: str
    reason: str
    bytes_done: int
    bytes_wire: int
    bytes_reused: int
    completed_chunks: int


@dataclass(frozen=True, slots=True)
class LiveProgress:
    """Counters of a live run, newer than its row."""

    status: str
    reason: str
    files_total: int | None
    files_done: int
    files_failed: int
    files_skipped: int
    bytes_total: int
    bytes_done: int
    bytes_wire: int
    bytes_reused: int
    transfers: Mapping[int, LiveTransfer] = field(default_factory=dict)


RunMessage = (
    AgentUp | AgentDown | Answered | TransferSaid | RouteStarted | RouteMoved | RouteFailed | Stored | ListingStored
    | PendingRows | PendingDirectories | Sums | Fenced | CancelRun | AwaitRows | Tick
)  # fmt: skip


# To the runs' keeper


@dataclass(frozen=True, slots=True)
class StartRun:
    run_id: int


@dataclass(frozen=True, slots=True)
class RunFinished:
    run_id: int


@dataclass(frozen=True, slots=True)
class FindRun:
    run_id: int
    reply: Reply[ActorRef[Any] | None]


@dataclass(frozen=True, slots=True)
class AwaitRun:
    """Like FindRun, for a run that is about to start: the answer waits until its actor exists."""

    run_id: int
    reply: Reply[ActorRef[Any] | None]


@dataclass(frozen=True, slots=True)
class ClaimedRuns:
    rows: tuple[RunRow, ...]


RunsMessage = StartRun | RunFinished | FindRun | AwaitRun | ClaimedRuns | Tick


# To persistence


@dataclass(frozen=True, slots=True)
class SaveTransfer:
    """Store a transfer's state; ``confirm`` is told ``Stored(token)`` after the commit, and ``event`` is published then."""

    run_id: int
    epoch: int
    update: TransferUpdate
    owner: ActorRef[Any]
    confirm: bool = False
    event: BusEvent | None = None


@dataclass(frozen=True, slots=True)
class SaveRun:
    run_id: int
    epoch: int
    changes: Mapping[str, Any]
    owner: ActorRef[Any]
    event: BusEvent | None = None


@dataclass(frozen=True, slots=True)
class StoreListing:
    run_id: int
    epoch: int
    files: tuple[NewTransfer, ...]
    directories: tuple[NewDirectory, ...]
    owner: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class FetchPending:
    run_id: int
    after_id: int
    limit: int
    owner: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class FetchSums:
    run_id: int
    owner: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class FetchDirectories:
    run_id: int
    limit: int
    owner: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class DirectoriesDone:
    run_id: int
    paths: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ClaimRuns:
    """Take over runs that are not finished: all of them (the hub starts) or one."""

    owner_id: UUID
    run_id: int | None
    reply_to: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class RenewLeases:
    """Hold on to all live runs of the owner."""

    owner_id: UUID


@dataclass(frozen=True, slots=True)
class SaveAgentInfo:
    agent_id: int
    info: Mapping[str, Any]
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class SaveAudit:
    actor: str
    action: str
    object: str
    outcome: str
    detail: Mapping[str, Any]


PersistenceMessage = (
    SaveTransfer | SaveRun | StoreListing | FetchPending | FetchSums | FetchDirectories | DirectoriesDone | ClaimRuns | RenewLeases | SaveAgentInfo
    | SaveAudit | Tick
)  # fmt: skip
