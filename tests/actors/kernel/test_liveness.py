"""What is asked of the system for connections whose peer may vanish."""

from __future__ import annotations

import socket
import sys

import pytest

from fileflux.actors.kernel.liveness import watch_peer


@pytest.fixture
def pair():
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    server, _ = listener.accept()
    listener.close()
    yield client, server
    client.close()
    server.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the names of the options are those of Linux")
def test_probes_end_within_the_time_and_nothing_limits_a_link_that_moves(pair):
    client, _ = pair
    watch_peer(client, 60.0)

    def value(option):
        return client.getsockopt(socket.IPPROTO_TCP, option)

    assert client.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert value(socket.TCP_KEEPIDLE) + value(socket.TCP_KEEPINTVL) * value(socket.TCP_KEEPCNT) == 60
    assert value(socket.TCP_USER_TIMEOUT) == 0
    assert value(socket.TCP_NODELAY)


def test_what_is_no_tcp_connection_is_left_alone():
    left, right = socket.socketpair()
    with left, right:
        watch_peer(left, 60.0)
        left.send(b"x")
        assert right.recv(1) == b"x"
