"""The fault proxy passes everything, and breaks connections as its rules say."""

from __future__ import annotations

import os
import random
import socket
import threading
import time

import pytest

from tests.faults.ends import RESET, ends, quiet, receive, rest, stuffed
from tests.faults.rules import End, Mode, Rule, Way


def test_without_faults_all_passes_both_ways_and_is_recorded() -> None:
    data = os.urandom(3_000_000)
    with ends() as e:
        client, server = e.pair()
        for sender, receiver in ((client, server), (server, client)):
            thread = threading.Thread(target=sender.sendall, args=(data,))
            thread.start()
            assert receive(receiver, len(data)) == data
            thread.join()
        client.shutdown(socket.SHUT_WR)
        assert rest(server) == (b"", "")
        server.sendall(b"the other way stays open")
        server.close()
        assert rest(client) == (b"the other way stays open", "")
        (connection,) = e.proxy.connections
        e.proxy.wait_for("its end", lambda: not connection.open)
        assert connection.cause == "peers"
        assert (connection.up.delivered, connection.down.delivered) == (len(data), len(data) + 24)
        assert (e.proxy.bytes_up, e.proxy.bytes_down) == (len(data), len(data) + 24)
        assert connection.closed_at is not None
        assert connection.closed_at > connection.opened_at


def test_ipv6() -> None:
    with ends(address="::1") as e:
        client, server = e.pair()
        e.round_trip(client, server)
        assert e.proxy.url() == f"http://[::1]:{e.proxy.port}"


def test_a_reset_is_handed_on() -> None:
    with ends() as e:
        client, server = e.pair()
        e.round_trip(client, server)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        assert rest(server) == (b"", RESET)
        assert e.proxy.wait_for("the end", lambda: e.proxy.connections[0].cause) == "reset by a peer"


def test_a_server_that_is_not_there() -> None:
    with ends() as e:
        e.listener.close()
        with pytest.raises(ConnectionResetError):
            e.client().recv(1)
        assert e.proxy.connections[0].cause == "server refused"


@pytest.mark.parametrize("end", [End.FIN, End.RESET])
@pytest.mark.parametrize("count", [0, 1, 57, 100_000])
def test_the_end_after_so_many_bytes(end: End, count: int) -> None:
    data = os.urandom(200_000)
    with ends(Rule(up=Way(end_after=count, end=end))) as e:
        client = None
        try:
            client = e.client()
            client.sendall(data)
        except ConnectionError:
            assert end is End.RESET
        got, how = rest(e.server())
        assert got == data[:count]
        assert how == (RESET if end is End.RESET else "")
        assert client is None or rest(client)[0] == b""
        assert e.proxy.connections[0].cause == "fault"
        assert e.proxy.bytes_up == count


def test_half_close_leaves_the_other_way() -> None:
    with ends(Rule(up=Way(end_after=5, end=End.HALF))) as e:
        client, server = e.pair()
        client.sendall(b"hello, world")
        assert rest(server) == (b"hello", "")
        client.sendall(b"into the void")
        server.sendall(b"still here")
        assert receive(client, 10) == b"still here"
        server.close()
        assert rest(client) == (b"", "")


def test_a_count_that_has_passed_ends_at_once() -> None:
    with ends() as e:
        client, server = e.pair()
        e.round_trip(client, server)
        e.proxy.set(Rule(up=Way(end_after=1)))
        assert rest(server) == (b"", "")
        assert rest(client) == (b"", "")


def test_black_hole_and_back() -> None:
    with ends() as e:
        client, server = e.pair()
        e.round_trip(client, server)
        e.proxy.set(Rule.both(Way(mode=Mode.STOP)))
        client.sendall(b"up")
        server.sendall(b"down")
        assert quiet(server)
        assert quiet(client)
        client.shutdown(socket.SHUT_WR)
        assert quiet(server), "a black hole swallows the end as well"
        e.proxy.set(Rule())
        assert rest(server) == (b"up", "")
        assert receive(client, 4) == b"down"


def test_one_way_stall() -> None:
    with ends() as e:
        client, server = e.pair()
        e.proxy.set(Rule(down=Way(mode=Mode.STOP)))
        client.sendall(b"heard")
        assert receive(server, 5) == b"heard"
        server.sendall(b"unheard")
        assert quiet(client)
        assert e.proxy.bytes_down == 0


def test_discard_lets_the_sender_believe() -> None:
    with ends(Rule(up=Way(mode=Mode.DISCARD))) as e:
        client, server = e.pair()
        client.sendall(bytes(30_000_000))
        assert quiet(server)
        server.sendall(b"answer")
        assert receive(client, 6) == b"answer"


def test_hold_outlives_its_client_and_is_released_after_a_newer_connection() -> None:
    with ends() as e:
        old, old_server = e.pair()
        e.round_trip(old, old_server)
        e.proxy.set(Rule(up=Way(mode=Mode.HOLD)), nth=1)
        data = os.urandom(2_000_000)
        old.sendall(data)
        old.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        e.proxy.wait_for("all of it", lambda: e.proxy.connections[0].up.received == len(data) + 1)
        old.close()
        e.proxy.wait_for("its client's end", lambda: e.proxy.connections[0].up.ended_at)
        new, new_server = e.pair()
        assert e.round_trip(new, new_server) < 1
        assert quiet(old_server)
        e.proxy.set(Rule(), nth=1)
        assert rest(old_server) == (data, RESET)
        e.round_trip(new, new_server)


def test_hold_is_bounded() -> None:
    with ends(Rule(up=Way(mode=Mode.HOLD, hold_max=100_000))) as e:
        client, _ = e.pair()
        stuffed(client)
        assert e.proxy.connections[0].up.received == 100_000


def test_a_changed_byte() -> None:
    data = bytes(range(256)) * 40
    with ends(Rule(up=Way(flip_at=5000, flip=0x80))) as e:
        client, server = e.pair()
        client.sendall(data)
        got = receive(server, len(data))
        assert [at for at in range(len(data)) if got[at] != data[at]] == [5000]
        assert got[5000] == data[5000] ^ 0x80


@pytest.mark.parametrize("end", [End.FIN, End.RESET])
def test_idle_connections_are_ended(end: End) -> None:
    with ends(Rule(idle_kill=0.4, idle_end=end)) as e:
        client, server = e.pair()
        begin = time.monotonic()
        while time.monotonic() - begin < 0.6:
            e.round_trip(client, server)
            time.sleep(0.05)
        last = time.monotonic()
        assert rest(client) == (b"", RESET if end is End.RESET else "")
        assert 0.2 < time.monotonic() - last < 2
        assert rest(server)[0] == b""
        assert e.proxy.connections[0].cause == "idle"


def test_idle_connections_are_forgotten_in_silence() -> None:
    with ends(Rule(idle_kill=0.05, idle_end=End.SILENCE)) as e:
        client, server = e.pair()
        e.proxy.wait_for("the silence", lambda: e.proxy.connections[0].cause == "idle")
        client.sendall(b"anybody?")
        assert quiet(server)
        e.proxy.set(Rule())
        assert quiet(server), "it never comes back"
        assert quiet(client, 0.01)


def test_refused_connections_by_number() -> None:
    with ends() as e:
        e.proxy.set(Rule(refuse=True), nth=[1, 3])
        for number in range(1, 5):
            if number % 2:
                with pytest.raises(ConnectionResetError):
                    e.client().recv(1)
            else:
                e.round_trip(*e.pair())
        assert [connection.cause for connection in e.proxy.connections] == ["refused", "", "refused", ""]


def test_a_port_that_closes_and_opens() -> None:
    with ends() as e:
        client, server = e.pair()
        e.proxy.close_port()
        with pytest.raises(ConnectionRefusedError):
            e.client()
        e.round_trip(client, server)
        e.proxy.open_port()
        e.round_trip(*e.pair())
        assert e.proxy.accepted == 2


def test_a_port_where_nobody_answers() -> None:
    with ends() as e:
        e.proxy.pause_accepting()
        client = e.client()
        client.sendall(b"hello?")
        assert quiet(client)
        assert e.proxy.accepted == 0
        e.proxy.resume_accepting()
        assert receive(e.server(), 6) == b"hello?"


def test_cut_all() -> None:
    with ends() as e:
        pairs = [e.pair() for _ in range(3)]
        e.proxy.wait_for("three", lambda: len(e.proxy.open) == 3)
        assert e.proxy.cut_all() == 3
        assert {rest(sock)[1] for pair in pairs for sock in pair} == {RESET}
        assert e.proxy.open == ()
        client, server = e.pair()
        e.round_trip(client, server)
        assert e.proxy.cut_all(End.FIN) == 1
        assert rest(client) == rest(server) == (b"", "")


def test_many_resets_leave_nothing_behind() -> None:
    random_ends = random.Random(5)
    with ends() as e:
        before = len(os.listdir("/proc/self/fd"))
        for number in range(1, 101):
            e.proxy.set(Rule(up=Way(end_after=random_ends.randrange(1, 50), end=End.RESET)), nth=number)
            client, server = e.pair()
            with client, server:
                client.sendall(bytes(50))
                assert rest(server)[1] == RESET
        e.proxy.wait_for("all to end", lambda: not e.proxy.open)
        assert len(os.listdir("/proc/self/fd")) <= before + 1
