from __future__ import annotations

import errno
import gc
import tracemalloc
from collections.abc import Callable

import pytest
from gunicorn.http.errors import LimitRequestHeaders

from fileflux.clock import FakeClock
from fileflux.protocol.limits import DEFAULT_LIMITS, KIB, MIB
from fileflux.web.deadlines import (
    HEAD_MAX,
    LINGER_BYTES,
    LINGER_S,
    READS_IN_A_ROW,
    SEND_PART,
    Pending,
    Place,
    TimedSocket,
    TooSlowError,
)

pytestmark = pytest.mark.unit

HEAD, IDLE, WINDOW, SILENCE = (
    DEFAULT_LIMITS.handshake_timeout,
    DEFAULT_LIMITS.keep_alive_timeout,
    DEFAULT_LIMITS.body_rate_window,
    DEFAULT_LIMITS.silence_timeout,
)


class Scripted:
    """A peer that sends pieces, each after a pause, and takes ``takes`` bytes a second. Time passes only in its calls."""

    def __init__(self, clock: FakeClock, *pieces: tuple[float, bytes], takes: float = 1e9) -> None:
        self.clock = clock
        self.pieces = list(pieces)
        self.takes = takes
        self.taken = 0
        self.timeout: float | None = None
        self.shut: list[int] = []

    def settimeout(self, value: float | None) -> None:
        assert value is None or value > 0
        self.timeout = value

    def recv(self, size: int) -> bytes:
        pause, data = self.pieces.pop(0) if self.pieces else (1e9, b"")
        assert self.timeout is not None, "a wait without an end"
        if pause > self.timeout:
            self.pieces.insert(0, (pause - self.timeout, data))
            self.clock.advance(self.timeout)
            raise TimeoutError
        self.clock.advance(pause)
        if len(data) > size:
            self.pieces.insert(0, (0.0, data[size:]))
        return data[:size]

    def sendall(self, data: memoryview) -> None:
        assert self.timeout is not None
        needed = len(data) / self.takes
        self.clock.advance(min(needed, self.timeout))
        if needed > self.timeout:
            raise TimeoutError
        self.taken += len(data)

    def shutdown(self, how: int) -> None:
        self.shut.append(how)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def timed(peer: Scripted, place: Place | None = None, give_way: Callable[[], None] = lambda: None) -> TimedSocket:
    return TimedSocket(peer, DEFAULT_LIMITS, peer.clock, give_way, place)


def read_until_it_ends(sock: TimedSocket) -> bytes:
    got = b""
    while data := sock.recv(8 * KIB):
        got += data
    return got


@pytest.mark.parametrize(
    "pieces", [[(5.0, b"G")] * 10, [(0.1, b"G")] * 1000, [(9.9, b"G")], [(0.0, b"GET /"), (10.1, b" ")]]
)
def test_a_new_connection_has_its_head_in_time_whatever_it_drips(
    clock: FakeClock, pieces: list[tuple[float, bytes]]
) -> None:
    began = clock.monotonic()
    with pytest.raises(TooSlowError):
        read_until_it_ends(timed(Scripted(clock, *pieces)))
    assert clock.monotonic() - began == pytest.approx(HEAD, abs=0.2)


def test_silence_is_no_request(clock: FakeClock) -> None:
    began = clock.monotonic()
    assert timed(Scripted(clock)).recv(100) == b""
    assert clock.monotonic() - began == pytest.approx(HEAD)


def test_between_requests_a_connection_may_idle_and_then_has_a_whole_head_time(clock: FakeClock) -> None:
    peer = Scripted(clock, (IDLE - 1, b"G"), (HEAD - 1, b"E"), (2.0, b"T"))
    sock = timed(peer)
    sock.head_ended()
    sock.answered()
    assert (sock.recv(10), sock.recv(10)) == (b"G", b"E")
    with pytest.raises(TooSlowError):
        sock.recv(10)
    sock.answered()
    began = clock.monotonic()
    peer.pieces.clear()
    assert sock.recv(10) == b""
    assert clock.monotonic() - began == pytest.approx(IDLE)


def test_a_head_has_an_end(clock: FakeClock) -> None:
    peer = Scripted(clock, (0.0, b"x" * MIB))
    with pytest.raises(LimitRequestHeaders):
        read_until_it_ends(timed(peer))
    left = len(peer.pieces[0][1])
    assert HEAD_MAX < MIB - left <= HEAD_MAX + 8 * KIB


@pytest.mark.parametrize(
    ("pieces", "seconds"),
    [
        ([(0.0, b"x" * KIB)], HEAD),
        ([(9.0, b"x")] * 1000, WINDOW),
        ([(0.5, b"x" * 500)] * 1000, WINDOW),
        # A fast start buys no slow rest.
        ([(0.0, b"x" * MIB), *[(1.0, b"x")] * 1000], 2 * WINDOW),
    ],
)
def test_a_body_ends_or_moves(clock: FakeClock, pieces: list[tuple[float, bytes]], seconds: float) -> None:
    sock = timed(Scripted(clock, *pieces))
    sock.head_ended()
    began = clock.monotonic()
    with pytest.raises(TooSlowError):
        read_until_it_ends(sock)
    assert clock.monotonic() - began <= seconds + HEAD


def test_a_slow_body_that_moves_is_read_to_its_end(clock: FakeClock) -> None:
    """64 kB/s, and the worst that is allowed."""
    for pause, size in ((0.5, 32_000), (9.5, 10 * KIB)):
        sock = timed(Scripted(clock, *[(pause, b"x" * size)] * 100, (0.0, b"")))
        sock.head_ended()
        assert len(read_until_it_ends(sock)) == 100 * size


def test_time_in_which_the_route_is_busy_is_not_the_peers(clock: FakeClock) -> None:
    sock = timed(Scripted(clock, *[(0.0, b"x")] * 100))
    sock.head_ended()
    for _ in range(100):
        assert sock.recv(1) == b"x"
        clock.advance(60.0)


def test_a_peer_whose_bytes_are_always_there_does_not_have_the_loop_for_itself(clock: FakeClock) -> None:
    turns: list[int] = []
    peer = Scripted(clock, *[(0.0, b"x")] * 160, (0.0, b""))
    assert len(read_until_it_ends(timed(peer, give_way=lambda: turns.append(len(peer.pieces))))) == 160
    assert len(turns) == 160 // READS_IN_A_ROW


def test_an_answer_is_taken_or_the_peer_is_gone(clock: FakeClock) -> None:
    slow = Scripted(clock, takes=SEND_PART / (SILENCE - 1))
    timed(slow).sendall(bytes(MIB))
    assert slow.taken == MIB
    stuck = Scripted(clock, takes=1.0)
    began = clock.monotonic()
    with pytest.raises(BrokenPipeError) as caught:
        timed(stuck).sendall(bytes(MIB))
    assert caught.value.errno == errno.EPIPE
    assert clock.monotonic() - began == pytest.approx(SILENCE)
    assert timed(slow).send(b"abc") == 3


@pytest.mark.parametrize(
    ("pieces", "seconds", "left"),
    [
        ([(0.1, b"x" * 1000), (0.1, b"")], 0.2, 0),
        ([(1.0, b"x")] * 10, LINGER_S, 8),
        ([(0.0, b"x" * MIB)] * 10, 0.0, 10 - LINGER_BYTES // MIB),
    ],
)
def test_the_last_answer_is_given_time_to_arrive(
    clock: FakeClock, pieces: list[tuple[float, bytes]], seconds: float, left: int
) -> None:
    peer = Scripted(clock, *pieces)
    began = clock.monotonic()
    timed(peer).linger()
    assert peer.shut == [1]
    assert clock.monotonic() - began == pytest.approx(seconds)
    assert len(peer.pieces) == left


def test_a_route_that_takes_the_connection_has_it_with_a_time_out(clock: FakeClock) -> None:
    peer = Scripted(clock)
    sock = timed(peer)
    assert sock.taken() is peer
    assert peer.timeout == SILENCE
    assert sock.shut is peer.shut, "what it does not know it passes on"


def test_each_address_has_its_share_of_pending_connections(clock: FakeClock) -> None:
    pending = Pending(2)
    first, second = pending.enter("192.0.2.1"), pending.enter("::ffff:192.0.2.1")
    assert pending.enter("192.0.2.1") is None
    assert first is not None
    sock = timed(Scripted(clock, (0.0, b"GET")), first)
    sock.recv(3)
    assert pending.enter("192.0.2.1") is None
    sock.head_ended()
    first.give_back()
    third = pending.enter("192.0.2.1")
    assert third is not None
    for place in (second, third):
        assert place is not None
        place.give_back()
    assert len(pending) == 0


def test_a_host_of_ipv6_is_its_64_bits() -> None:
    pending = Pending(1)
    assert pending.enter("2001:db8::1")
    assert pending.enter("2001:db8::2:1") is None
    assert pending.enter("2001:db8:0:1::1")
    assert pending.enter("fe80::1%eth0")
    assert pending.enter("nonsense::x::y")


def test_a_connection_costs_little(clock: FakeClock) -> None:
    pending = Pending(10_000)
    peer = Scripted(clock)
    gc.collect()
    tracemalloc.start()
    places = [pending.enter("192.0.2.1") for _ in range(1000)]
    held = [timed(peer, place) for place in places if isinstance(place, Place)]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(held) == 1000
    assert size / 1000 < KIB


def test_only_what_asks_for_nothing_is_idle_and_its_wait_can_be_ended(clock: FakeClock) -> None:
    class CutShort(Scripted):
        def recv(self, size: int) -> bytes:
            if self.shut:
                raise OSError(errno.EBADF, "closed in another greenlet")
            return super().recv(size)

    sock = timed(CutShort(clock, (0.0, b"GET /"), (0.0, b"body")))
    assert sock.idle
    sock.recv(100)
    assert not sock.idle
    sock.head_ended()
    assert not sock.idle
    sock.recv(100)
    sock.answered()
    assert sock.idle
    sock.hang_up()
    assert sock.recv(100) == b""
