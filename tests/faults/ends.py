"""A client and a server of plain sockets on both sides of a fault proxy."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.faults.proxy import FaultProxy
from tests.faults.rules import Rule

RESET = "reset"


def receive(sock: socket.socket, size: int) -> bytes:
    """Exactly so many bytes; fewer when the peer ends before."""
    data = bytearray()
    while len(data) < size and (part := sock.recv(min(size - len(data), 2**20))):
        data += part
    return bytes(data)


def rest(sock: socket.socket) -> tuple[bytes, str]:
    """All that comes until the end, and how it ended: "" or ``reset``."""
    data = bytearray()
    try:
        while part := sock.recv(2**20):
            data += part
    except ConnectionError:
        return bytes(data), RESET
    return bytes(data), ""


def quiet(sock: socket.socket, seconds: float = 0.15) -> bool:
    """Nothing comes for a while, not even an end."""
    sock.settimeout(seconds)
    try:
        sock.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return True
    finally:
        sock.settimeout(10)
    return False


def stuffed(sock: socket.socket) -> int:
    """Write until nothing more fits for a while; how many bytes that took."""
    sock.settimeout(0.2)
    written = 0
    with contextlib.suppress(TimeoutError):
        while True:
            written += sock.send(b"x" * 65536)
    sock.settimeout(10)
    return written


@dataclass
class Ends:
    """The proxy and what stands on its sides."""

    proxy: FaultProxy
    listener: socket.socket
    _sockets: contextlib.ExitStack

    def client(self) -> socket.socket:
        sock = socket.create_connection((self.proxy.address, self.proxy.port), timeout=10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._sockets.enter_context(sock)

    def server(self) -> socket.socket:
        """The server's side of the next connection."""
        sock, _ = self.listener.accept()
        sock.settimeout(10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._sockets.enter_context(sock)

    def pair(self) -> tuple[socket.socket, socket.socket]:
        client = self.client()
        return client, self.server()

    def round_trip(self, client: socket.socket, server: socket.socket) -> float:
        """Seconds for a byte there and back."""
        begin = time.monotonic()
        client.sendall(b"?")
        assert receive(server, 1) == b"?"
        server.sendall(b"!")
        assert receive(client, 1) == b"!"
        return time.monotonic() - begin


@contextlib.contextmanager
def ends(rule: Rule | None = None, *, seed: int = 0, address: str = "127.0.0.1") -> Iterator[Ends]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(socket.create_server((address, 0), family=family))
        listener.settimeout(10)
        proxy = FaultProxy(listener.getsockname()[1], address, rule=rule, seed=seed, listen=address)
        yield Ends(sockets.enter_context(proxy), listener, sockets)
