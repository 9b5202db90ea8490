from __future__ import annotations

import select
import socket
import sys

import gevent.socket
import pytest

from fileflux.actors.kernel.sockets import blocking_socket, bound_unsent, plain_socket, take_unread


def test_a_cooperative_socket_becomes_one_that_answers_at_once_and_lives_on_its_own():
    left, right = gevent.socket.socketpair()
    plain = plain_socket(left)
    left.close()
    assert not isinstance(plain, gevent.socket.socket)
    assert isinstance(plain, socket.socket)
    with pytest.raises(BlockingIOError):
        plain.recv(1)
    right.sendall(b"x")
    assert plain.recv(10) == b"x"
    right.close()
    assert plain.recv(10) == b""
    plain.close()


def test_and_back_over_the_same_descriptor():
    left, right = gevent.socket.socketpair()
    plain = plain_socket(left)
    left.close()
    assert take_unread(plain) == b""
    descriptor = plain.fileno()
    again = blocking_socket(plain)
    assert isinstance(again, gevent.socket.socket)
    assert (again.fileno(), plain.fileno()) == (descriptor, -1)
    writing = gevent.spawn_later(0.01, right.sendall, b"waited for")
    assert again.recv(100) == b"waited for"
    writing.join()
    again.sendall(b"answer")
    assert right.recv(100) == b"answer"
    again.close()
    right.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system may take what it likes")
def test_the_system_takes_a_bounded_number_of_bytes_ahead_of_the_network():
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    taken = []
    for most in (64 * 1024, None):
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        if most is not None:
            bound_unsent(client, most)
        client.setblocking(False)
        count = 0
        while select.select([], [client], [], 0.1)[1]:
            count += client.send(bytes(16 * 1024))
        taken.append(count)
        client.close()
        server.close()
    listener.close()
    assert taken[0] < 256 * 1024 < taken[1]
