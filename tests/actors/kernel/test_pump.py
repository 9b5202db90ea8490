from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from fileflux.actors.kernel import runtime
from fileflux.actors.kernel.pump import Channel, Pump
from fileflux.errors import UnavailableError


class Reader:
    """Takes at most ``turn`` bytes a call."""

    def __init__(self, sock: socket.socket, turn: int = 65536) -> None:
        self.sock = sock
        self.turn = turn
        self.received = 0
        self.calls = 0
        self.errors: list[Exception] = []
        self.order: list[Reader] = []
        self.channel: Channel

    def readable(self) -> None:
        data = self.sock.recv(self.turn)
        if not data:
            raise ConnectionResetError("the other end is gone")
        self.received += len(data)
        self.calls += 1
        self.order.append(self)

    def writable(self) -> None:
        raise AssertionError("nobody asked for it")

    def failed(self, error: Exception) -> None:
        self.errors.append(error)
        self.sock.close()


class Writer:
    def __init__(self, sock: socket.socket, data: bytes) -> None:
        self.sock = sock
        self.left = memoryview(data)
        self.errors: list[Exception] = []
        self.channel: Channel

    def readable(self) -> None:
        raise AssertionError("nothing comes back")

    def writable(self) -> None:
        self.left = self.left[self.sock.send(self.left[:65536]) :]
        if not self.left:
            self.channel.want_write(False)

    def failed(self, error: Exception) -> None:
        self.errors.append(error)
        self.sock.close()


@pytest.fixture
def pump() -> Iterator[Pump]:
    pump = Pump()
    pump.start()
    yield pump
    pump.stop()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    yield left, right
    left.close()
    right.close()


def read_on(pump: Pump, sock: socket.socket, turn: int = 65536) -> Reader:
    reader = Reader(sock, turn)
    reader.channel = pump.register(sock, reader)
    return reader


def test_bytes_go_through_in_bounded_turns(pump, pair, eventually):
    reader = read_on(pump, pair[0])
    writer = Writer(pair[1], bytes(5_000_000))
    writer.channel = pump.register(pair[1], writer)
    writer.channel.want_write(True)
    eventually(lambda: reader.received == 5_000_000)
    assert reader.calls >= 5_000_000 // 65536
    assert not writer.left
    statistics = pump.statistics()
    assert statistics.channels == 2
    assert 0 < statistics.turns <= statistics.handler_calls
    assert statistics.longest_turn_s > 0


def test_no_write_calls_unless_wanted_and_again_when_wanted_again(pump, pair, eventually):
    reader = read_on(pump, pair[0])
    writer = Writer(pair[1], b"one")
    writer.channel = pump.register(pair[1], writer)
    for _ in range(5):
        runtime.yield_loop()
    assert reader.received == 0
    writer.channel.want_write(True)
    eventually(lambda: reader.received == 3)
    writer.left = memoryview(b"three")
    writer.channel.want_write(True)
    eventually(lambda: reader.received == 8)
    assert writer.errors == []


def test_a_handlers_error_is_its_own(pump, pair, eventually):
    broken = read_on(pump, pair[0])
    other_left, other_right = socket.socketpair()
    other_left.setblocking(False)
    healthy = read_on(pump, other_left)
    pair[1].close()
    eventually(lambda: broken.errors)
    assert broken.channel.closed
    assert isinstance(broken.errors[0], ConnectionResetError)
    other_right.send(b"x")
    eventually(lambda: healthy.received == 1)
    assert pump.statistics().channels == 1
    healthy.channel.close()
    other_left.close()
    other_right.close()


def test_an_error_in_failed_does_not_end_the_pump(pump, pair, eventually):
    called: list[str] = []

    class Hopeless(Reader):
        def failed(self, error: Exception) -> None:
            called.append("failed")
            raise RuntimeError("again")

    pump.register(pair[0], Hopeless(pair[0]))
    pair[1].close()
    eventually(lambda: called)
    pump.call_soon(lambda: called.append("alive"))
    eventually(lambda: called == ["failed", "alive"])


def test_a_closed_channel_is_not_called_even_if_it_is_ready(pump, pair):
    reader = read_on(pump, pair[0])
    pair[1].send(b"x")
    # The pump's greenlet has not run since the socket became ready.
    reader.channel.close()
    reader.channel.close()
    for _ in range(5):
        runtime.yield_loop()
    assert reader.calls == 0
    assert reader.errors == []


def test_a_handler_may_close_its_own_channel_and_that_of_another(pump, pair, eventually):
    others: list[Reader] = []

    class Closer(Reader):
        def readable(self) -> None:
            super().readable()
            self.channel.close()
            for other in others:
                other.channel.close()

    left, right = socket.socketpair()
    left.setblocking(False)
    closer = Closer(pair[0])
    closer.channel = pump.register(pair[0], closer)
    others.append(read_on(pump, left))
    pair[1].send(b"x")
    right.send(b"y")
    eventually(lambda: closer.calls or others[0].calls)
    pair[1].send(b"x")
    eventually(lambda: closer.calls == 1)
    for _ in range(5):
        runtime.yield_loop()
    assert closer.calls == 1
    assert pump.statistics().channels == 0
    left.close()
    right.close()


def test_busy_sockets_take_turns_and_timers_are_on_time(pump, eventually):
    order: list[Reader] = []
    socks: list[socket.socket] = []
    readers: list[Reader] = []
    for _ in range(10):
        left, right = socket.socketpair()
        left.setblocking(False)
        right.setblocking(False)
        socks += [left, right]
        reader = read_on(pump, left, turn=16384)
        reader.order = order
        readers.append(reader)
        writer = Writer(right, bytes(1_000_000))
        writer.channel = pump.register(right, writer)
        writer.channel.want_write(True)
    depths: list[int] = []
    timer = runtime.call_later(0.001, lambda: depths.append(sum(reader.received for reader in readers)))
    eventually(lambda: all(reader.received == 1_000_000 for reader in readers))
    timer.cancel()
    assert depths[0] < 10_000_000
    # While all are busy nobody gets far ahead of the others.
    half = order[: len(order) // 2]
    counts = [sum(one is reader for one in half) for reader in readers]
    assert min(counts) > 0
    assert max(counts) <= 3 * min(counts)
    for reader in readers:
        reader.channel.close()
    pump.stop()
    for sock in socks:
        sock.close()


def test_calls_run_in_the_pump_in_order_and_an_error_ends_nothing(pump, eventually):
    seen: list[object] = []

    def broken() -> None:
        raise RuntimeError("as asked")

    pump.call_soon(broken)
    pump.call_soon(lambda: seen.append(runtime.current()))
    pump.call_soon(lambda: seen.append("second"))
    eventually(lambda: len(seen) == 2)
    assert seen[0] is not runtime.current()
    assert seen[1] == "second"


def test_stop_fails_those_who_are_left_and_start_works_again(pair, eventually):
    pump = Pump()
    pump.start()
    reader = read_on(pump, pair[0])
    pump.stop()
    pump.stop()
    assert [type(error) for error in reader.errors] == [UnavailableError]
    called: list[str] = []
    pump.start()
    pump.call_soon(lambda: called.append("x"))
    eventually(lambda: called)
    pump.stop()
