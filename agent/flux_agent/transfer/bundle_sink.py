"""The receiving end of a bundle: many small files that arrive as one chunk (docs/protocol.md, Bundles).

Sans-I/O, like ``sink.py``. Whatever goes wrong ends the whole bundle with its parts removed: the hub then moves its files one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from fileflux.protocol import messages as m
from fileflux.protocol.frames import FrameHeader, check_geometry
from fileflux.protocol.limits import BUNDLE_BYTES
from fileflux.protocol.ranges import RangeSet
from flux_agent.transfer.digest import ChunkDigest
from flux_agent.transfer.effects import Effect, RunTask, SendItem
from flux_agent.transfer.machine import Machine
from flux_agent.transfer.regions import Slot
from flux_agent.transfer.sink import Claims
from flux_agent.transfer.steps import out_of_place


class State(Enum):
    OPENING = auto()
    WAITING = auto()
    """For the chunk."""
    WRITING = auto()
    WRITTEN = auto()
    COMMITTING = auto()
    CLOSING = auto()
    CLOSED = auto()


class BundleSink(Machine):
    """Call ``begin`` first, ``wants`` for every frame."""

    close_task = "sink_close"

    def __init__(self, request: m.BundleRequestItem, claims: Claims) -> None:
        super().__init__(request)
        self.bundle = request
        self.state = State.OPENING
        self._claims = claims
        self._claimed: list[str] = []
        self._wanted: list[int] = []
        self._digest = ChunkDigest(1)
        self._digests: tuple[str, ...] = ()
        self._identities: list[Any] = []
        self._discard = True

    @property
    def parts(self) -> tuple[str, ...]:
        """What its files are written to."""
        return self.bundle.parts

    @property
    def closed(self) -> bool:
        return self.state is State.CLOSED

    @property
    def moving(self) -> bool:
        return False

    def begin(self) -> list[Effect]:
        bundle = self.bundle
        return [
            self._run(
                "bundle_open",
                path=bundle.path,
                names=bundle.names,
                sizes=bundle.sizes,
                mtimes=bundle.mtimes,
                conflict=bundle.conflict,
                repeated=bundle.repeated,
            )
        ]

    # What the hub says

    def wants(self, header: FrameHeader, now: float) -> tuple[bool, list[Effect]]:
        """As ``SinkMachine.wants``."""
        del now
        if self._is_closing():
            return False, []
        if self.state is State.OPENING:
            raise out_of_place(self.wire_id, "a frame", "opening")
        check_geometry(header, self.size, BUNDLE_BYTES)
        if self.state in (State.WRITTEN, State.COMMITTING):
            return False, self._acked()
        return self.state is State.WAITING, []

    def frame_ready(self, index: int, slot: Slot) -> list[Effect]:
        """As ``SinkMachine.frame_ready``."""
        if self.state is not State.WAITING:
            slot.release()
            return []
        self.state = State.WRITING
        bundle = self.bundle
        return [
            self._run(
                "bundle_write",
                context=index,
                slot=slot,
                **self._files(),
                modes=self._of(bundle.modes),
                preserve_mtime=bundle.preserve_mtime,
                preserve_mode=bundle.preserve_mode,
            )
        ]

    def same(self, ranges: m.Ranges, now: float) -> list[Effect]:
        del ranges, now
        if self._is_closing():
            return []
        raise out_of_place(self.wire_id, "chunk_same", "a bundle")

    def resumed(self) -> list[Effect]:
        return []

    def committed(self, item: m.TransferCommitItem, now: float) -> list[Effect]:
        """Both ends agree, says the hub: publish."""
        del now
        if self._is_closing():
            return []
        if self.state is not State.WRITTEN:
            raise out_of_place(self.wire_id, "transfer_commit", self.state.name.lower())
        if item.size != self.size or item.chunk_digest != self._digest.hexdigest():
            return self.fail("stale_have", "what is on disk here is not what the source read", retryable=True)
        self.state = State.COMMITTING
        return [
            self._run(
                "bundle_commit",
                **self._files(),
                identities=self._identities,
                conflict=self.bundle.conflict,
                repeated=self.bundle.repeated,
                alone=item.alone or (),
            )
        ]

    def cancel(self, *, discard: bool) -> list[Effect]:
        # Parts of a bundle are never taken up again.
        del discard
        return [] if self._is_closing() else self._close()

    def link_lost(self) -> list[Effect]:
        return []

    # Time

    def deadline(self) -> float | None:
        return None

    def tick(self, now: float) -> list[Effect]:
        del now
        return []

    def progress(self) -> m.TransferProgressItem:
        return m.TransferProgressItem(self.wire_id, 0, 0, self.times.shown())

    # Tasks

    def _handlers(self) -> dict[str, Callable[[RunTask, dict[str, Any], float], list[Effect]]]:
        return {"bundle_open": self._opened, "bundle_write": self._wrote, "bundle_commit": self._delivered}

    def _opened(self, task: RunTask, value: dict[str, Any], now: float) -> list[Effect]:
        del task, now
        states: list[m.BundleState] = value["states"]
        for index, state in enumerate(states):
            if state != "new":
                continue
            path = value["path"] + self.bundle.names[index]
            if self._claims.setdefault(path, self.wire_id) != self.wire_id:
                states[index] = "alone"
                continue
            self._claimed.append(path)
            self._wanted.append(index)
        item = m.BundleAcceptItem(self.wire_id, "destination", value["path"], tuple(states))
        accept = SendItem(m.BundleAccept, item)
        if not self._wanted:
            self._discard = False
            return [accept, *self._close()]
        self.size = sum(self._of(self.bundle.sizes))
        self.state = State.WAITING
        return [accept]

    def _wrote(self, task: RunTask, value: dict[str, Any], now: float) -> list[Effect]:
        if task.slot is not None:
            task.slot.release()
        self.times.write += now - task.submitted_at
        if "nack" in value:
            self.state = State.WAITING
            return [SendItem(m.ChunkNack, m.ChunkNackItem(self.wire_id, 0, str(value["nack"])))]
        self.state = State.WRITTEN
        self._digest.add(0, bytes.fromhex(value["sha"]))
        self._digests = tuple(value["digests"])
        self._identities = value["identities"]
        return self._acked()

    def _delivered(self, task: RunTask, value: dict[str, Any], now: float) -> list[Effect]:
        del task, now
        alone = RangeSet.from_ranges((index, index) for index in value["alone"])
        item = m.BundleCompleteItem(self.wire_id, "destination", self._digests, alone.to_tuple(alone.count))
        self._discard = False
        return [SendItem(m.BundleComplete, item), *self._close()]

    # Moving on

    def _files(self) -> dict[str, Any]:
        """Those that are wanted."""
        bundle = self.bundle
        return {
            "path": bundle.path,
            "names": self._of(bundle.names),
            "sizes": self._of(bundle.sizes),
            "mtimes": self._of(bundle.mtimes),
            "parts": self._of(bundle.parts),
        }

    def _of(self, values: tuple[Any, ...]) -> list[Any]:
        return [values[index] for index in self._wanted]

    def _acked(self) -> list[Effect]:
        return [SendItem(m.ChunkAck, m.ChunksItem(self.wire_id, ((0, 0),)))]

    def _close(self) -> list[Effect]:
        self.state = State.CLOSING
        return self._drained()

    def _drained(self) -> list[Effect]:
        if not self.running and not self.closed and self._discard and self._wanted:
            self._discard = False
            files = self._files()
            return [self._run("bundle_discard", path=files["path"], names=files["names"], parts=files["parts"])]
        return super()._drained()

    def _close_args(self) -> dict[str, Any]:
        return {"wire": self.wire_id, "handle": None, "discard": False}

    def _close_now(self) -> None:
        self.state = State.CLOSED
        for path in self._claimed:
            self._claims.pop(path, None)

    def _is_closing(self) -> bool:
        return self.state in (State.CLOSING, State.CLOSED)
