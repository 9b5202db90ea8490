from __future__ import annotations

from collections import deque

import pytest

from fileflux.clock import FakeClock
from fileflux.protocol.limits import KIB, MIB, Limits
from flux_agent.transfer.effort import Level
from flux_agent.transfer.ready import Outgoing
from flux_agent.transfer.sender import FrameSender, PieceSize

pytestmark = pytest.mark.unit

LIMITS = Limits()


def carry(pieces, rate, seconds, *, idle=0.0, now=0.0):
    """A link of ``rate`` bytes a second; ``idle`` passes with an empty queue after each piece."""
    end = now + seconds
    while now < end:
        pieces.begun(now)
        now += pieces.size / rate
        pieces.sent(pieces.size, now)
        now += idle
    return now


@pytest.mark.parametrize(
    ("rate", "size"),
    [(1 * KIB, 16 * KIB), (2 * MIB, 2 * MIB // 20), (10 * MIB, MIB // 2), (1000 * MIB, MIB)],
)
@pytest.mark.parametrize("idle", [0.0, 0.2])
def test_a_piece_is_about_50_ms_of_the_link_within_its_bounds(rate, size, idle):
    pieces = PieceSize(LIMITS)
    carry(pieces, rate, 600.0 if rate < MIB else 5.0, idle=idle)
    assert pieces.size == pytest.approx(size, rel=0.02)


def test_it_follows_a_link_that_changes():
    pieces = PieceSize(LIMITS)
    now = carry(pieces, 1000 * MIB, 1.0)
    assert pieces.size == LIMITS.piece_max
    carry(pieces, 2 * MIB, 10.0, now=now)
    assert pieces.size == pytest.approx(2 * MIB // 20, rel=0.02)


class Frames:
    """A source that makes one frame after the other, each ``makes_s`` after the one before was taken; a window of ``window`` bytes a second."""

    wire_id = 1

    def __init__(self, makes_s, window=float("inf")):
        self.makes_s = makes_s
        self.window = window
        self.left = 0
        self.ready_at = 0.0
        self.given = 0
        self.since = None

    held_back = False

    @property
    def waits(self):
        return self.left > 0

    def take(self, piece_size, now):
        if not self.left and now >= self.ready_at:
            self.left = FRAME
        self.since = now if self.since is None else self.since
        room = int(self.window * (now - self.since) - self.given) if self.window != float("inf") else piece_size
        length = min(piece_size, self.left, room)
        if length < min(self.left, LIMITS.piece_min) or not length:
            return None
        return Outgoing(0, 0, memoryview(bytes(length)), whole=False)

    def taken(self, out, now):
        self.given += len(out.data)
        self.left -= len(out.data)
        if not self.left:
            self.ready_at = now + self.makes_s
        return []


class Wire:
    """A link that carries ``rate`` bytes a second."""

    def __init__(self, rate, clock):
        self.rate, self.clock = rate, clock
        self.queue = deque()
        self.queued_bytes = 0
        self.free_at = 0.0

    def send_binary(self, data, *, tag=0, on_sent=None, cut=None):
        self.queue.append((len(data), on_sent))
        self.queued_bytes += len(data)
        self.free_at = max(self.free_at, self.clock.monotonic())

    def carry(self):
        """What is through by now."""
        while self.queue and self.free_at + self.queue[0][0] / self.rate <= self.clock.monotonic():
            size, on_sent = self.queue.popleft()
            self.free_at += size / self.rate
            self.queued_bytes -= size
            on_sent()


FRAME = 3 * MIB


@pytest.mark.parametrize(
    ("what", "rate", "makes_s", "window", "level"),
    [
        ("a slow link, though each frame is made only when the one before is on its way", 25e6, 0.05, None, Level.MORE),
        ("a slow link and a quick processor", 25e6, 0.001, None, Level.MORE),
        ("a link that waits for the processor", 500e6, 0.1, None, Level.NONE),
        ("a link that carries more than compressing is worth", 400e6, 0.001, None, Level.NONE),
        ("a slow destination behind a quick link", 900e6, 0.01, 20e6, Level.MORE),
    ],
)
def test_what_waits_for_what_decides_how_hard_it_compresses(what, rate, makes_s, window, level):
    clock, later = FakeClock(), deque()
    sender = FrameSender(LIMITS, clock, lambda machine, effects: None, later.append)
    wire, frames = Wire(rate, clock), Frames(makes_s, window or float("inf"))
    sender.link_up(wire)
    for _ in range(8000):
        clock.advance(0.001)
        wire.carry()
        while later:
            later.popleft()()
        if not wire.queued_bytes or frames.left:
            sender.ready(frames)
            sender.fill()
    assert sender.effort.level is level, what
