"""One transfer as the hub sees it: who is asked what, in which order (docs/protocol.md, A transfer).

Sans-I/O. Every method returns the effects that the caller has to carry out, in order. Frames, acknowledgements and windows are the
relay's; this machine hears only that every chunk is acknowledged. States and steps are in ``transfer_state.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fileflux.errors import RemoteProtocolError
from fileflux.jobs import retry
from fileflux.jobs.effects import (
    CloseStream,
    Effect,
    Ended,
    OpenStream,
    Persist,
    RelinkStream,
    RetryAfter,
    Send,
    StartStream,
)
from fileflux.jobs.models import JobSpec
from fileflux.jobs.status import TransferStatus
from fileflux.jobs.transfer_state import REFUSED_EVENTS, Event, State, step
from fileflux.protocol import messages as m
from fileflux.protocol.limits import MAX_CHUNKS


@dataclass(frozen=True, slots=True)
class TransferPlan:
    """What does not change from attempt to attempt.

    ``name`` is the path below the source's base; at the destination ``destination_name`` lands by ``landing``. ``kind: symlink``: the link
    itself is moved.
    """

    row_id: int
    run_id: int
    job_id: int
    name: str
    destination_name: str
    source_base: str
    landing: m.Landing
    part: str
    kind: m.MovedKind = "file"


VAIN_RESTARTS_MAX: Final = 5
"""So often an agent may end in a row, with no byte more on the destination's disk, before that counts as the file's failure."""


@dataclass(slots=True)
class TransferMachine:
    """Drive it with what the agents answer; read the public fields to store and show it."""

    plan: TransferPlan
    spec: JobSpec
    size: int = 0
    mtime_ns: int = 0
    mode: int = 0
    attempt: int = 0
    retries: int = 0
    final_path: str | None = None
    identity: str = ""
    allocated: int | None = None
    """The version of the source's file that this attempt moves."""

    state: State = State.IDLE
    status: TransferStatus = TransferStatus.PENDING
    code: str = ""
    reason: str = ""
    wire_id: int = 0
    total_chunks: int = 1
    file_sha256: str | None = None

    _have: bool = True
    _stale_retries: int = 0
    _moved: int = 0
    _vain_restarts: int = 0
    _have_count: int = 0
    _source_done: m.TransferCompleteItem | None = None
    _all_acked: bool = False
    _destination_open: bool = False

    def begin(self, wire_id: int) -> list[Effect]:
        """Start an attempt under a wire id never used before. Both agents must be there."""
        self._step(Event.BEGIN)
        self.wire_id = wire_id
        self.attempt += 1
        self._source_done = None
        self._all_acked = False
        self._destination_open = False
        self.status, self.code, self.reason = TransferStatus.TRANSFERRING, "", ""
        return [Send("source", m.TransferRequest, self._request("source"))]

    def source_accepted(self, item: m.TransferAcceptItem) -> list[Effect]:
        """The source opened the file: its size and times are the transfer's from now on."""
        self._peer_step(Event.SOURCE_ACCEPTED)
        total = max(1, -(-item.size // self.spec.chunk_size))
        if total > MAX_CHUNKS:
            return self.failed(
                "too_large",
                f"{item.size} bytes need more than {MAX_CHUNKS} chunks: set a larger chunk_size",
                retryable=False,
            )
        self.size, self.mtime_ns, self.mode, self.total_chunks = item.size, item.mtime_ns, item.mode, total
        self.identity, self.allocated = item.identity, item.allocated
        self._destination_open = True
        return [
            OpenStream(self.wire_id, self.size, self.spec.chunk_size, total),
            Send("destination", m.TransferRequest, self._request("destination")),
        ]

    def destination_accepted(self, item: m.TransferAcceptItem) -> list[Effect]:
        """The destination opened the part, or needs nothing (``equal``, ``skipped``)."""
        if item.final_path is None or item.state is None:
            raise RemoteProtocolError("transfer_accept of a destination needs state and final_path", field="state")
        if item.have_count > self.total_chunks:
            raise RemoteProtocolError(f"{item.have_count} hashes for {self.total_chunks} chunks", field="have_count")
        if item.state in ("equal", "skipped"):
            self._peer_step(Event.DESTINATION_SATISFIED)
            self.final_path = item.final_path
            self.reason = (
                "equal file at the destination" if item.state == "equal" else f"conflict: {self.spec.conflict}"
            )
            return self._end(TransferStatus.SKIPPED, part_left=False, tell=("source",))
        self._peer_step(Event.DESTINATION_ACCEPTED)
        self._have_count = item.have_count
        changed = self.final_path != item.final_path
        self.final_path = item.final_path
        if self.spec.conflict == "rename" and changed:
            return [Persist(confirm=True)]
        persist: list[Effect] = [Persist()] if self.total_chunks > 1 else []
        return [*persist, StartStream(self.wire_id, self._have_count)]

    def stored(self) -> list[Effect]:
        """The chosen final name is committed: the first frame may go."""
        if self.state is not State.COMPARING:
            return []
        return [StartStream(self.wire_id, self._have_count)]

    def have_forwarded(self) -> list[Effect]:
        """All have pages went to the source and the window is open."""
        if step(self.state, Event.HAVE_FORWARDED):
            self._step(Event.HAVE_FORWARDED)
        return []

    def source_completed(self, item: m.TransferCompleteItem) -> list[Effect]:
        """What the source says it read. It may overtake the last frames."""
        if self.state is State.COMPARING:
            # The source's answer can overtake the relay's own report through another mailbox.
            self._step(Event.HAVE_FORWARDED)
        self._peer_step(Event.SOURCE_COMPLETED)
        if item.size != self.size:
            return self.failed("source_changed", f"the source read {item.size} bytes, not {self.size}", retryable=True)
        if self.spec.verify == "full" and item.file_sha256 is None:
            raise RemoteProtocolError("verify full needs the source's file_sha256", field="file_sha256")
        self._source_done = item
        return self._commit_if_agreed()

    def all_acked(self) -> list[Effect]:
        """The relay saw an acknowledgement of every chunk."""
        if self.state is State.COMPARING:
            self._step(Event.HAVE_FORWARDED)
        if not step(self.state, Event.ALL_ACKED):
            return []
        self._all_acked = True
        return self._commit_if_agreed()

    def destination_completed(self, item: m.TransferCompleteItem) -> list[Effect]:
        """The file stands at its final name, verified and synced."""
        if item.file_sha256 is None:
            raise RemoteProtocolError("transfer_complete of a destination needs file_sha256", field="file_sha256")
        source = self._source_done
        if source is None or not step(self.state, Event.DELIVERED):
            raise RemoteProtocolError(
                "transfer_complete before transfer_commit", code="out_of_place", field="transfer_id"
            )
        if item.size != self.size or (source.file_sha256 is not None and source.file_sha256 != item.file_sha256):
            # The destination checks both before it renames, so this is its fault and nothing more can be believed of it.
            raise RemoteProtocolError("transfer_complete does not match transfer_commit", field="file_sha256")
        self._step(Event.DELIVERED)
        self.file_sha256 = item.file_sha256
        self.final_path = item.final_path or self.final_path
        # What the job does with the source's file comes after this is stored (actors/run_releases.py).
        release = Send("source", m.TransferRelease, m.TransferReleaseItem(self.wire_id))
        return [release, *self._end(TransferStatus.COMPLETED, part_left=False, tell=())]

    def failed(self, code: str, message: str, *, retryable: bool, by: m.Role | None = None) -> list[Effect]:
        """One end or the relay gave up on this attempt; decides between another attempt and the end."""
        if not step(self.state, Event.FAILED):
            return []
        if self.state is State.COMMITTING and by == "source":
            # It read everything and agreed; what befalls it afterwards changes nothing at the destination.
            return []
        decision = retry.decide(
            self.spec, code, retryable=retryable, retries=self.retries, stale_retries=self._stale_retries
        )
        self.code, self.reason = code, message
        if decision.delay_s is None:
            others = tuple(role for role in self._open_ends() if role != by)
            self._step(Event.FAILED)
            return self._end(TransferStatus.FAILED, part_left=self._destination_open, tell=others, code=code)
        if code == "stale_have":
            self._stale_retries += 1
        else:
            self.retries += 1
        self._have = decision.have
        effects = self._lose_attempt(code, keep=by)
        self.status = TransferStatus.WAITING
        self.reason = f"{message}; trying again in {decision.delay_s:.0f} s" if decision.delay_s else message
        return [*effects, Persist(), RetryAfter(decision.delay_s)]

    def link_changed(self, role: m.Role) -> list[Effect]:
        """The session of one end goes on over a new link: what was in flight on the old one is gone."""
        if self.state is State.MOVING and role == "source":
            self.status, self.reason = TransferStatus.TRANSFERRING, ""
            return [RelinkStream(self.wire_id)]
        # Have pages are not repeated by the session, so an attempt that may have lost one starts over. So does one whose destination
        # has a new link: pieces that the source sent before it could know would be taken for those that it sends again.
        if self.state in (State.COMPARING, State.MOVING) or (
            self.state is State.OPENING_DESTINATION and role == "destination"
        ):
            return [*self._lose_attempt("link_changed"), RetryAfter(0.0)]
        if self.state is not State.ENDED and self.status is TransferStatus.WAITING and self.state is not State.IDLE:
            self.status, self.reason = TransferStatus.TRANSFERRING, ""
        return []

    def moved(self, bytes_done: int) -> None:
        """So many bytes of the file are on the destination's disk."""
        if bytes_done > self._moved:
            self._moved, self._vain_restarts = bytes_done, 0

    def session_lost(self, role: m.Role) -> list[Effect]:
        """The agent came back as a new process, or was given up: nothing it had open is open any more.

        That is no failure of the file, unless it happens again and again and no byte more arrives between: then each is one.
        """
        if self.state in (State.IDLE, State.ENDED):
            return []
        self._vain_restarts += 1
        if self._vain_restarts > VAIN_RESTARTS_MAX and self.state is not State.COMMITTING:
            again = f"the {role} agent ended {self._vain_restarts} times in a row while it worked on this file: its log says why"
            return self.failed("worker_died", again, retryable=True, by=role)
        return [*self._lose_attempt("agent_restarted", keep=role), RetryAfter(0.0)]

    def waiting(self, reason: str) -> None:
        """Something outside holds it up; shown to people, no step."""
        if self.state is not State.ENDED:
            self.status, self.reason = TransferStatus.WAITING, reason

    def pause(self, reason: str) -> list[Effect]:
        """Give the attempt up for now: both ends close what they have open, and the part stays for the next ``begin``.

        Does nothing to what has no attempt, or has been committed: there the destination's answer decides.
        """
        if step(self.state, Event.PAUSED) is None:
            return []
        effects = self._lose_attempt("paused", Event.PAUSED)
        self.status, self.reason = TransferStatus.WAITING, reason
        return [*effects, Persist(), RetryAfter(0.0)]

    def cancel(self, reason: str) -> list[Effect]:
        """Before the commit this ends it at once; after it the destination's answer decides."""
        if not step(self.state, Event.CANCELLED):
            return []
        ends = self._open_ends()
        self._step(Event.CANCELLED)
        self.reason = reason
        return self._end(TransferStatus.CANCELLED, part_left=self._destination_open or self.attempt > 0, tell=ends)

    def _commit_if_agreed(self) -> list[Effect]:
        source = self._source_done
        if source is None or not self._all_acked:
            return []
        self._step(Event.BOTH_AGREED)
        self.status = TransferStatus.VERIFYING
        item = m.TransferCommitItem(
            self.wire_id, self.size, source.chunk_digest, source.file_sha256, self.mtime_ns, self.mode
        )
        return [Send("destination", m.TransferCommit, item)]

    def _lose_attempt(
        self, reason: str, event: Event = Event.ATTEMPT_LOST, *, keep: m.Role | None = None
    ) -> list[Effect]:
        """Close what is open of this attempt at the ends other than ``keep`` (which closed it itself); the part stays."""
        ends = self._open_ends()
        self._step(event)
        effects: list[Effect] = [
            Send(role, m.CancelTransfer, m.CancelTransferItem(self.wire_id, reason)) for role in ends if role != keep
        ]
        effects.append(CloseStream(self.wire_id))
        self._destination_open = False
        return effects

    def _end(
        self, status: TransferStatus, *, part_left: bool, tell: tuple[m.Role, ...], code: str = ""
    ) -> list[Effect]:
        self.status, self.code = status, code
        effects: list[Effect] = [
            Send(role, m.CancelTransfer, m.CancelTransferItem(self.wire_id, code or status.value, discard=part_left))
            for role in tell
        ]
        if self.wire_id:
            effects.append(CloseStream(self.wire_id))
        self._destination_open = False
        return [*effects, Persist(), Ended(part_left)]

    def _open_ends(self) -> tuple[m.Role, ...]:
        if self.state in (State.IDLE, State.ENDED):
            return ()
        return ("source", "destination") if self._destination_open else ("source",)

    def _request(self, role: m.Role) -> m.TransferRequestItem:
        plan, spec = self.plan, self.spec
        source = role == "source"
        return m.TransferRequestItem(
            transfer_id=self.wire_id,
            role=role,
            row_id=plan.row_id,
            run_id=plan.run_id,
            job_id=plan.job_id,
            attempt=self.attempt,
            path=plan.source_base if source else spec.destination_path,
            name=plan.name if source else plan.destination_name,
            chunk_size=spec.chunk_size,
            compression=spec.compression,
            verify=spec.verify,
            on_change=spec.on_change,
            landing="below" if source else plan.landing,
            part=None if source else plan.part,
            size=self.size,
            mtime_ns=self.mtime_ns,
            mode=self.mode,
            conflict=spec.conflict,
            preserve_mtime="mtime" in spec.preserve,
            preserve_mode="mode" in spec.preserve,
            final_path=None if source else self.final_path,
            have=self._have,
            kind=plan.kind,
            symlinks=spec.symlinks,
            keep_versions=spec.keep_versions,
            allocated=None if source else self.allocated,
        )

    def _step(self, event: Event) -> None:
        following = step(self.state, event)
        if following is None:
            raise AssertionError(f"{event.name} in {self.state.name}")
        self.state = following

    def _peer_step(self, event: Event) -> None:
        if step(self.state, event) is None:
            assert event in REFUSED_EVENTS  # noqa: S101  # the table's own promise, not a check of input
            raise RemoteProtocolError(
                f"not expected now: the transfer is in {self.state.name.lower()}",
                code="out_of_place",
                field="transfer_id",
            )
        self._step(event)
