"""The relay with agents that keep to the rules, in any order of events: every transfer ends, whatever else moves beside it."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from fileflux.actors import messages as a
from fileflux.actors.hub_check import HubCheck
from fileflux.actors.relay import Relay
from fileflux.clock import FakeClock
from fileflux.protocol import messages as m
from fileflux.protocol.frames import FrameHeader, encode_piece
from fileflux.protocol.limits import DEFAULT_LIMITS, HEADER_SIZE, KIB, MIB
from fileflux.workers.slots import Arena

pytestmark = pytest.mark.unit

CHUNK = 256 * KIB
LIMITS = replace(DEFAULT_LIMITS, relay_budget=2 * MIB, receive_buffer=4 * MIB, window_max=2 * MIB, relay_share_max=MIB)


class Link:
    """Takes what is sent and lets it go when told to."""

    transport = "test"
    peer = "test"

    def __init__(self) -> None:
        self.queue: deque[tuple[bytes, Any]] = deque()

    @property
    def queued_bytes(self) -> int:
        return sum(len(data) for data, _ in self.queue)

    def send_binary(self, data: Any, *, tag: int = 0, on_sent: Any = None) -> None:
        self.queue.append((bytes(data), on_sent))

    def drop(self, tag: int) -> int:
        return 0


class Port:
    """A session as the relay sees it."""

    def __init__(self, agent_id: int) -> None:
        self.agent_id = agent_id
        self.receive_buffer = LIMITS.receive_buffer
        self.link: Any = Link()
        self.items: list[Any] = []

    def post(self, message: Any) -> None:
        assert isinstance(message, a.PostItem), f"a violation: {message}"
        self.items.append(message.item)


class Run:
    """Hears what a run's actor would hear."""

    def __init__(self) -> None:
        self.done: set[int] = set()

    def tell(self, message: Any) -> bool:
        assert not isinstance(message, a.RouteFailed), message
        if isinstance(message, a.RouteMoved) and message.done:
            self.done.add(message.wire_id)
        return True


@dataclass
class Source:
    """Sends the frames of one file as the window allows, in pieces; crumbs of a window are left lying."""

    wire_id: int
    total: int
    size: int
    up_to: int = 0
    sent: int = 0
    index: int = 0
    offset: int = 0
    started: bool = False
    finished: list[int] = field(default_factory=list)

    def header(self) -> FrameHeader:
        length = min(CHUNK, self.size - self.index * CHUNK) if self.size else 0
        return FrameHeader(self.wire_id, self.index, self.total, b"h" * 32, length, length, 0)

    def step(self, relay: Relay, port: Port, chance: random.Random) -> bool:
        if not self.started or self.index >= self.total:
            return False
        header = self.header()
        left = header.frame_size - self.offset
        piece = min(left, self.up_to - self.sent, chance.choice((64 * KIB, 128 * KIB, MIB)))
        if piece < min(left, 64 * KIB):
            return False
        frame = header.pack() + bytes(header.payload_size)
        data = frame[self.offset : self.offset + piece]
        message = frame if piece == header.frame_size else encode_piece(self.wire_id, self.index, self.offset, data)
        relay.receive_binary(port, message)  # type: ignore[arg-type]  # a stand-in for SessionPort
        self.sent += piece
        self.offset += piece
        if self.offset == header.frame_size:
            self.finished.append(self.index)
            self.index, self.offset = self.index + 1, 0
        return True


class Receipt:
    def done(self) -> None: ...


@pytest.mark.parametrize("seed", range(25))
def test_everything_ends_in_any_order_of_events(seed: int) -> None:
    chance = random.Random(seed)
    arena = Arena(MIB)
    relay = Relay(LIMITS, FakeClock(), HubCheck(None, arena))  # type: ignore[arg-type]  # hub_check is off: no worker is asked
    source, destinations, run = Port(1), [Port(2), Port(3)], Run()
    sizes = [chance.choice((0, 1, 4 * KIB, CHUNK - 1, 3 * CHUNK + 7, 40 * CHUNK)) for _ in range(60)] + [100 * CHUNK]
    chance.shuffle(sizes)
    sources: dict[int, Source] = {}
    targets: dict[int, Port] = {}
    for wire_id, size in enumerate(sizes, 1):
        total = max(1, -(-size // CHUNK))
        sources[wire_id] = Source(wire_id, total, size)
        targets[wire_id] = chance.choice(destinations)
        relay.receive(a.OpenAttempt(wire_id, run, wire_id, source, targets[wire_id], "off"))
        relay.receive(a.OpenRoute(wire_id, size, CHUNK, total))
        relay.receive(a.StartRoute(wire_id, 0))
    acked: dict[int, int] = dict.fromkeys(sources, 0)
    while len(run.done) < len(sizes):
        progress = _hear(source, sources)
        for one in chance.sample(list(sources.values()), len(sources)):
            progress |= one.step(relay, source, chance)
        for port in destinations:
            for _ in range(chance.randrange(1, 20)):
                if port.link.queue:
                    port.link.queue.popleft()[1]()
                    progress = True
        for wire_id, one in sources.items():
            drained = not targets[wire_id].link.queue
            if drained and acked[wire_id] < len(one.finished) and (chance.random() < 0.5 or not progress):
                ranges = ((one.finished[acked[wire_id]], one.finished[-1]),)
                acked[wire_id] = len(one.finished)
                ack = m.ChunkAck((m.ChunksItem(wire_id, ranges),))
                relay.receive(a.FromAgent(targets[wire_id], ack, Receipt()))
                progress = True
                if wire_id in run.done:
                    relay.receive(a.CloseAttempt(wire_id))
        assert progress, f"stalled with {len(sizes) - len(run.done)} of {len(sizes)} open: {relay._grants._hungry}"
        assert relay._grants.budget.reserved <= LIMITS.relay_budget
    assert relay._grants.budget.reserved == 0
    arena.close()


def _hear(source: Port, sources: dict[int, Source]) -> bool:
    items, source.items = source.items, []
    for item in items:
        one = sources[item.transfer_id]
        if isinstance(item, m.TransferResumeItem):
            one.started = True
        one.up_to = max(one.up_to, item.up_to)
    return bool(items)


def test_frame_sizes_are_what_the_simulation_thinks() -> None:
    assert Source(1, 1, 0).header().frame_size == HEADER_SIZE
