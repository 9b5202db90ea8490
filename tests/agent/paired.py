"""Two engines with a small hub between them, in one process: ``PairedTransfer`` drives both sides of a transfer."""

from __future__ import annotations

import random

from fileflux.clock import FakeClock
from fileflux.protocol import messages as m
from fileflux.protocol.frames import HavePage, Piece, WholeFrame, iter_binary
from fileflux.protocol.limits import HEADER_SIZE, KIB, Limits
from fileflux.protocol.ranges import RangeSet
from flux_agent.transfer.engine import Engine
from flux_agent.transfer.regions import UNIT, Region
from flux_agent.transfer.turns import Turns

from .memory_workers import Disk, MemoryWorkers

CHUNK = 256 * KIB
PART = "0" * 32


class FakeLink:
    """Binary messages wait in ``queue`` until the test delivers them."""

    transport = "fake"
    peer = "test"

    def __init__(self):
        self.queue = []

    @property
    def queued_bytes(self):
        return sum(len(data) for data, _, _ in self.queue)

    def send_binary(self, data, *, tag=0, on_sent=None, cut=None):
        self.queue.append((bytes(data), tag, on_sent or (lambda: None)))

    def drop(self, tag):
        gone = [entry for entry in self.queue if entry[1] == tag]
        self.queue = [entry for entry in self.queue if entry[1] != tag]
        for entry in gone:
            entry[2]()
        return sum(len(entry[0]) for entry in gone)

    def take(self):
        data, _, on_sent = self.queue.pop(0)
        on_sent()
        return data


class Memory:
    def __init__(self, view, offset, size):
        self.offset, self.size, self.view = offset, size, view[offset : offset + size]

    def release(self):
        self.view.release()


class Side:
    """One agent: engine, memory workers, disk, link."""

    def __init__(self, limits, clock, chunks=4):
        self.errors = []
        self.turns = Turns(self.errors.append)
        size = chunks * (CHUNK + UNIT)
        self.memory = memoryview(bytearray(2 * size))
        self.disk = Disk()
        self.workers = MemoryWorkers(self.disk, self.memory, self.turns.post)
        self.reading = Region(Memory(self.memory, 0, size), self.turns.post)
        self.receiving = Region(Memory(self.memory, size, size), self.turns.post)
        self.later = []
        self.engine = Engine(
            self.workers, self.reading, self.receiving, limits, clock, lambda seconds, turn: self.later.append(turn)
        )
        self.engine.bind(self)
        self.said = []
        self.violations = []
        self.link = None

    def has_room(self):
        return True

    def send(self, message):
        self.said.append(message)

    def violated(self, error):
        self.violations.append(error)

    def connect(self):
        self.link = FakeLink()
        self.turns.post(lambda: self.engine.link_up(self.link))

    def cut(self):
        self.link = None
        self.turns.post(self.engine.link_down)

    def hear(self, message):
        self.turns.post(lambda: self.engine.handle(message))

    def receive(self, data):
        self.turns.post(lambda: self.engine.binary(data))

    def run_later(self):
        turns, self.later = self.later, []
        for turn in turns:
            self.turns.post(turn)
        return bool(turns)


class PairedTransfer:
    """The hub's part of one transfer, told in the plainest way; ``run`` steps everything in an order given by the seed."""

    def __init__(self, content, *, seed=0, window=8 * CHUNK, limits=None, verify="chunks"):
        self.random = random.Random(seed)
        self.limits = limits or Limits()
        self.clock = FakeClock()
        self.source, self.sink = Side(self.limits, self.clock), Side(self.limits, self.clock)
        self.source.disk.files["f"] = content
        self.window = window
        self.verify = verify
        self.wire = 0
        self.result = None
        self.frames_forwarded = 0
        self.cuts = 0
        self.tamper = lambda item: item
        self.max_unacked = 0
        self.source.connect()
        self.sink.connect()

    def begin(self, attempt=1, have=True):
        self.wire += 1
        self.attempt = attempt
        self.acked, self.have_seen, self.have_count = RangeSet(), 0, None
        self.received = self.acked_bytes = self.up_to = 0
        self.sent_frames = {}
        self.partial = {}
        self.done = None
        self.committed = False
        self.total = 1
        self.request = dict(  # noqa: C408  # keyword arguments of a message
            transfer_id=self.wire, row_id=1, run_id=1, job_id=1, attempt=attempt, path="/", name="f", chunk_size=CHUNK,
            verify=self.verify, part=PART, have=have,
        )  # fmt: skip
        self.source.hear(m.TransferRequest((m.TransferRequestItem(role="source", **self.request),)))

    def run(self, limit=200_000, cut_chance=0.0, until=None):
        for _ in range(limit):
            if self.result is not None or (until is not None and until()):
                return
            self._step()
            if cut_chance and self.done is None and self.up_to and self.random.random() < cut_chance:
                self.cut(self.random.choice(["source", "sink", "both"]))
        raise AssertionError(f"no end: {self.source.engine._sources} {self.sink.engine._sinks} {self.acked}")

    def settle(self):
        """Let everything that was begun come to its end."""
        for _ in range(100_000):
            moved = self._step_of([self._work, self._say, self._later, self._carry])
            if not moved:
                return
        raise AssertionError("never quiet")

    def _step(self):
        self.clock.advance(self.random.choice([0.0, 0.001, 0.03]))
        if not self._step_of(self.random.sample([self._work, self._say, self._later, self._carry], 4)):
            self.clock.advance(0.05)
        if self.random.random() < 0.3:
            for side in (self.source, self.sink):
                side.turns.post(lambda side=side: side.engine.tick(self.clock.monotonic()))
        for side in (self.source, self.sink):
            assert not side.errors, side.errors
            assert not side.violations, side.violations

    def _step_of(self, kinds):
        return any(kind() for kind in kinds)

    def _work(self):
        return any(side.workers.step(self.random) for side in self.random.sample([self.source, self.sink], 2))

    def _later(self):
        return any([self.source.run_later(), self.sink.run_later()])

    def _say(self):
        for side, role in ((self.source, "source"), (self.sink, "destination")):
            if side.said:
                message = side.said.pop(0)
                for item in getattr(message, "items", ()):
                    if item.transfer_id == self.wire:
                        self._hear(role, type(message), item)
                return True
        return False

    def _carry(self):
        moved = False
        if self.source.link and self.source.link.queue:
            self._from_source(self.source.link.take())
            moved = True
        if self.sink.link and self.sink.link.queue:
            data = self.sink.link.take()
            for item in iter_binary(data, self.limits):
                assert isinstance(item, HavePage)
                if item.transfer_id == self.wire:
                    assert item.first == self.have_seen
                    self.have_seen += len(item.hashes) // 32
                    self.source.receive(data)
            self._start_if_compared()
            moved = True
        return moved

    def _from_source(self, data):
        for item in iter_binary(data, self.limits):
            if isinstance(item, WholeFrame):
                if item.header.transfer_id != self.wire:
                    continue
                self._count(len(item.frame))
                self._sent(item.header.index, item.header.frame_size)
            else:
                assert isinstance(item, Piece)
                if item.transfer_id != self.wire:
                    continue
                if item.header is not None:
                    self.partial[item.index] = [item.header.frame_size, 0]
                self._count(len(item.data))
                held = self.partial[item.index]
                assert held[1] == item.offset
                held[1] += len(item.data)
                if held[0] == held[1]:
                    del self.partial[item.index]
                    self._sent(item.index, held[0])
        if self.sink.link:
            self.sink.receive(data)

    def _count(self, length):
        self.received += length
        assert self.received <= self.up_to, "beyond the window"
        self.max_unacked = max(self.max_unacked, self.received - self.acked_bytes)

    def _sent(self, index, size):
        self.frames_forwarded += 1
        self.sent_frames[index] = self.sent_frames.get(index, 0) + size

    def _hear(self, role, message, item):
        match message:
            case m.TransferAccept if role == "source":
                self.size = item.size
                self.total = max(1, -(-item.size // CHUNK))
                request = m.TransferRequestItem(
                    role="destination", size=item.size, mtime_ns=item.mtime_ns, **self.request
                )
                self.sink.hear(m.TransferRequest((request,)))
            case m.TransferAccept:
                assert item.state in ("new", "resume")
                self.have_count = item.have_count
                self._start_if_compared()
            case m.ChunkSame:
                for first, last in item.chunks:
                    for index in range(first, last + 1):
                        self.sent_frames.setdefault(index, 0)
                self.sink.hear(m.ChunkSame((item,)))
            case m.ChunkAck:
                for first, last in item.chunks:
                    for index in range(first, last + 1):
                        assert index in self.sent_frames or self.acked.contains(index)
                        self.acked_bytes += self.sent_frames.pop(index, 0)
                        self.acked.add(index, index)
                assert PART not in self.sink.disk.unsynced or not any(
                    self.acked.contains(index) for index in self.sink.disk.unsynced[PART]
                )
                self.up_to = max(self.up_to, self.acked_bytes + self.window)
                self.source.hear(m.Window((m.WindowItem(self.wire, self.up_to, item.chunks),)))
                self._commit_if_done()
            case m.ChunkNack:
                self.acked_bytes += self.sent_frames.pop(item.index)
                self.source.hear(m.ChunkRequest((m.ChunkRequestItem(self.wire, item.index),)))
            case m.TransferComplete if role == "source":
                assert item.role == role
                self.done = self.tamper(item)
                self._commit_if_done()
            case m.TransferComplete:
                assert item.role == role
                assert self.committed
                self.result = item
                self.source.hear(m.TransferRelease((m.TransferReleaseItem(self.wire),)))
            case m.TransferErrorMessage:
                assert item.role == role
                self.result = item
                other = self.sink if role == "source" else self.source
                other.hear(m.CancelTransfer((m.CancelTransferItem(self.wire, item.code),)))

    def _start_if_compared(self):
        if self.have_count is not None and self.have_seen == self.have_count and not self.up_to:
            self.up_to = max(self.window, HEADER_SIZE + CHUNK)
            item = m.TransferResumeItem(self.wire, have_count=self.have_count, up_to=self.up_to)
            self.source.hear(m.TransferResume((item,)))

    def _commit_if_done(self):
        if self.done is not None and self.acked.count == self.total and not self.committed:
            self.committed = True
            item = m.TransferCommitItem(self.wire, self.size, self.done.chunk_digest, self.done.file_sha256, 5, 0o644)
            self.sink.hear(m.TransferCommit((item,)))

    def cut(self, which):
        """Links go away with everything in them and come back; messages of the session are not lost."""
        self.cuts += 1
        sides = {"source": [self.source], "sink": [self.sink], "both": [self.source, self.sink]}[which]
        for side in sides:
            side.cut()
        # A hub gives up what is on its way from the source as well: the pieces of an older count must not meet the new one.
        if self.source not in sides:
            self.source.cut()
            sides = [*sides, self.source]
        for side in sides:
            side.connect()
        self.partial.clear()
        for index in self.sent_frames:
            self.sent_frames[index] = 0
        self.received = self.acked_bytes = self.up_to
        self.up_to += self.window
        acked = self.acked.to_tuple(10_000)
        item = m.TransferResumeItem(self.wire, acked=acked, received=self.received, up_to=self.up_to)
        self.sink.hear(m.TransferResume((item,)))
        self.source.hear(m.TransferResume((item,)))
