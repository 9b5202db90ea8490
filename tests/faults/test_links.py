"""Slow, long and jittery links carry what their rules say."""

from __future__ import annotations

import os
import socket
import statistics
import sys
import threading
import time

import pytest

from tests.faults.ends import ends, receive, stuffed
from tests.faults.rules import Rule, Way


def test_latency_is_that_of_both_ways() -> None:
    with ends(Rule(Way(latency=0.05), Way(latency=0.03))) as e:
        client, server = e.pair()
        assert 0.08 <= min(e.round_trip(client, server) for _ in range(3)) < 0.12
        e.proxy.set(Rule())
        assert min(e.round_trip(client, server) for _ in range(3)) < 0.05, "rules change under open connections"


def arrivals(seed: int) -> list[float]:
    """When each of ten bytes comes through a jittery link, since it was sent."""
    with ends(Rule(up=Way(latency=0.005, jitter=0.08)), seed=seed) as e:
        client, server = e.pair()
        times = []
        for number in range(10):
            begin = time.monotonic()
            client.sendall(bytes([number]))
            assert receive(server, 1) == bytes([number])
            times.append(time.monotonic() - begin)
        return times


def apart(first: list[float], second: list[float]) -> float:
    """The median, because a busy machine makes single ones late."""
    return statistics.median(abs(one - other) for one, other in zip(first, second, strict=True))


def test_jitter_comes_from_the_seed() -> None:
    first, again, other = arrivals(1), arrivals(1), arrivals(2)
    assert apart(first, again) < 0.01
    assert apart(first, other) > 0.015


def test_jitter_keeps_the_order() -> None:
    with ends(Rule(up=Way(jitter=0.02))) as e:
        client, server = e.pair()
        data = os.urandom(2000)
        for position in range(0, len(data), 10):
            client.sendall(data[position : position + 10])
        assert receive(server, len(data)) == data


@pytest.mark.parametrize("rate", [64_000, 5_000_000])
def test_bandwidth_is_kept_and_presses_back_on_the_sender(rate: int) -> None:
    with ends(Rule(up=Way(bandwidth=rate))) as e:
        client, server = e.pair()
        stop = threading.Event()
        sent = [0]

        def send() -> None:
            client.settimeout(0.05)
            while not stop.is_set():
                try:
                    sent[0] += client.send(b"x" * 16384)
                except TimeoutError:
                    continue

        thread = threading.Thread(target=send)
        thread.start()
        receive(server, rate // 10)
        begin, got = time.monotonic(), 0
        while time.monotonic() - begin < 1.0:
            got += len(server.recv(65536))
        seconds = time.monotonic() - begin
        stop.set()
        thread.join()
        assert got / seconds == pytest.approx(rate, rel=0.1)
        taken = e.proxy.connections[0].up.received
        assert taken - e.proxy.bytes_up <= 64 * 1024, "the proxy does not read ahead of its link"
        client.settimeout(10)


def test_the_slow_link_holds_little_of_its_own() -> None:
    """What a sender can be rid of before anybody receives is the kernel's, not megabytes of the proxy's."""
    # An address of its own: for each, the kernel remembers what connections before it were like.
    with ends(Rule(up=Way(bandwidth=64_000)), address="127.0.0.77") as e:
        client, _server = e.pair()
        assert stuffed(client) < 1_000_000
        assert e.proxy.connections[0].up.received < 64_000


def test_connections_share_a_link() -> None:
    with ends(Rule(up=Way(bandwidth=2_000_000))) as e:
        pairs = [e.pair() for _ in range(4)]
        threads = [threading.Thread(target=client.sendall, args=(bytes(400_000),)) for client, _ in pairs]
        begin = time.monotonic()
        for thread in threads:
            thread.start()
        seen = 0
        for _, server in pairs:
            seen += len(receive(server, 400_000))
        seconds = time.monotonic() - begin
        for thread in threads:
            thread.join()
        assert seen / seconds == pytest.approx(2_000_000, rel=0.15)


def test_a_link_that_collapses_and_recovers() -> None:
    size = 20_000_000
    with ends() as e:
        client, server = e.pair()
        threads = [threading.Thread(target=client.sendall, args=(bytes(size),))]
        threads += [threading.Thread(target=receive, args=(server, size))]
        e.proxy.set(Rule(up=Way(bandwidth=10_000_000)))
        for thread in threads:
            thread.start()
        e.proxy.wait_for("a beginning", lambda: e.proxy.bytes_up > 1_000_000)
        e.proxy.set(Rule(up=Way(bandwidth=500_000)))
        begin, before = time.monotonic(), e.proxy.bytes_up
        e.proxy.wait_for("some more", lambda: e.proxy.bytes_up - before > 500_000)
        assert time.monotonic() - begin > 0.6, "no more than what was on its way came faster"
        e.proxy.set(Rule())
        for thread in threads:
            thread.join()
        assert e.proxy.bytes_up == size


def test_single_bytes() -> None:
    data = os.urandom(3000)
    with ends(Rule(up=Way(slice=1))) as e:
        client, server = e.pair()
        client.sendall(data)
        assert receive(server, len(data)) == data
        assert data_segments_in(server) > len(data) * 0.9


def data_segments_in(sock: socket.socket) -> int:
    """As the kernel counts them: ``tcpi_data_segs_in`` of linux/tcp.h."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    return int.from_bytes(info[152:156], sys.byteorder)


@pytest.mark.parametrize(("gap", "count"), [(0.00001, 20_000), (0.005, 40)])
def test_gaps_between_slices(gap: float, count: int) -> None:
    with ends(Rule(down=Way(slice=1, gap=gap))) as e:
        client, server = e.pair()
        server.sendall(bytes(count))
        begin = time.monotonic()
        receive(client, count)
        assert time.monotonic() - begin > gap * count * 0.8
