"""The receiving end of a transfer: opens the part, writes and syncs chunks, commits when both ends agree.

Sans-I/O. Whole frames come in slots of shared memory; checking, writing and syncing are tasks of workers. A chunk is acknowledged by
the sync that began after it was written. The states are in ``sink_state.py``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from fileflux.errors import FluxError
from fileflux.protocol import messages as m
from fileflux.protocol.frames import FrameHeader, check_geometry, total_chunks
from fileflux.protocol.limits import Limits
from flux_agent.transfer.digest import ChunkDigest
from flux_agent.transfer.effects import Effect, RunTask, SendHavePage, SendItem
from flux_agent.transfer.hashes import HaveHashes, WholeHash
from flux_agent.transfer.machine import Machine
from flux_agent.transfer.regions import Slot
from flux_agent.transfer.sink_state import Event, State, step
from flux_agent.transfer.steps import Steps, out_of_place
from flux_agent.transfer.synced import SyncGroups

COPIES_PER_TURN = 1024
"""Ranges of equal chunks looked at in one step: one that is here already costs no task, so nothing else bounds them."""


Claims = dict[str, int]
"""Final paths that live transfers of this agent are to fill, and their wire ids."""


class SinkMachine(Machine):
    """Call ``begin`` first, ``wants`` for every frame, ``tick`` when ``deadline`` has come."""

    close_task = "sink_close"

    def __init__(self, request: m.TransferRequestItem, limits: Limits, claims: Claims) -> None:
        super().__init__(request)
        self.request = request
        self._limits = limits
        self._claims = claims
        self._steps = Steps(request.transfer_id, State.OPENING, step, (State.CLOSING, State.CLOSED))
        self.final_path: str | None = None
        self.size = request.size
        self.total = total_chunks(request.size, request.chunk_size)
        self._digest = ChunkDigest(self.total)
        self._attempt = request.attempt
        self._basis: str | None = None
        self._have = HaveHashes()
        # Chunks that a task is writing or copying into the part.
        self._writing: set[int] = set()
        self._copies: deque[tuple[int, int]] = deque()
        self._copying = 0
        self._groups = SyncGroups(limits.sync_group_bytes, limits.sync_group_s)
        self._whole = WholeHash(request.chunk_size)
        self._commit: m.TransferCommitItem | None = None
        self._committing = False
        self._discard = False

    @property
    def parts(self) -> tuple[str, ...]:
        """What it writes to: one part."""
        return (self.request.part or "",)

    @property
    def state(self) -> State:
        return self._steps.state

    @property
    def closed(self) -> bool:
        return self.state is State.CLOSED

    @property
    def moving(self) -> bool:
        return self.state in (State.RECEIVING, State.COMMITTING)

    def begin(self) -> list[Effect]:
        request = self.request
        return [
            self._run(
                "sink_open",
                path=request.path,
                name=request.name,
                landing=request.landing,
                part=request.part,
                size=request.size,
                mtime_ns=request.mtime_ns,
                mode=request.mode,
                chunk_size=request.chunk_size,
                conflict=request.conflict,
                preserve_mtime=request.preserve_mtime,
                attempt=self._attempt,
                final_path=request.final_path,
                have=request.have,
                kind=request.kind,
                allocated=request.allocated,
            )
        ]

    # What the hub says

    def wants(self, header: FrameHeader, now: float) -> tuple[bool, list[Effect]]:
        """Whether the frame that begins is to be taken in. Raises RemoteProtocolError for one that cannot be of this file."""
        if not self._steps.heard(Event.FRAME):
            return False, []
        check_geometry(header, self.size, self.request.chunk_size)
        index = header.index
        if index in self._writing:
            return False, []
        if self._groups.written(index):
            # Sent again because its ack was lost: the same ack answers both.
            return False, self._acked(((index, index),)) if self._groups.synced(index) else self._sync(now)
        return True, []

    def frame_ready(self, index: int, slot: Slot) -> list[Effect]:
        """A wanted frame is whole in ``slot``, which has just its size and is the machine's from now on."""
        if self._is_closing() or index in self._writing or self._groups.written(index):
            slot.release()
            return []
        self._writing.add(index)
        return [self._run_chunk("sink_write", index, slot=slot)]

    def same(self, ranges: m.Ranges, now: float) -> list[Effect]:
        """The source found these chunks equal to what the have pages said."""
        if not self._steps.heard(Event.SAME):
            return []
        for first, last in ranges:
            if last >= self._have.count:
                raise out_of_place(self.wire_id, f"chunk_same up to {last}", f"at {self._have.count} hashes")
            self._copies.append((first, last))
        return self._advance(now)

    def resumed(self) -> list[Effect]:
        """A link changed. Half-received frames are the engine's to forget; what is whole here goes on."""
        self._steps.heard(Event.RESUMED)
        return []

    def committed(self, item: m.TransferCommitItem, now: float) -> list[Effect]:
        """Both ends agree, says the hub: publish."""
        if not self._steps.heard(Event.COMMIT):
            return []
        self._commit = item
        whole = self._groups.synced_count == self.total and self._digest.whole
        if not whole or item.size != self.size or item.chunk_digest != self._digest.hexdigest():
            return self.fail("stale_have", "what is on disk here is not what the source read", retryable=True)
        return self._advance(now)

    def cancel(self, *, discard: bool) -> list[Effect]:
        if self._is_closing():
            return []
        self._discard = discard
        return self._close()

    def link_lost(self) -> list[Effect]:
        if self._steps.allows(Event.LINK_LOST):
            self._steps.step(Event.LINK_LOST)
        return []

    # Time

    def deadline(self) -> float | None:
        """When ``tick`` is due."""
        if self._is_closing():
            return None
        if self._copies and self._copying < self._limits.worker_in_flight and self.state is not State.COMPARING:
            return 0.0
        return self._groups.deadline()

    def tick(self, now: float) -> list[Effect]:
        return self._advance(now)

    def progress(self) -> m.TransferProgressItem:
        return m.TransferProgressItem(
            self.wire_id, self._groups.synced_bytes, self._groups.synced_count, self.times.shown()
        )

    # Tasks

    def _handlers(self) -> dict[str, Callable[[RunTask, dict[str, Any], float], list[Effect]]]:
        return {
            "sink_open": self._opened,
            "sink_have": self._have_hashed,
            "sink_write": self._wrote,
            "sink_copy": self._copied,
            "sink_sync": self._sync_done,
            "sink_hash": self._hash_done,
            "sink_commit": self._delivered,
        }

    def _opened(self, task: RunTask, value: dict[str, Any], now: float) -> list[Effect]:
        del task
        self.handle, final_path = value["handle"], value["final_path"]
        state: m.SinkState = value["state"]
        self._have.count = value["have_count"]
        self._basis = value["basis"]
        item = m.TransferAcceptItem(
            self.wire_id, "destination", state=state, final_path=final_path, have_count=self._have.count
        )
        accept = SendItem(m.TransferAccept, item)
        if state in ("equal", "skipped"):
            return [accept, *self._close()]
        if self._claims.setdefault(final_path, self.wire_id) != self.wire_id:
            return self.fail("busy", f"another transfer is writing {final_path}", retryable=True)
        self.final_path = final_path
        self._steps.step(Event.OPENED)
        if not self._have.count:
            self._steps.step(Event.COMPARED)
        return [accept, *self._advance(now)]

    def _have_hashed(self, task: RunTask, value: dict[str, Any], now: float) -> list[Effect]:
        pages = self._have.hashed(task.context, bytes.fromhex(value["hashes"]), bytes.fromhex(value["quick"]))
        effects: list[Effect] = [SendHavePage(first, hashes) for first, hashes in pages]
        if self._have.complete:
            self._steps.step(Event.COMPARED)
        return [*effects, *self._advance(now)]

    def _wrote(self, task: RunTask, value: dict[str, Any], now: float) -> list[Effect]:
        index: int = task.context
        self._writing.discard(index)
        if task.slot is not None:
            task.slot.release()
        self.times.write += now - task.submitted_at
        if "nack" in value:
            return [SendItem(m.ChunkNack, m.ChunkNackItem(self.wire_id, index, str(value["nack"])))]
        self._on_disk(index, bytes.fromhex(value["sha"]), now)
        return self._advance(now)

    def _copied(self, task: RunTask, value: dict[str, Any], now: float) -> list[Effect]:
        del value
        self._copying -= 1
        index: int = task.context
        self._writing.discard(index)
        self._on_disk(index, self._have.row(index, index), now)
        return self._advance(now)

    def _on_disk(self, index: int, sha: bytes, now: float) -> None:
        if not self._groups.written(index):
            self._digest.add(index, sha)
            self._groups.add(index, index, self._length(index, index), now)

    def _sync_done(self, task: RunTask, value: dict[str, Any], now: float) -> list[Effect]:
        del value
        self.times.sync += now - task.submitted_at
        return [*self._acked(self._groups.finished()), *self._advance(now)]

    def _hash_done(self, task: RunTask, value: dict[str, Any], now: float) -> list[Effect]:
        del task
        self._whole.done(value)
        return self._advance(now)

    def _delivered(self, task: RunTask, value: dict[str, Any], now: float) -> list[Effect]:
        del task, now
        item = m.TransferCompleteItem(
            self.wire_id,
            value["size"],
            self._digest.hexdigest(),
            value["sha256"],
            value["final_path"],
            role="destination",
        )
        return [SendItem(m.TransferComplete, item), *self._close()]

    def _task_failed(self, task: RunTask, error: FluxError) -> list[Effect]:
        # After a failed sync nobody knows what the disk holds: the part is void.
        self._discard = task.task == "sink_sync"
        return super()._task_failed(task, error)

    def _redone(self, task: RunTask) -> RunTask:
        if task.task == "sink_commit":
            # The lost worker may have renamed already, which only a repeated attempt looks for.
            task.args["attempt"] = max(2, task.args["attempt"])
        return super()._redone(task)

    # Moving on

    def _advance(self, now: float) -> list[Effect]:
        if self._is_closing():
            return []
        if self.state is State.COMPARING:
            return self._hash_have()
        return [*self._copy(now), *self._sync(now), *self._hash_file(), *self._publish()]

    def _hash_have(self) -> list[Effect]:
        effects: list[Effect] = []
        while self.running < self._limits.worker_in_flight and (following := self._have.next_step()):
            first, count = following
            key = self._chunk_key(f"have{first}")
            effects.append(self._run("sink_have", key=key, context=first, handle=self.handle, first=first, count=count))
        return effects

    def _copy(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for _ in range(COPIES_PER_TURN):
            if not self._copies or self._copying >= self._limits.worker_in_flight:
                break
            first, last = self._copies.popleft()
            if self._basis == "part" and not self._digest.any_known(first, last):
                self._digest.add_row(first, self._have.row(first, last))
                self._groups.add(first, last, self._length(first, last), now)
                continue
            if first < last:
                self._copies.appendleft((first + 1, last))
            if self._groups.synced(first):
                effects.extend(self._acked(((first, first),)))
            elif self._groups.written(first) or first in self._writing:
                continue
            elif self._basis == "part":
                self._on_disk(first, self._have.row(first, first), now)
            else:
                self._copying += 1
                self._writing.add(first)
                quick = self._have.quick(first).hex()
                effects.append(self._run_chunk("sink_copy", first, index=first, quick=quick))
        return effects

    def _run_chunk(self, task: str, chunk: int, **args: Any) -> RunTask:
        # The hash of the whole file is as much work as all the rest and has to go in order: its worker does nothing else.
        beside = self.key if self.total > 1 else ""
        return self._run(task, key=self._chunk_key(chunk), beside=beside, context=chunk, handle=self.handle, **args)

    def _length(self, first: int, last: int) -> int:
        chunk = self.request.chunk_size
        return min(self.size, (last + 1) * chunk) - first * chunk

    def _sync(self, now: float) -> list[Effect]:
        everything = self._groups.written_count == self.total
        if self.state is State.COMPARING or not self._groups.start(now, at_once=everything):
            return []
        return [self._run("sink_sync", key=self._chunk_key("sync"), handle=self.handle)]

    def _hash_file(self) -> list[Effect]:
        upto = None if self.total == 1 else self._whole.next_step(self._digest.prefix)
        return [] if upto is None else [self._run("sink_hash", handle=self.handle, upto=upto)]

    def _publish(self) -> list[Effect]:
        item = self._commit
        ours = self._digest.hash_of(0) if self.total == 1 else self._whole.sha256
        if item is None or self._committing or ours is None:
            return []
        if item.file_sha256 not in (None, ours):
            self._discard = True
            return self.fail(
                "hash_mismatch", "every chunk agreed and the whole file's SHA-256 does not", retryable=False
            )
        self._committing = True
        request = self.request
        return [
            self._run(
                "sink_commit",
                handle=self.handle,
                size=item.size,
                file_sha256=item.file_sha256,
                ours=ours,
                mtime_ns=item.mtime_ns,
                mode=item.mode,
                preserve_mtime=request.preserve_mtime,
                preserve_mode=request.preserve_mode,
                conflict=request.conflict,
                attempt=self._attempt,
                reread=request.verify == "reread",
                keep_versions=request.keep_versions,
            )
        ]

    def _acked(self, ranges: m.Ranges) -> list[Effect]:
        return [SendItem(m.ChunkAck, m.ChunksItem(self.wire_id, ranges))] if ranges else []

    def _close(self) -> list[Effect]:
        self._steps.step(Event.ENDED)
        return self._drained()

    def _drained(self) -> list[Effect]:
        if not self.running and not self.closed and self._discard:
            # The part is removed before the end is told, so that a later attempt does not find it half gone.
            self._discard = False
            return [self._run("sink_close", handle=self.handle, discard=True)]
        return super()._drained()

    def _close_args(self) -> dict[str, Any]:
        return {"wire": self.wire_id, "handle": self.handle, "discard": False}

    def _close_now(self) -> None:
        self._steps.step(Event.DRAINED)
        if self.final_path is not None:
            self._claims.pop(self.final_path, None)

    def _late(self, task: RunTask, value: dict[str, Any]) -> None:
        if task.task == "sink_open":
            self.handle = value["handle"]

    def _is_closing(self) -> bool:
        return self.state in (State.CLOSING, State.CLOSED)
