"""The sending end of a transfer: opens the file, keeps a few chunks ahead of the link, says what it read.

Sans-I/O. Reading, hashing and packing are tasks of workers; frames stay in shared memory until ``take`` has handed out their last
piece. The states are in ``source_state.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fileflux.errors import FluxError
from fileflux.protocol import messages as m
from fileflux.protocol.frames import total_chunks
from fileflux.protocol.limits import HASH_SIZE, HEADER_SIZE, Limits
from fileflux.protocol.ranges import RangeSet
from flux_agent.transfer.comparison import Comparison, in_portions
from flux_agent.transfer.digest import ChunkDigest
from flux_agent.transfer.effects import DropUnsent, Effect, FramesReady, NeedSlot, RunTask, SendItem
from flux_agent.transfer.effort import Effort
from flux_agent.transfer.hashes import WholeHash
from flux_agent.transfer.machine import Machine
from flux_agent.transfer.plan import ChunkPlan
from flux_agent.transfer.ready import Frame, Outgoing, ReadyFrames
from flux_agent.transfer.regions import Slot
from flux_agent.transfer.source_state import Event, State, step
from flux_agent.transfer.steps import Steps, out_of_place


class SourceMachine(Machine):
    """Call ``begin`` first, ``take`` and ``taken`` whenever the link has room. ``effort``: of the link, shared by all its sources."""

    close_task = "source_close"

    def __init__(self, request: m.TransferRequestItem, limits: Limits, effort: Effort | None = None) -> None:
        super().__init__(request)
        self.request = request
        self._limits = limits
        self._effort = effort or Effort()
        self._steps = Steps(request.transfer_id, State.OPENING, step, (State.CLOSING, State.CLOSED))
        self._digest = ChunkDigest(1)
        self._comparison = Comparison(request.chunk_size, limits.worker_in_flight)
        self._early_resume: m.TransferResumeItem | None = None
        self._early_up_to = 0
        self._paused = False
        self._plan = ChunkPlan()
        # Chunks on their way through this machine.
        self._slots_wanted = 0
        self._reading = 0
        self._ready = ReadyFrames(limits.piece_min)
        # Results of chunks that were asked for before the last transfer_resume carry an older number.
        self._pass = 0
        self._whole = WholeHash(request.chunk_size)
        self._checking = False
        self._completed = False
        self._moved = RangeSet()

    @property
    def state(self) -> State:
        return self._steps.state

    @property
    def closed(self) -> bool:
        return self.state is State.CLOSED

    @property
    def moving(self) -> bool:
        return self.state in (State.MOVING, State.STALLED, State.CHECKING)

    def begin(self) -> list[Effect]:
        request = self.request
        return [
            self._run(
                "source_open",
                path=request.path,
                name=request.name,
                chunk_size=request.chunk_size,
                prefix=request.on_change == "prefix",
                kind=request.kind,
                follow=request.symlinks == "follow",
            )
        ]

    # What the hub says

    def have_page(self, first: int, hashes: memoryview, now: float) -> list[Effect]:
        """Hashes of what the destination holds; pages come in order without gaps."""
        if not self._steps.heard(Event.HAVE):
            return []
        count = len(hashes) // HASH_SIZE
        known = self._comparison.count
        if first != known or first + count > self.total:
            raise out_of_place(self.wire_id, f"have page from {first}", f"at {known} of {self.total}")
        self._comparison.add_page(hashes, self.total)
        early = self._early_resume
        if early is None or known + count < early.have_count:
            return self._advance(now)
        return self.resumed(early, now)

    def resumed(self, item: m.TransferResumeItem, now: float) -> list[Effect]:
        """Start, or go on after a link change: what is not ``acked`` is to be sent, ``received`` is what counts as sent."""
        if item.have_count > self.total:
            raise out_of_place(
                self.wire_id, f"transfer_resume with {item.have_count} hashes", f"of {self.total} chunks"
            )
        if self.state is State.WAITING and self._comparison.count < item.have_count:
            # Control messages overtake data on a link: the pages are on their way.
            self._early_resume = item
            return []
        if not self._steps.heard(Event.RESUMED):
            return []
        self._early_resume = None
        self._ready.window.reset(item.received, max(item.up_to, self._early_up_to))
        self._ready.clear()
        self._pass += 1
        self._plan.restart(RangeSet.from_ranges((*item.acked, *self._comparison.settled())), self.total)
        untold = self._comparison.equal.without(RangeSet.from_ranges(item.acked))
        return [DropUnsent(), *self._tell_same(untold), *self._advance(now)]

    def granted(self, item: m.WindowItem, now: float) -> list[Effect]:
        """The window grew."""
        if not self._steps.heard(Event.GRANTED):
            return []
        if self.state is State.WAITING:
            self._early_up_to = max(self._early_up_to, item.up_to)
            return []
        if item.lower:
            self._ready.window.lower(item.up_to)
            return []
        self.times.window += self._ready.granted(item.up_to, now)
        return [FramesReady(), *self._advance(now)]

    def chunk_wanted(self, index: int, now: float) -> list[Effect]:
        """The destination refused a chunk: read and send it again."""
        if index >= self.total:
            raise out_of_place(self.wire_id, f"chunk_request {index}", f"of {self.total} chunks")
        if not self._steps.heard(Event.CHUNK_WANTED):
            return []
        self._plan.again(index)
        return self._advance(now)

    def pause(self, *, paused: bool, now: float) -> list[Effect]:
        self._paused = paused
        return [FramesReady(), *self._advance(now)]

    def released(self) -> list[Effect]:
        """The file stands at the destination, and what becomes of it here is asked for apart from this."""
        if self._is_closing():
            return []
        if not self._completed or not self._steps.allows(Event.RELEASED):
            raise out_of_place(self.wire_id, "transfer_release", self.state.name.lower())
        self._steps.step(Event.RELEASED)
        self._ready.clear()
        return [SendItem(m.TransferReleased, m.TransferReleasedItem(self.wire_id)), *self._drained()]

    def cancel(self, *, discard: bool) -> list[Effect]:  # noqa: ARG002  # a source has nothing to discard
        return [] if self._is_closing() else self._close()

    def link_lost(self) -> list[Effect]:
        """Nothing can be sent until ``resumed``; what is in flight is given up."""
        if self._steps.allows(Event.LINK_LOST):
            self._steps.step(Event.LINK_LOST)
            self._ready.clear()
            self._pass += 1
        return []

    # What the engine reports

    def slot_granted(self, slot: Slot, now: float) -> list[Effect]:
        """Answer to NeedSlot: read the next chunk into it."""
        del now
        self._slots_wanted -= 1
        index = self._plan.take() if self.state is State.MOVING else None
        if index is None:
            slot.release()
            return []
        self._reading += 1
        return [self._read_chunk(index, slot)]

    def _read_chunk(self, index: int, slot: Slot) -> RunTask:
        return self._run(
            "source_chunk",
            key=self._chunk_key(index),
            beside=self.key if self._wants_hash() else "",
            context=(index, self._pass),
            slot=slot,
            handle=self.handle,
            index=index,
            have=self._comparison.have(index),
            compression=self.request.compression,
            effort=int(self._effort.level),
        )

    @property
    def waits(self) -> bool:
        """A frame, or what is left of one, waits for the link or the window."""
        return bool(self._ready) and self.state is State.MOVING and not self._paused

    @property
    def held_back(self) -> bool:
        """The next chunk is not read because the window has no room for its frame."""
        wants = self.state is State.MOVING and not self._paused and self._plan.left > self._slots_wanted
        return wants and not self._fits_window

    def take(self, piece_size: int, now: float) -> Outgoing | None:
        """As ``ReadyFrames.take``."""
        return self._ready.take(piece_size, now) if self.state is State.MOVING and not self._paused else None

    def taken(self, out: Outgoing, now: float) -> list[Effect]:
        """As ``ReadyFrames.taken``."""
        if not self._ready.taken(out):
            return []
        self._moved.add(out.index, out.index)
        return self._advance(now)

    def progress(self) -> m.TransferProgressItem:
        moved, chunk = self._moved, self.request.chunk_size
        missing = self.total * chunk - self.size if moved.contains(self.total - 1) else 0
        return m.TransferProgressItem(self.wire_id, moved.count * chunk - missing, moved.count, self.times.shown())

    # Tasks

    def _handlers(self) -> dict[str, Callable[[RunTask, dict[str, Any], float], list[Effect]]]:
        return {
            "source_open": self._opened,
            "source_compare": self._compared,
            "source_chunk": self._chunk_read,
            "source_hash": self._hash_done,
            "source_check": self._checked,
        }

    def _opened(self, task: RunTask, value: dict[str, Any], now: float) -> list[Effect]:
        del task, now
        self._steps.step(Event.OPENED)
        self.handle = value["handle"]
        self.size = value["size"]
        self.total = total_chunks(self.size, self.request.chunk_size)
        self._digest = ChunkDigest(self.total)
        item = m.TransferAcceptItem(
            self.wire_id,
            "source",
            size=self.size,
            mtime_ns=value["mtime_ns"],
            mode=value["mode"],
            identity=value["identity"],
            allocated=value["allocated"],
        )
        return [SendItem(m.TransferAccept, item)]

    def _chunk_read(self, task: RunTask, value: dict[str, Any], now: float) -> list[Effect]:
        (index, of_pass), slot = task.context, task.slot
        if slot is None:
            raise AssertionError("source_chunk without a slot")
        self._reading -= 1
        self.times.add(value["times"])
        same_again = self._digest.add(index, bytes.fromhex(value["sha"]))
        effects: list[Effect] = []
        if not same_again or of_pass != self._pass or value["same"]:
            slot.release()
            if not same_again:
                return self._changed(index)
            if of_pass == self._pass:
                effects = self._tell_same(((index, index),))
        else:
            self._ready.add(Frame(index, slot, value["frame"]))
            effects = [FramesReady()]
        return [*effects, *self._advance(now)]

    def _compared(self, task: RunTask, value: dict[str, Any], now: float) -> list[Effect]:
        first, hashes = task.context, bytes.fromhex(value["hashes"])
        self.times.add(value["times"])
        for at in range(0, len(hashes), HASH_SIZE):
            if not self._digest.add(first + at // HASH_SIZE, hashes[at : at + HASH_SIZE]):
                return self._changed(first + at // HASH_SIZE)
        equal, different = self._comparison.compared(first, hashes)
        if self.state is not State.MOVING:
            # What is found now, the next transfer_resume looks at.
            return self._advance(now)
        self._plan.insert(different)
        return [*self._tell_same(equal), *self._advance(now)]

    def _tell_same(self, ranges: m.Ranges | list[tuple[int, int]]) -> list[Effect]:
        for first, last in ranges:
            self._moved.add(first, last)
        return [SendItem(m.ChunkSame, m.ChunksItem(self.wire_id, portion)) for portion in in_portions(ranges)]

    def _hash_done(self, task: RunTask, value: dict[str, Any], now: float) -> list[Effect]:
        del task
        self._whole.done(value)
        return self._advance(now)

    def _checked(self, task: RunTask, value: dict[str, Any], now: float) -> list[Effect]:
        del task, value
        self._checking = False
        # It may have to send again meanwhile; then another check follows.
        return self._complete() if self.state is State.CHECKING else self._advance(now)

    def _changed(self, index: int) -> list[Effect]:
        return self.fail("source_changed", f"chunk {index} is not what it was when it was first read", retryable=True)

    def _task_failed(self, task: RunTask, error: FluxError) -> list[Effect]:
        if task.slot is not None:
            self._reading -= 1
        return super()._task_failed(task, error)

    def _advance(self, now: float) -> list[Effect]:
        del now
        effects = self._compare()
        if self.state is not State.MOVING:
            return effects
        while self._may_read_ahead():
            self._slots_wanted += 1
            effects.append(NeedSlot(self._frame_max))
        upto = self._whole.next_step(self._digest.prefix) if self._wants_hash() else None
        if upto is not None:
            effects.append(self._run("source_hash", handle=self.handle, upto=upto))
        left = self._plan.left or self._slots_wanted or self._reading or self._ready or self._comparison.pending
        if not (left or self._hash_missing()):
            self._steps.step(Event.ALL_SENT)
            effects.extend(self._check())
        return effects

    def _compare(self) -> list[Effect]:
        early = self.state is State.WAITING
        effects: list[Effect] = []
        while (early or self.state is State.MOVING) and not self._paused:
            if (following := self._comparison.next_step(early=early)) is None:
                break
            first, count = following
            args = {"handle": self.handle, "first": first, "count": count}
            effects.append(self._run("source_compare", key=self._chunk_key(f"have{first}"), context=first, **args))
        return effects

    def _may_read_ahead(self) -> bool:
        if self._paused or self._plan.left <= self._slots_wanted:
            return False
        return self._ahead < 2 * self._limits.worker_in_flight and self._fits_window

    @property
    def _ahead(self) -> int:
        return self._slots_wanted + self._reading + len(self._ready)

    @property
    def _fits_window(self) -> bool:
        """A frame that is whole within the window leaves its slot as the link takes it. Others would fill all memory while they wait."""
        room = self._ready.window.room
        return room > 0 if not self._ahead else (self._ahead + 1) * self._frame_max <= room

    def _wants_hash(self) -> bool:
        # A chunk hash of a file of one chunk is its file hash.
        return self.request.verify == "full" and self.total > 1

    def _hash_missing(self) -> bool:
        return self._wants_hash() and self._whole.sha256 is None and self._digest.whole

    def _check(self) -> list[Effect]:
        if self.total == 1:
            # Its only read was checked before and after.
            return self._complete()
        if self._checking:
            return []
        self._checking = True
        return [self._run("source_check", handle=self.handle)]

    def _complete(self) -> list[Effect]:
        self._steps.step(Event.CHECKED)
        if self._completed:
            return []
        if not self._digest.whole:
            # Chunks that an earlier hub process had acknowledged need not be read for sending, but the digest needs them.
            return self.fail("internal", "not every chunk was read", retryable=True)
        self._completed = True
        return [SendItem(m.TransferComplete, self._result())]

    def _result(self) -> m.TransferCompleteItem:
        sha = self._digest.hash_of(0) if self.total == 1 else self._whole.sha256
        return m.TransferCompleteItem(self.wire_id, self.size, self._digest.hexdigest(), sha, role="source")

    @property
    def _frame_max(self) -> int:
        return HEADER_SIZE + min(self.size, self.request.chunk_size)

    def _close(self) -> list[Effect]:
        self._steps.step(Event.ENDED)
        self._ready.clear()
        return [DropUnsent(), *self._drained()]

    def _close_now(self) -> None:
        self._steps.step(Event.DRAINED)

    def _is_closing(self) -> bool:
        return self.state in (State.CLOSING, State.CLOSED)
