"""The hub's own look at chunks on their way (``hub_check`` of a job): workers decompress and hash a copy beside the relay.

A chunk that is being looked at is not counted as acknowledged before the answer: a destination that would take a wrong chunk cannot
hide it. The copy costs nothing until the chunk is whole: pieces are kept by reference, bounded by the stream's window.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from fileflux.actors import messages as a
from fileflux.actors.kernel.ref import ActorRef
from fileflux.protocol.frames import FrameHeader
from fileflux.protocol.link import Buffer
from fileflux.workers.pool import TaskResult
from fileflux.workers.slots import Arena

Key = tuple[int, int]


class Workers(Protocol):
    """The part of WorkerPool that is used here."""

    def submit(self, key: str, task: str, args: dict[str, Any], done: Callable[[TaskResult], None]) -> None: ...


@dataclass(slots=True)
class _Copy:
    size: int
    parts: list[Buffer] = field(default_factory=list)
    complete: bool = False
    ack_held: bool = False


class HubCheck:
    """Belongs to the relay. ``bind`` it before the first chunk."""

    def __init__(self, workers: Workers, arena: Arena) -> None:
        self._workers = workers
        self._arena = arena
        self._relay: ActorRef[a.RelayMessage] | None = None
        self._copies: dict[Key, _Copy] = {}
        self._queue: deque[Key] = deque()
        self._wrong: dict[Key, str] = {}
        self._right: set[Key] = set()

    def bind(self, relay: ActorRef[a.RelayMessage]) -> None:
        """Say who hears of results."""
        self._relay = relay
        self._copies.clear()
        self._queue.clear()

    def begin(self, wire_id: int, header: FrameHeader, wanted: str | None) -> None:
        """A frame begins. ``wanted``: ``all``, ``sample`` (left out while others wait for shared memory) or None."""
        key = (wire_id, header.index)
        self._wrong.pop(key, None)
        self._right.discard(key)
        self._copies.pop(key, None)
        if wanted is None or header.frame_size > self._arena.size or (wanted == "sample" and self._queue):
            return
        self._copies[key] = _Copy(header.frame_size)

    def add(self, wire_id: int, index: int, data: Buffer) -> None:
        """More bytes of the frame."""
        copy = self._copies.get((wire_id, index))
        if copy is not None and not copy.complete:
            copy.parts.append(data)

    def complete(self, wire_id: int, index: int) -> None:
        """The frame is whole: look at it as soon as there is room."""
        copy = self._copies.get((wire_id, index))
        if copy is not None:
            copy.complete = True
            self._queue.append((wire_id, index))
            self._submit_next()

    def countable(self, wire_id: int, first: int, last: int) -> tuple[list[tuple[int, int]], list[tuple[int, str]]]:
        """Split acknowledged chunks: ranges that count now, and indexes with a reason that the hub found to be wrong.

        Chunks that are still looked at are in neither; ``finished`` says later that their ack was held.
        """
        special = sorted(
            index for wire, index in (*self._copies, *self._wrong) if wire == wire_id and first <= index <= last
        )
        ranges: list[tuple[int, int]] = []
        wrong: list[tuple[int, str]] = []
        start = first
        for index in special:
            if start < index:
                ranges.append((start, index - 1))
            start = index + 1
            key = (wire_id, index)
            if key in self._wrong:
                wrong.append((index, self._wrong[key]))
            else:
                self._copies[key].ack_held = True
        if start <= last:
            ranges.append((start, last))
        return ranges, wrong

    def finished(self, wire_id: int, index: int, *, ok: bool, reason: str) -> bool:
        """Take an answer; True if the destination acknowledged the chunk meanwhile."""
        key = (wire_id, index)
        copy = self._copies.pop(key, None)
        if copy is None:
            return False
        if ok:
            self._right.add(key)
        else:
            self._wrong[key] = reason
        return copy.ack_held

    def verdict(self, wire_id: int, index: int) -> str:
        """Which hop is at fault for a chunk that was refused, as far as the hub has looked."""
        if (wire_id, index) in self._wrong:
            return "it was wrong when it came to the hub: look at the source and its network"
        if (wire_id, index) in self._right:
            return "it was right in the hub: look at the destination and its network"
        return "the hub did not look at it"

    def forget(self, wire_id: int) -> None:
        """The attempt is closed or starts over; answers that are on their way are ignored."""
        for store in (self._copies, self._wrong):
            for key in [key for key in store if key[0] == wire_id]:
                del store[key]
        self._right = {key for key in self._right if key[0] != wire_id}

    def _submit_next(self) -> None:
        while self._queue:
            key = self._queue[0]
            copy = self._copies.get(key)
            if copy is None or not copy.complete:
                self._queue.popleft()
                continue
            slot = self._arena.alloc(copy.size)
            if slot is None:
                self._arena.on_free(self._submit_next)
                return
            self._queue.popleft()
            position = 0
            for part in copy.parts:
                slot.view[position : position + len(part)] = part
                position += len(part)
            copy.parts.clear()

            def done(result: TaskResult, key: Key = key, release: Callable[[], None] = slot.release) -> None:
                release()
                self._answer(key, result)

            args = {"slot": [slot.offset, copy.size]}
            self._workers.submit(f"{key[0]}:{key[1]}", "check_chunk", args, done)

    def _answer(self, key: Key, result: TaskResult) -> None:
        if self._relay is None:
            return
        if result.value is None:
            # The worker died or its queue is full: nothing is known, so the destination's own check decides.
            self._relay.tell(a.ChunkChecked(key[0], key[1], ok=True, reason=""))
            return
        self._relay.tell(
            a.ChunkChecked(key[0], key[1], ok=bool(result.value["ok"]), reason=str(result.value.get("reason", "")))
        )
