from __future__ import annotations

import socket

import gevent.socket
import pytest

from fileflux.actors.kernel.sockets import plain_socket


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
