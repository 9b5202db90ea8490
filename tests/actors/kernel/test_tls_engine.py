"""TLS without a socket: both ends in this process, bytes carried by hand."""

from __future__ import annotations

import random
import ssl

import pytest

from fileflux.actors.kernel.tls import client_context
from fileflux.actors.kernel.tls_engine import RECORD_BYTES, TlsEngine, TlsError, TlsFailure, explain
from tests.certificates import Authority

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def ends(authority: Authority) -> tuple[TlsEngine, TlsEngine]:
    client = TlsEngine(client_context(authority.file), "localhost")
    server = TlsEngine(authority.server_context(), server=True)
    for _ in range(3):
        client.handshake()
        carry(client, server)
        server.handshake()
        carry(server, client)
    assert client.handshake()
    assert server.handshake()
    return client, server


def carry(one: TlsEngine, other: TlsEngine) -> None:
    if one.has_ciphertext:
        other.feed(one.take_ciphertext())


def test_everything_that_came_is_decrypted_and_nothing_waits(ends) -> None:
    client, server = ends
    data = bytes(range(256)) * 1000
    assert client.encrypt(data) == len(data)
    wire = bytes(client.take_ciphertext())
    assert not client.has_ciphertext
    assert server.decrypt(wire[:100_000]) + server.decrypt(wire[100_000:]) == data
    assert not server.ended


@pytest.mark.parametrize("into", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_it_does_not_matter_where_the_connection_cuts(ends, seed: int, into: bool) -> None:
    client, server = ends
    chance = random.Random(seed)
    sent, wire = b"", b""
    for _ in range(20):
        part = chance.randbytes(chance.choice((0, 1, 100, 16_384, 16_385, 70_000)))
        client.encrypt(part)
        sent += part
        wire += client.take_ciphertext()
    found = b""
    while wire:
        cut = chance.choice((1, 4, 5, 6, 1000, 16_384, 50_000, 300_000))
        found += decrypted_into(server, wire[:cut]) if into else server.decrypt(wire[:cut])
        wire = wire[cut:]
    assert found == sent


def test_ciphertext_that_was_not_taken_goes_first(ends) -> None:
    client, server = ends
    client.encrypt(b"one")
    first = client.take_ciphertext()
    client.unsent = first[5:]
    client.encrypt(b"two")
    assert client.has_ciphertext
    assert server.decrypt(bytes(first[:5]) + bytes(client.take_ciphertext())) == b"onetwo"


def test_small_reads_lose_nothing(ends) -> None:
    client, server = ends
    client.encrypt(b"0123456789")
    carry(client, server)
    assert server.read(3) == b"012"
    assert server.read(3) == b"345"
    assert server.decrypt_left() == b"6789"
    assert server.decrypt_left() == b""


def decrypted_into(engine: TlsEngine, data: bytes) -> bytes:
    room = bytearray(len(data) + RECORD_BYTES)
    return bytes(room[: engine.decrypt_into(data, memoryview(room))])


def test_decrypting_into_memory_gives_what_was_left_first_and_sees_the_end(ends) -> None:
    client, server = ends
    client.encrypt(b"0123456789")
    carry(client, server)
    assert server.read(3) == b"012"
    server.unread = server.decrypt_left()
    client.encrypt(b"abc")
    client.say_goodbye()
    assert decrypted_into(server, bytes(client.take_ciphertext())) == b"3456789abc"
    assert server.ended
    assert decrypted_into(server, b"more") == b""


@pytest.mark.parametrize("polite", [True, False])
def test_the_end_with_and_without_a_goodbye(ends, polite: bool) -> None:
    client, server = ends
    client.encrypt(b"last")
    if polite:
        client.say_goodbye()
        client.say_goodbye()
    assert server.decrypt(bytes(client.take_ciphertext())) == b"last"
    assert server.ended is polite
    assert server.decrypt(b"") == b""
    assert server.ended
    assert server.read(10) == b""


@pytest.mark.parametrize("into", [False, True])
def test_a_changed_byte_is_broken(ends, into: bool) -> None:
    client, server = ends
    client.encrypt(b"x" * 50)
    wire = bytearray(client.take_ciphertext())
    wire[-1] ^= 1
    with pytest.raises(TlsError) as caught:
        decrypted_into(server, bytes(wire)) if into else server.decrypt(bytes(wire))
    assert caught.value.failure is TlsFailure.BROKEN
    assert server.has_ciphertext, "the alert for the peer"


def test_reasons_are_lines_without_the_librarys_file_names() -> None:
    errors = [
        ssl.SSLError(1, "[SSL: NEW_REASON] new reason (_ssl.c:1)"),
        ssl.SSLEOFError(8, "EOF"),
        ssl.SSLError("odd"),
    ]
    for error in errors:
        explained = explain(error)
        assert explained.strerror
        assert "_ssl.c" not in explained.strerror or error.reason is None
    alert = ssl.SSLError(1, "x")
    alert.reason = "TLSV1_ALERT_INTERNAL_ERROR"
    assert explain(alert).failure is TlsFailure.REFUSED
