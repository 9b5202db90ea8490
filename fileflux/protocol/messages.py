"""The control messages: one frozen dataclass each (docs/protocol.md, Control messages).

A message on the wire is ``{"type": name, "seq": n, "ack": m, "payload": {...}}``. This module holds the shapes and their bounds;
``codec.py`` turns them into JSON and back, generically from the annotations. Field types used here:

* ``Count``: integer 0 … 2**53 - 1; ``WireId``: 1 … 2**32 - 1; ``Index``: 0 … 2**32 - 1; ``Signed``: ±2**53; ``Nanoseconds``: 64 bit signed
* ``Name``: text of at most 255 characters; ``Text``: at most 4,096, longer ones are cut at the sender; neither holds NUL or lone surrogates
* ``PathText``: a path as ``os.fsdecode`` gives it, at most 4,096 bytes; on the wire UTF-8 or ``{"b64": …}``
* ``Digest``: 64 lower-case hex digits (SHA-256); ``PartId``: 32 lower-case hex digits
* ``Ranges``: ``((first, last), …)``, both inclusive, ascending, not touching, at most 10,000 pairs
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from fileflux.protocol.fields import Bounds, Kind

Count = Annotated[int, Bounds(0, 2**53 - 1)]
Index = Annotated[int, Bounds(0, 2**32 - 1)]
WireId = Annotated[int, Bounds(1, 2**32 - 1)]
Signed = Annotated[int, Bounds(-(2**53), 2**53)]
Nanoseconds = Annotated[int, Bounds(-(2**63), 2**63 - 1)]
Seconds = Annotated[float, Bounds(0, 1e9)]
Name = Annotated[str, Bounds(0, 255)]
Text = Annotated[str, Bounds(0, 4096)]
PathText = Annotated[str, Kind.PATH]
Digest = Annotated[str, Kind.DIGEST]
PartId = Annotated[str, Kind.PART]
Ranges = Annotated[tuple[tuple[int, int], ...], Kind.RANGES]

Role = Literal["source", "destination"]
EntryKind = Literal["file", "directory", "symlink", "other"]
Compression = Literal["auto", "zstd", "lz4", "none"]
Verify = Literal["chunks", "full", "reread"]
Conflict = Literal["overwrite", "skip", "newer", "rename", "fail"]
OnSuccess = Literal["keep", "delete", "archive"]
OnChange = Literal["retry", "fail", "prefix"]
Symlinks = Literal["skip", "copy", "follow"]
MovedKind = Literal["file", "symlink"]
Landing = Literal["below", "onto"]
PathType = Literal["file", "directory", "glob"]
SinkState = Literal["new", "resume", "equal", "skipped"]
CheckStatus = Literal["ok", "warn", "fail", "skipped"]
WatchStatus = Literal["ok", "degraded", "failed"]
WatchHow = Literal["native", "looking"]
BundleState = Literal["new", "equal", "skipped", "alone"]

FEATURES: tuple[str, ...] = ("browse", "doctor", "policies", "limits", "watch", "bundles")
"""What ``hello`` says that this agent answers beyond what every agent of protocol 1 does."""


@dataclass(frozen=True, slots=True)
class Message:
    """Base of all control messages; ``TYPE`` is the name on the wire."""

    TYPE: ClassVar[str] = ""


# Conversation: both directions


@dataclass(frozen=True, slots=True)
class Ack(Message):
    """Nothing but the envelope's ``ack``. Is not numbered (``seq`` 0) and not acknowledged."""

    TYPE: ClassVar[str] = "ack"


@dataclass(frozen=True, slots=True)
class ErrorMessage(Message):
    """The last message could not be handled. ``field`` names what was wrong, ``refers_to`` the ``seq`` of the message."""

    TYPE: ClassVar[str] = "error"
    code: Name
    message: Text
    field: Name | None = None
    refers_to: Count | None = None


# Conversation: agent → hub


@dataclass(frozen=True, slots=True)
class Hello(Message):
    """First message on every link; ``seq`` 0. ``last_seq`` is the highest hub message handled in ``session_id``.

    ``probe``: the link is only tried out: binary messages are echoed until another hello follows. ``switch``: go on with ``session_id`` here, and
    never begin another. ``link_reason`` says why the agent chose this link, for people.
    """

    TYPE: ClassVar[str] = "hello"
    protocol: tuple[Index, ...]
    agent: Name
    features: tuple[Name, ...] = ()
    session_id: Name | None = None
    last_seq: Count = 0
    receive_buffer: Count = 0
    probe: bool = False
    switch: bool = False
    link_reason: Text = ""


@dataclass(frozen=True, slots=True)
class RootInfo:
    path: PathText
    read: bool
    write: bool
    total: Count = 0
    free: Count = 0


@dataclass(frozen=True, slots=True)
class AgentInfo(Message):
    """``bandwidth_limit``: what the agent's own configuration allows, in bytes per second; the hub grants no more. 0: no limit."""

    TYPE: ClassVar[str] = "agent_info"
    hostname: Name
    os: Name
    arch: Name
    version: Name
    ip: Name = ""
    cpu_count: Count = 0
    memory_total: Count = 0
    memory_available: Count = 0
    roots: tuple[RootInfo, ...] = ()
    bandwidth_limit: Count = 0


@dataclass(frozen=True, slots=True)
class Heartbeat(Message):
    TYPE: ClassVar[str] = "heartbeat"
    uptime_s: Seconds
    active_transfers: Count = 0
    load: Seconds = 0.0


@dataclass(frozen=True, slots=True)
class ConnectionTestResult(Message):
    TYPE: ClassVar[str] = "connection_test_result"
    token: Name


# Conversation: hub → agent


@dataclass(frozen=True, slots=True)
class Welcome(Message):
    """Answer to ``hello``; ``seq`` 0. The session was resumed if ``session_id`` is the one that hello named.

    ``last_seq`` is the highest agent message that the hub has handled in this session.
    """

    TYPE: ClassVar[str] = "welcome"
    session_id: Name
    epoch: Count
    version: Index
    last_seq: Count = 0
    heartbeat_interval_s: Seconds = 60.0
    agent_name: Name = ""


@dataclass(frozen=True, slots=True)
class HeartbeatAck(Message):
    TYPE: ClassVar[str] = "heartbeat_ack"
    server_time: Name


@dataclass(frozen=True, slots=True)
class ConnectionTest(Message):
    TYPE: ClassVar[str] = "connection_test"
    token: Name


@dataclass(frozen=True, slots=True)
class Goodbye(Message):
    TYPE: ClassVar[str] = "goodbye"
    code: Name
    message: Text
    retry_after_s: Seconds = 0.0


@dataclass(frozen=True, slots=True)
class LimitsUpdate(Message):
    TYPE: ClassVar[str] = "limits_update"
    bandwidth: Count | None = None
    parallel: Count | None = None
    pause: bool | None = None


# Listings


@dataclass(frozen=True, slots=True)
class ListRules:
    """Which entries of a directory are wanted. Patterns: docs/reference.md, Filters."""

    include: tuple[Text, ...] = ()
    exclude: tuple[Text, ...] = ()
    recursive: bool = True
    min_age_s: Seconds = 0.0
    symlinks: Symlinks = "skip"


@dataclass(frozen=True, slots=True)
class ListRequest(Message):
    """What does a job's path hold? Page 0 opens the listing, page n + 1 may be asked for when page n has arrived.

    ``on_success``: what is to become of the files that are moved; a listing whose folder does not allow that cannot be made.
    ``archive``: where they go with ``archive``, as in TransferRelease; what stands there is not part of the listing.

    ``destination``: where the job writes, if that is at this agent too. What stands there is not part of the listing, and a listing that
    would put every file onto itself cannot be made.

    ``write``: the path is where a job writes, and is held by the write roots instead of the read roots.
    """

    TYPE: ClassVar[str] = "list_request"
    request_id: WireId
    path: PathText
    page: Index = 0
    page_size: Count = 500
    rules: ListRules = ListRules()
    destination: PathText | None = None
    on_success: OnSuccess = "keep"
    archive: PathText = ""
    write: bool = False


@dataclass(frozen=True, slots=True)
class ListCancel(Message):
    TYPE: ClassVar[str] = "list_cancel"
    request_id: WireId


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing below the listing's base. ``path`` is relative, with ``/`` between components on every system.

    ``code`` says why it is not to be moved in this run: ``young``, or ``link_outside``, ``link_loop``, ``link_broken`` of a link that was to be
    followed.
    """

    path: PathText
    kind: EntryKind
    size: Count = 0
    mtime_ns: Nanoseconds = 0
    mode: Index = 0
    code: Name = ""


@dataclass(frozen=True, slots=True)
class ListError:
    path: PathText
    code: Name
    message: Text


@dataclass(frozen=True, slots=True)
class ListResult(Message):
    """One page. ``base`` is what the entries' paths are relative to: the directory itself, a file's parent, a glob's fixed part.

    ``last`` says that no page follows. A listing that cannot be made at all has one error with the path "" and ``last``.
    """

    TYPE: ClassVar[str] = "list_result"
    request_id: WireId
    page: Index
    last: bool
    base: PathText
    path_type: PathType
    entries: tuple[Entry, ...] = ()
    errors: tuple[ListError, ...] = ()


# Questions of people: one directory, page by page, and the agent's own doctor


@dataclass(frozen=True, slots=True)
class BrowseRequest(Message):
    """What stands in one directory? In the order of names, those after ``after``; without ``path``: the agent's roots.

    Nothing stays open between pages.
    """

    TYPE: ClassVar[str] = "browse_request"
    request_id: WireId
    path: PathText = ""
    after: PathText | None = None
    limit: Count = 100


@dataclass(frozen=True, slots=True)
class BrowseItem:
    """One name. Of a root ``name`` is its absolute path, and ``read`` and ``write`` say what jobs may do there."""

    name: PathText
    kind: EntryKind
    size: Count = 0
    mtime_ns: Nanoseconds | None = None
    mode: Index | None = None
    read: bool | None = None
    write: bool | None = None


@dataclass(frozen=True, slots=True)
class BrowseResult(Message):
    """``path`` is absolute, ``parent`` the directory above it, "" for the list of roots. ``following``: more stand after this name.

    Without an answer ``code`` is not empty and ``message`` says why.
    """

    TYPE: ClassVar[str] = "browse_result"
    request_id: WireId
    path: PathText = ""
    parent: PathText | None = None
    items: tuple[BrowseItem, ...] = ()
    following: PathText | None = None
    code: Name = ""
    message: Text = ""


@dataclass(frozen=True, slots=True)
class DoctorRequest(Message):
    """Go the way to the hub step by step, as ``flux-agent doctor`` does. One at a time."""

    TYPE: ClassVar[str] = "doctor_request"
    request_id: WireId


@dataclass(frozen=True, slots=True)
class DoctorCheck:
    name: Name
    status: CheckStatus
    found: Text
    advice: Text = ""


@dataclass(frozen=True, slots=True)
class DoctorResult(Message):
    """The checks in their order. Without a report ``code`` is not empty and ``message`` says why."""

    TYPE: ClassVar[str] = "doctor_result"
    request_id: WireId
    checks: tuple[DoctorCheck, ...] = ()
    code: Name = ""
    message: Text = ""


# Watches: files that arrive at a source


@dataclass(frozen=True, slots=True)
class WatchSet(Message):
    """Look after this path until further notice, and say which files are ready. Agents with the feature ``watch`` answer it.

    A file is ready when its size and mtime have not changed for ``settle_s``, or it was renamed into place, and, with a ``marker``, when a file
    of its name with that suffix stands beside it. ``poll_s``: look so often instead of waiting for the system's events. The other fields are
    as in ListRequest. An agent keeps no watch over a new session: it is told again.
    """

    TYPE: ClassVar[str] = "watch_set"
    watch_id: WireId
    path: PathText
    rules: ListRules = ListRules()
    settle_s: Seconds = 5.0
    marker: Name = ""
    poll_s: Seconds | None = None
    destination: PathText | None = None
    on_success: OnSuccess = "keep"
    archive: PathText = ""


@dataclass(frozen=True, slots=True)
class WatchClear(Message):
    """Forget this watch, or all of them (0). No answer."""

    TYPE: ClassVar[str] = "watch_clear"
    watch_id: Count = 0


@dataclass(frozen=True, slots=True)
class WatchState(Message):
    """How a watch does, whenever that changes. ``failed``: the path cannot be looked at now; the agent goes on trying.

    ``degraded``: the system gives no events here, and the path is looked at from time to time.
    """

    TYPE: ClassVar[str] = "watch_state"
    watch_id: WireId
    status: WatchStatus
    how: WatchHow
    reason: Text = ""


@dataclass(frozen=True, slots=True)
class WatchReady(Message):
    """Files that are ready; ``base`` and ``path_type`` as in ListResult. What the hub knows already may be named again.

    Acknowledged when it is stored.
    """

    TYPE: ClassVar[str] = "watch_ready"
    watch_id: WireId
    base: PathText
    path_type: PathType
    entries: tuple[Entry, ...]


# Transfers: hub → agent


@dataclass(frozen=True, slots=True)
class TransferRequestItem:
    """Open one end of a transfer.

    ``path`` comes from the job and is held by the agent's roots; ``name`` came from the other agent and is validated as a relative
    name. ``landing`` (destination): ``below``: the file is ``path/name``. ``onto``: the file is ``path/name`` if ``path`` is an existing
    directory or ends in a separator, else ``path`` itself. At the source the file is always ``path/name``.
    ``final_path`` repeats what an earlier attempt's accept said, so that ``conflict: rename`` keeps its choice.
    ``have``: false asks the destination for no have pages (retry after ``stale_have``).
    ``kind: symlink``: the link itself is moved; its content is the text of its target. ``symlinks: follow`` lets the source follow links
    inside its root. ``keep_versions``: what is replaced is kept under other names, so many of them.
    """

    transfer_id: WireId
    role: Role
    row_id: Count
    run_id: Count
    job_id: Count
    attempt: Count
    path: PathText
    name: PathText
    chunk_size: Count
    compression: Compression = "auto"
    verify: Verify = "chunks"
    on_change: OnChange = "retry"
    landing: Landing = "below"
    part: PartId | None = None
    size: Count = 0
    mtime_ns: Nanoseconds = 0
    mode: Index = 0
    conflict: Conflict = "overwrite"
    preserve_mtime: bool = True
    preserve_mode: bool = True
    final_path: PathText | None = None
    have: bool = True
    kind: MovedKind = "file"
    symlinks: Symlinks = "skip"
    keep_versions: Count = 0
    allocated: Count | None = None
    """Bytes that the file takes of the source's disk, where that is less than ``size``."""


@dataclass(frozen=True, slots=True)
class TransferRequest(Message):
    TYPE: ClassVar[str] = "transfer_request"
    items: tuple[TransferRequestItem, ...]


@dataclass(frozen=True, slots=True)
class BundleRequestItem:
    """Open one end of a bundle: small files that move as one stream, their contents one behind the other.

    The lists have one element for each file. At the source a file is ``path/name`` and MUST have ``sizes`` and ``mtimes`` still; at the
    destination it lands at ``path/name`` by way of the part ``parts``. The stream is one chunk of all sizes together.
    ``repeated``: an earlier attempt may have delivered files, so one that has its size already at the destination is ``alone``.
    """

    transfer_id: WireId
    role: Role
    run_id: Count
    path: PathText
    names: tuple[PathText, ...]
    sizes: tuple[Count, ...]
    mtimes: tuple[Nanoseconds, ...]
    modes: tuple[Index, ...] = ()
    parts: tuple[PartId, ...] = ()
    compression: Compression = "auto"
    conflict: Conflict = "overwrite"
    preserve_mtime: bool = True
    preserve_mode: bool = True
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class BundleRequest(Message):
    TYPE: ClassVar[str] = "bundle_request"
    items: tuple[BundleRequestItem, ...]


@dataclass(frozen=True, slots=True)
class TransferResumeItem:
    """Go on (source), or forget what is in flight (destination).

    First use on a wire id: ``have_count`` hashes were forwarded in have pages before this message; ``received`` is 0.
    After a link change: ``acked`` is done, everything else that was sent is to be sent again; ``received`` is what the source's
    count of sent frame bytes becomes. ``up_to``: as in ``window``.
    """

    transfer_id: WireId
    acked: Ranges = ()
    have_count: Index = 0
    received: Count = 0
    up_to: Count = 0


@dataclass(frozen=True, slots=True)
class TransferResume(Message):
    TYPE: ClassVar[str] = "transfer_resume"
    items: tuple[TransferResumeItem, ...]


@dataclass(frozen=True, slots=True)
class WindowItem:
    transfer_id: WireId
    up_to: Count
    acked: Ranges = ()
    lower: bool = False


@dataclass(frozen=True, slots=True)
class Window(Message):
    """``up_to``: frame bytes (headers included) that the source may have sent, counted from the wire id's first. ``lower``: it is less than
    before, because of a limit; what was sent beyond it is in order.
    """

    TYPE: ClassVar[str] = "window"
    items: tuple[WindowItem, ...]


@dataclass(frozen=True, slots=True)
class ChunkRequestItem:
    transfer_id: WireId
    index: Index


@dataclass(frozen=True, slots=True)
class ChunkRequest(Message):
    """Send these chunks again."""

    TYPE: ClassVar[str] = "chunk_request"
    items: tuple[ChunkRequestItem, ...]


@dataclass(frozen=True, slots=True)
class TransferCommitItem:
    transfer_id: WireId
    size: Count
    chunk_digest: Digest
    file_sha256: Digest | None
    mtime_ns: Nanoseconds
    mode: Index
    alone: Ranges | None = None
    """Of a bundle: the files that the source could not read as they were listed. They are not published."""


@dataclass(frozen=True, slots=True)
class TransferCommit(Message):
    TYPE: ClassVar[str] = "transfer_commit"
    items: tuple[TransferCommitItem, ...]


@dataclass(frozen=True, slots=True)
class TransferReleaseItem:
    """``name`` and ``identity``: as in the source's request and accept, for what is not kept."""

    transfer_id: WireId
    on_success: OnSuccess = "keep"
    name: PathText = ""
    identity: Name = ""


@dataclass(frozen=True, slots=True)
class TransferRelease(Message):
    """The files stand at their destination.

    Without ``request_id`` the sources of these wire ids are closed. With it the files below ``path`` are deleted or archived, whether the agent
    knows of their transfers or not; the wire ids only name the answers. ``archive``: below ``path`` unless it is absolute; empty:
    ``.fileflux-archive``. ``again``: an earlier request may have been carried out.
    """

    TYPE: ClassVar[str] = "transfer_release"
    items: tuple[TransferReleaseItem, ...]
    request_id: WireId | None = None
    path: PathText = ""
    archive: PathText = ""
    again: bool = False


@dataclass(frozen=True, slots=True)
class CancelTransferItem:
    """``discard``: the destination removes the part; otherwise it stays for a later attempt."""

    transfer_id: WireId
    reason: Name
    discard: bool = False


@dataclass(frozen=True, slots=True)
class CancelTransfer(Message):
    TYPE: ClassVar[str] = "cancel_transfer"
    items: tuple[CancelTransferItem, ...]


@dataclass(frozen=True, slots=True)
class PauseTransferItem:
    transfer_id: WireId
    paused: bool


@dataclass(frozen=True, slots=True)
class PauseTransfer(Message):
    TYPE: ClassVar[str] = "pause_transfer"
    items: tuple[PauseTransferItem, ...]


@dataclass(frozen=True, slots=True)
class DiscardPartItem:
    directory: PathText
    part: PartId


@dataclass(frozen=True, slots=True)
class DiscardPart(Message):
    """Remove parts of transfers that ended without a rename. Missing parts and directories are no error; no answer."""

    TYPE: ClassVar[str] = "discard_part"
    items: tuple[DiscardPartItem, ...]


@dataclass(frozen=True, slots=True)
class DirItem:
    path: PathText
    mode: Index | None = None
    mtime_ns: Nanoseconds | None = None


@dataclass(frozen=True, slots=True)
class DirApply(Message):
    """Make these directories below ``base`` where missing, then set mode and mtime, in the order given (deepest first)."""

    TYPE: ClassVar[str] = "dir_apply"
    request_id: WireId
    base: PathText
    items: tuple[DirItem, ...]


# Transfers: agent → hub


@dataclass(frozen=True, slots=True)
class TransferAcceptItem:
    """One end is open.

    Source: ``size``, ``mtime_ns``, ``mode``, ``identity``, and ``allocated`` of a file with holes. Destination: ``state``, ``final_path`` (where the file will stand) and
    ``have_count``: hashes in the have pages that follow on the link. States ``equal`` and ``skipped`` end the transfer without one.
    """

    transfer_id: WireId
    role: Role
    size: Count = 0
    mtime_ns: Nanoseconds = 0
    mode: Index = 0
    identity: Name = ""
    state: SinkState | None = None
    final_path: PathText | None = None
    have_count: Index = 0
    allocated: Count | None = None


@dataclass(frozen=True, slots=True)
class TransferAccept(Message):
    TYPE: ClassVar[str] = "transfer_accept"
    items: tuple[TransferAcceptItem, ...]


@dataclass(frozen=True, slots=True)
class BundleAcceptItem:
    """What becomes of each file of a ``bundle_request`` to a destination, in the same order.

    ``new``: send it. ``equal`` and ``skipped``: as in TransferAcceptItem. ``alone``: it needs a transfer of its own, which will say why.
    ``path``: where the names are below, with the system's separator at its end.
    """

    transfer_id: WireId
    role: Role
    path: PathText
    states: tuple[BundleState, ...]


@dataclass(frozen=True, slots=True)
class BundleAccept(Message):
    TYPE: ClassVar[str] = "bundle_accept"
    items: tuple[BundleAcceptItem, ...]


@dataclass(frozen=True, slots=True)
class BundleCompleteItem:
    """The SHA-256 of each file that was to be sent, in the order of the bundle; ``alone``: indexes of those that were not published."""

    transfer_id: WireId
    role: Role
    digests: tuple[Digest, ...]
    alone: Ranges = ()


@dataclass(frozen=True, slots=True)
class BundleComplete(Message):
    TYPE: ClassVar[str] = "bundle_complete"
    items: tuple[BundleCompleteItem, ...]


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Milliseconds spent since the transfer began."""

    read: Count = 0
    hash: Count = 0
    compress: Count = 0
    window: Count = 0
    write: Count = 0
    sync: Count = 0


@dataclass(frozen=True, slots=True)
class TransferProgressItem:
    transfer_id: WireId
    bytes: Count
    chunks: Count
    times: StageTimes = StageTimes()


@dataclass(frozen=True, slots=True)
class TransferProgress(Message):
    TYPE: ClassVar[str] = "transfer_progress"
    items: tuple[TransferProgressItem, ...]


@dataclass(frozen=True, slots=True)
class ChunksItem:
    transfer_id: WireId
    chunks: Ranges


@dataclass(frozen=True, slots=True)
class ChunkAck(Message):
    """Destination: these chunks are written and synced."""

    TYPE: ClassVar[str] = "chunk_ack"
    items: tuple[ChunksItem, ...]


@dataclass(frozen=True, slots=True)
class ChunkSame(Message):
    """Source: the destination has these chunks already. The hub passes it on to the destination, which acknowledges them."""

    TYPE: ClassVar[str] = "chunk_same"
    items: tuple[ChunksItem, ...]


@dataclass(frozen=True, slots=True)
class ChunkNackItem:
    transfer_id: WireId
    index: Index
    reason: Name


@dataclass(frozen=True, slots=True)
class ChunkNack(Message):
    TYPE: ClassVar[str] = "chunk_nack"
    items: tuple[ChunkNackItem, ...]


@dataclass(frozen=True, slots=True)
class TransferCompleteItem:
    """Source: what it read. Destination: what stands at the final name.

    ``role`` says which end speaks. Without it the sender's only role in this transfer is meant, so one that has both must say it.
    """

    transfer_id: WireId
    size: Count
    chunk_digest: Digest
    file_sha256: Digest | None = None
    final_path: PathText | None = None
    role: Role | None = None
    alone: Ranges | None = None
    """Of a bundle, from its source: see TransferCommitItem."""


@dataclass(frozen=True, slots=True)
class TransferComplete(Message):
    TYPE: ClassVar[str] = "transfer_complete"
    items: tuple[TransferCompleteItem, ...]


@dataclass(frozen=True, slots=True)
class TransferErrorItem:
    """One end gave up. ``role`` as in TransferCompleteItem."""

    transfer_id: WireId
    code: Name
    message: Text
    retryable: bool = False
    role: Role | None = None


@dataclass(frozen=True, slots=True)
class TransferErrorMessage(Message):
    TYPE: ClassVar[str] = "transfer_error"
    items: tuple[TransferErrorItem, ...]


@dataclass(frozen=True, slots=True)
class TransferReleasedItem:
    transfer_id: WireId
    code: Name = "ok"
    message: Text = ""


@dataclass(frozen=True, slots=True)
class TransferReleased(Message):
    """``request_id``: of the request that this answers, with one item for each of its items."""

    TYPE: ClassVar[str] = "transfer_released"
    items: tuple[TransferReleasedItem, ...]
    request_id: WireId | None = None


@dataclass(frozen=True, slots=True)
class DirApplied(Message):
    TYPE: ClassVar[str] = "dir_applied"
    request_id: WireId
    errors: tuple[ListError, ...] = ()


@dataclass(frozen=True, slots=True)
class DeleteItem:
    """A path below the base of its message; the file there is removed only if it has this size and mtime."""

    path: PathText
    directory: bool = False
    size: Count = 0
    mtime_ns: Nanoseconds = 0


@dataclass(frozen=True, slots=True)
class DeletePaths(Message):
    """Remove these below ``base``, in the order given: files that are what they were when they were listed, and directories that are empty.

    What is gone already is as it should be. Agents with the feature ``policies`` answer it.
    """

    TYPE: ClassVar[str] = "delete_paths"
    request_id: WireId
    base: PathText
    items: tuple[DeleteItem, ...]


@dataclass(frozen=True, slots=True)
class PathsDeleted(Message):
    """``errors`` names those that stay and why."""

    TYPE: ClassVar[str] = "paths_deleted"
    request_id: WireId
    errors: tuple[ListError, ...] = ()


FROM_AGENT: tuple[type[Message], ...] = (
    Hello, AgentInfo, Heartbeat, ListResult, TransferAccept, TransferProgress, ChunkAck, ChunkNack, ChunkSame,
    TransferComplete, TransferReleased, BundleAccept, BundleComplete, DirApplied, PathsDeleted, TransferErrorMessage, ConnectionTestResult, BrowseResult,
    DoctorResult, WatchState, WatchReady, Ack, ErrorMessage,
)  # fmt: skip
FROM_HUB: tuple[type[Message], ...] = (
    Welcome, HeartbeatAck, ListRequest, ListCancel, TransferRequest, BundleRequest, TransferResume, Window, TransferCommit, TransferRelease,
    DirApply, DeletePaths, LimitsUpdate, ChunkRequest, CancelTransfer, PauseTransfer, DiscardPart, ConnectionTest, ChunkSame, BrowseRequest,
    DoctorRequest, WatchSet, WatchClear, Ack, ErrorMessage, Goodbye,
)  # fmt: skip

UNNUMBERED: tuple[type[Message], ...] = (Hello, Welcome, Ack)
"""Sent with ``seq`` 0: never acknowledged, never replayed."""
