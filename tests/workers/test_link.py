from __future__ import annotations

import socket
import struct
import threading

import pytest

from fileflux.errors import LocalProtocolError
from fileflux.workers.link import MAX_MESSAGE, WorkerLink, encode


@pytest.fixture
def ends():
    left, right = socket.socketpair()
    yield left, WorkerLink(left), WorkerLink(right)
    left.close()
    right.close()


@pytest.mark.parametrize("message", [{}, {"a": [1, None, True, "ü\udcff\x00"]}, {"text": "x" * 3_000_000}])
def test_messages_arrive_as_they_were(ends, message):
    _, left, right = ends
    sender = threading.Thread(target=lambda: (left.send(message), left.send({"next": 1})))
    sender.start()
    assert right.receive() == message
    assert right.receive() == {"next": 1}
    sender.join(5)


@pytest.mark.parametrize("message", [{"a": b"bytes"}, {"a": float("nan")}, {"a": object()}, {"a": "x" * MAX_MESSAGE}])
def test_what_cannot_be_sent(message):
    with pytest.raises(LocalProtocolError):
        encode(message)


@pytest.mark.parametrize("body", [b"", b"[1]", b"{", b"\xff\xff", b"[" * 100_000])
def test_what_is_no_message(ends, body):
    raw, _, right = ends
    raw.sendall(struct.pack("!I", len(body)) + body)
    with pytest.raises(LocalProtocolError):
        right.receive()


def test_a_length_that_is_too_large_is_refused_before_anything_is_read(ends):
    raw, _, right = ends
    raw.sendall(struct.pack("!I", MAX_MESSAGE + 1))
    with pytest.raises(LocalProtocolError):
        right.receive()


@pytest.mark.parametrize("begun", [b"", b"\x00\x00", struct.pack("!I", 10) + b"{"])
def test_the_end_in_any_place_is_none(ends, begun):
    raw, left, right = ends
    raw.sendall(begun)
    left.close()
    assert right.receive() is None


def test_finish_lets_the_other_end_read_the_rest_and_answer(ends):
    _, left, right = ends
    left.send({"a": 1})
    left.finish()
    assert right.receive() == {"a": 1}
    assert right.receive() is None
    right.send({"b": 2})
    assert left.receive() == {"b": 2}


def test_close_wakes_who_waits(ends):
    _, left, _ = ends
    got: list[object] = ["waiting"]
    reader = threading.Thread(target=lambda: got.append(left.receive()))
    reader.start()
    left.close()
    left.close()
    reader.join(5)
    assert got == ["waiting", None]
