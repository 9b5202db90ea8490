from __future__ import annotations

import socket

import gevent.socket
import pytest

from fileflux.actors.kernel.sockets import blocking_socket, plain_socket, take_unread


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
