"""A WebSocketLink over TLS: the same contract as without, and large messages that are decrypted where they belong."""

from __future__ import annotations

import random
from collections.abc import Iterator

import gevent
import gevent.socket
import pytest

from fileflux.actors.kernel.sockets import plain_socket, take_unread
from fileflux.actors.kernel.tls import TlsSocket, TlsStream, client_context, client_handshake, server_handshake
from tests.certificates import Authority
from tests.contracts.link_suite import LinkSuite, Recorder
from tests.protocol.test_websocket import SocketPair


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def tls_pair(authority: Authority) -> Iterator[SocketPair]:
    left, right = gevent.socket.socketpair()
    serving = gevent.spawn(server_handshake, right, authority.server_context(), 10)
    client = client_handshake(left, client_context(authority.file), "localhost", 10)
    pair = SocketPair((_stream(client), _stream(serving.get())))
    yield pair
    pair.close()


def _stream(end: TlsSocket) -> TlsStream:
    stream = plain_socket(end)
    end.close()
    assert isinstance(stream, TlsStream)
    assert take_unread(stream) == b""
    return stream


class TestWebSocketLinkOverTls(LinkSuite):
    @pytest.fixture
    def pair(self, tls_pair: SocketPair) -> SocketPair:
        return tls_pair


@pytest.mark.parametrize("sender", ["client", "server"])
def test_large_and_small_messages_in_a_row(tls_pair: SocketPair, sender: str) -> None:
    chance = random.Random(7)
    ends = (tls_pair.left, tls_pair.right) if sender == "client" else (tls_pair.right, tls_pair.left)
    heard = [Recorder(), Recorder()]
    for end, recorder in zip(ends, heard, strict=True):
        end.start(recorder)
    sizes = [2**20 - 64, 2**20, 16 * 1024, 16 * 1024 + 1, 32 * 1024 + 7, 100, 2**20 - 64, 300_000, 0, 2**20 - 64] * 3
    sent = [chance.randbytes(size) for size in sizes]
    for message in sent:
        ends[0].send_binary(message)
    tls_pair.until(lambda: len(heard[1].binaries) == len(sent))
    assert [bytes(message) for message in heard[1].binaries] == sent
