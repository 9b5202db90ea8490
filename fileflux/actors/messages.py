"""Every message between actors, grouped by who receives it. Frozen; each group is a union type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from fileflux.actors.kernel.ref import ActorRef, Reply
from fileflux.bus.events import Event as BusEvent
from fileflux.jobs.bandwidth import DEFAULT_PRIORITY, Bandwidth
from fileflux.jobs.bottleneck import Bottleneck
from fileflux.jobs.models import Names
from fileflux.protocol.messages import (
    BrowseResult,
    DoctorResult,
    ListRequest,
    ListResult,
    Message,
    Role,
    WatchReady,
    WatchState,
)
from fileflux.protocol.systems import System
from fileflux.storage.alerts import AlertKind
from fileflux.storage.deletions import Deletion, Extra, Outcome
from fileflux.storage.delivered import Delivered
from fileflux.storage.directories import DirectoryRow, NewDirectory
from fileflux.storage.releases import DueRelease, Released
from fileflux.storage.runs import LeftParts, RunRow
from fileflux.storage.transfers import NewTransfer, RunSums, TransferRow, TransferUpdate, UnfinishedPart

if TYPE_CHECKING:
    from fileflux.actors.session_port import LinkGate, SessionPort


@dataclass(frozen=True, slots=True)
class AgentIdentity:
    """Who a token belongs to; ``epoch`` was counted up for this very connection.

    ``checked_at``: on the hub's monotonic clock, not after the moment at which the database was asked.
    """

    agent_id: int
    name: str
    token_id: int
    epoch: int
    peer: str
    checked_at: float = 0.0
    token_expires_at: datetime | None = None


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
class RoundTrip:
    """The answer to TestConnection; ``seconds`` from the session to the agent's process and back."""

    seconds: float
    transport: str


@dataclass(frozen=True, slots=True)
class TestConnection:
    """These three are answered within ``timeout`` seconds, or fail with UnavailableError."""

    timeout: float
    reply: Reply[RoundTrip]


@dataclass(frozen=True, slots=True)
class BrowseAgent:
    """As in the message BrowseRequest. Fails with ConflictError at an agent that cannot do it, OverloadedError for too many."""

    path: str
    after: str | None
    limit: int
    timeout: float
    reply: Reply[BrowseResult]


@dataclass(frozen=True, slots=True)
class ExamineAgent:
    """The report of the agent's own doctor. Fails as BrowseAgent does."""

    timeout: float
    reply: Reply[DoctorResult]


@dataclass(frozen=True, slots=True)
class ListAgent:
    """A page of a listing that is somebody's question and no run's. Fails as BrowseAgent does; who gives up sends ListCancel."""

    request: ListRequest
    timeout: float
    reply: Reply[ListResult]


@dataclass(frozen=True, slots=True)
class Tick:
    """A timer of the receiver itself."""

    what: str = ""


SessionMessage = (
    Attach | LinkText | LinkClosed | Violation | Post | PostItem | Handled | CloseSession | TestConnection | BrowseAgent
    | ExamineAgent | ListAgent | Tick
)  # fmt: skip


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
class DisplacedLives:
    """A session's end by another process was heard by the one it belonged to."""

    port: SessionPort
    peer: str


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
    """Close the agent's session at once, because its token or itself was revoked; with ``token_id`` only one that came in with it.

    Links that are open and have not said hello yet are refused too.
    """

    agent_id: int
    reason: str
    token_id: int | None = None


@dataclass(frozen=True, slots=True)
class LimitToken:
    """The token ends at another time than its session knows."""

    agent_id: int
    token_id: int
    expires_at: datetime


ConnectionHubMessage = (
    HelloArrived
    | SessionLinked
    | SessionUnlinked
    | SessionEnded
    | DisplacedLives
    | Watch
    | Unwatch
    | CutAgent
    | LimitToken
    | Tick
)


# To the relay


@dataclass(frozen=True, slots=True)
class JobLimits:
    """What of a job takes effect on its live runs too. ``bandwidth`` in bytes per second, None for no limit."""

    bandwidth: int | None = None
    priority: int = DEFAULT_PRIORITY
    parallel: int = 8


@dataclass(frozen=True, slots=True)
class SetLimits:
    """All limits of this moment: of the timetable, and of the agents and jobs of live runs."""

    hub: int | None = None
    agents: Mapping[int, int] = field(default_factory=dict)
    jobs: Mapping[int, JobLimits] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """A wire id is in use from now on; control messages about it go to ``run`` with ``token``.

    ``job``: what the run knows of its job's limits, which counts unless ``SetLimits`` says otherwise.
    """

    wire_id: int
    run: ActorRef[Any]
    token: int
    source: SessionPort
    destination: SessionPort
    hub_check: str
    job_id: int = 0
    job: JobLimits = JobLimits()


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


RelayMessage = (
    OpenAttempt | OpenRoute | StartRoute | Relink | CloseAttempt | FromAgent | ChunkChecked | SetLimits | Tick
)


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
    """``rows``: those of the new ones that are to be moved, in the order of their ids; None: to be fetched."""

    new_rows: int
    new_skipped: int
    new_failed: int = 0
    rows: tuple[TransferRow, ...] | None = None
    new_bytes: int = 0
    """Of those that are not skipped."""


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
class DueReleases:
    """Completed transfers whose sources are to be deleted or archived."""

    rows: tuple[DueRelease, ...]


@dataclass(frozen=True, slots=True)
class SystemKnown:
    """What kind of system the destination's agent runs on, as far as the hub knows."""

    system: System
    names: Mapping[int, str]
    """Of the run's agents."""


@dataclass(frozen=True, slots=True)
class AgentElsewhere:
    """An agent that the run waits for is connected to another hub on this database."""

    agent_id: int


@dataclass(frozen=True, slots=True)
class Fenced:
    """Another owner holds the run's lease now, or the run ended: stop without writing."""


@dataclass(frozen=True, slots=True)
class LookAgain:
    """A person asked something of the run, and its row says what. ``reply`` is answered when the run does it."""

    reply: Reply[bool] | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What is wanted of the run: ``pause``, ``cancel`` or None, which is to go on."""

    wanted: str | None
    asked_by: str
    reply: Reply[bool] | None


@dataclass(frozen=True, slots=True)
class CancelOne:
    """End one transfer of the run; ``row`` as it was when that was asked."""

    row: TransferRow
    asked_by: str


@dataclass(frozen=True, slots=True)
class ReviveOne:
    """Take up a failed or cancelled transfer again; answered when that is stored, or with ConflictError."""

    transfer_id: int
    asked_by: str
    reply: Reply[bool]


@dataclass(frozen=True, slots=True)
class Revived:
    """The row before and after; None when there was nothing to take up."""

    rows: tuple[TransferRow, TransferRow] | None
    reply: Reply[bool]


@dataclass(frozen=True, slots=True)
class RowsTakenOver:
    """One batch of an earlier run's rows is stored as rows of its retry. ``after`` and ``after_directory``: where the next one begins."""

    new_rows: int
    after: int
    after_directory: bytes
    last: bool


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
    bottleneck: Bottleneck | None = None


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
    bandwidth: Bandwidth | None = None
    bottleneck: Bottleneck | None = None


@dataclass(frozen=True, slots=True)
class DeletionsBegun:
    """What was found before is forgotten."""


@dataclass(frozen=True, slots=True)
class ExtrasStored:
    """A page of the destination was compared; ``last``: nothing follows."""

    last: bool


@dataclass(frozen=True, slots=True)
class DueDeletions:
    """What is to be removed next. ``counts``: how many were removed and how many could not be, when nothing is due."""

    rows: tuple[Deletion, ...]
    counts: tuple[int, int]


@dataclass(frozen=True, slots=True)
class DeletionsSaved:
    """The outcome of a batch is stored."""


ExtrasMessage = DeletionsBegun | ExtrasStored | DueDeletions | DeletionsSaved


RunMessage = (
    AgentUp | AgentDown | Answered | TransferSaid | RouteStarted | RouteMoved | RouteFailed | Stored | ListingStored
    | PendingRows | PendingDirectories | Sums | DueReleases | SystemKnown | AgentElsewhere | Fenced | LookAgain | Asked | CancelOne | ReviveOne | Revived | RowsTakenOver | AwaitRows
    | ExtrasMessage | JobLimits | Tick
)  # fmt: skip


# To the runs' keeper


@dataclass(frozen=True, slots=True)
class StartRun:
    run_id: int


@dataclass(frozen=True, slots=True)
class StartRuns:
    """Many at once, as a schedule makes them."""

    run_ids: tuple[int, ...]


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
    """The answer to ClaimRuns."""

    rows: tuple[RunRow, ...]
    asked: ClaimRuns


@dataclass(frozen=True, slots=True)
class LeasesHeld:
    """The answer to RenewLeases: the live runs of the owner, and what people want of each."""

    runs: Mapping[int, str | None]
    asked: RenewLeases
    elsewhere: frozenset[int] = frozenset()
    """Agents that runs wait for while they are at another hub."""


RunsMessage = StartRun | StartRuns | RunFinished | FindRun | AwaitRun | ClaimedRuns | LeasesHeld | Tick


# To the keeper of watches


@dataclass(frozen=True, slots=True)
class WatchSaid:
    """What an agent says of one of its watches. Acknowledged when it is stored."""

    agent_id: int
    message: WatchState | WatchReady
    receipt: Receipt


WatchesMessage = WatchSaid | Tick


# To the maker of a plan


PlannerMessage = AgentUp | AgentDown | Answered | Tick


# To the sweeper


@dataclass(frozen=True, slots=True)
class PartsLeft:
    """Ended runs that may have left parts at a destination that was away."""

    runs: tuple[LeftParts, ...]


@dataclass(frozen=True, slots=True)
class Parts:
    """A page of one run's parts; the last page is not full."""

    run_id: int
    parts: tuple[UnfinishedPart, ...]


SweeperMessage = AgentUp | AgentDown | PartsLeft | Parts | Tick


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
class SaveBundle:
    """Files that moved together have ended; ``owner`` is told ``Stored`` of the last one after the commit, within a second."""

    run_id: int
    epoch: int
    ended: tuple[Delivered, ...]
    owner: ActorRef[Any]
    events: tuple[BusEvent, ...] = ()


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
    system: System = "posix"
    names: Names = "reject"
    late: bool = False
    """The rows of small files may be written later, when they have ended: nobody else can have listed them."""


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
class FetchSystem:
    """Answered with SystemKnown."""

    agent_id: int
    source_id: int
    owner: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class FetchReleases:
    run_id: int
    limit: int
    owner: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class SaveReleased:
    run_id: int
    epoch: int
    answers: tuple[Released, ...]
    owner: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class GiveUpReleases:
    """Nothing of the run is released any more, because of ``problem``."""

    run_id: int
    epoch: int
    problem: str
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
class FetchAsked:
    run_id: int
    owner: ActorRef[Any]
    reply: Reply[bool] | None = None


@dataclass(frozen=True, slots=True)
class Revive:
    """Make a transfer pending again, with its audit entry."""

    run_id: int
    epoch: int
    transfer_id: int
    asked_by: str
    owner: ActorRef[Any]
    reply: Reply[bool]


@dataclass(frozen=True, slots=True)
class TakeOverRows:
    """Store the next batch of what run ``from_run`` did not get done as rows of its retry ``run_id``."""

    run_id: int
    from_run: int
    after: int
    after_directory: bytes
    limit: int
    owner: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class FetchPartsLeft:
    limit: int
    owner: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class FetchParts:
    run_id: int
    after_id: int
    limit: int
    owner: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class PartsSwept:
    run_id: int


@dataclass(frozen=True, slots=True)
class ClaimRuns:
    """Take a batch of runs that are not finished and free: of ``run_ids``, of those that wait for run ``behind``, or any.

    With ``own_after`` those of an earlier process of this hub, from that id on. Answered with ClaimedRuns.
    """

    owner_id: UUID
    lease_s: float
    reply_to: ActorRef[Any]
    run_ids: tuple[int, ...] | None = None
    own_after: int | None = None
    behind: int | None = None


@dataclass(frozen=True, slots=True)
class RenewLeases:
    """Hold on to all live runs of the owner but those whose agents are at another hub; answered with LeasesHeld.

    ``known``: those that the asker drives.
    """

    owner_id: UUID
    lease_s: float
    reply_to: ActorRef[Any]
    known: frozenset[int]


@dataclass(frozen=True, slots=True)
class ReleaseLeases:
    """The owner stops: others may have its runs."""

    owner_id: UUID


@dataclass(frozen=True, slots=True)
class BeginDeletions:
    """Forget what an earlier try of a run's ``delete_extra`` found; answered with DeletionsBegun."""

    run_id: int
    epoch: int
    owner: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class StoreExtras:
    """Note what of a page of the destination the source has not; answered with ExtrasStored."""

    run_id: int
    epoch: int
    found: tuple[Extra, ...]
    last: bool
    owner: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class FetchDeletions:
    run_id: int
    limit: int
    owner: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class SaveDeletions:
    """Rows, what became of each and why it is still there; answered with DeletionsSaved."""

    run_id: int
    epoch: int
    outcomes: tuple[tuple[int, Outcome, str], ...]
    owner: ActorRef[Any]


DeletionMessage = BeginDeletions | StoreExtras | FetchDeletions | SaveDeletions


@dataclass(frozen=True, slots=True)
class SaveAgentInfo:
    agent_id: int
    info: Mapping[str, Any]
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class SaveSeen:
    """These agents gave a sign of life, with these tokens."""

    agent_ids: tuple[int, ...]
    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SaveAudit:
    actor: str
    action: str
    object: str
    outcome: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SaveAlert:
    """Raise an alert, with its line in the audit log in the same transaction; AlertRaised is published afterwards."""

    kind: AlertKind
    object: str
    message: str
    audit: SaveAudit


PersistenceMessage = (
    SaveTransfer | SaveBundle | SaveRun | StoreListing | FetchPending | FetchSums | FetchSystem | FetchReleases | SaveReleased | GiveUpReleases | FetchDirectories | DirectoriesDone | ClaimRuns | RenewLeases | ReleaseLeases | SaveAgentInfo
    | DeletionMessage | SaveSeen | SaveAudit | SaveAlert | FetchAsked | Revive | TakeOverRows | FetchPartsLeft | FetchParts | PartsSwept | Tick
)  # fmt: skip
