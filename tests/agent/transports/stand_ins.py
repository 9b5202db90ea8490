"""What may stand at a hub's address, and before it: HTTP answers, with and without TLS, and an HTTP proxy with CONNECT. On loopback, in threads."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from typing import Self

from fileflux.clock import SystemClock
from fileflux.protocol.limits import Limits
from flux_agent import config
from flux_agent.transports.network import Network
from tests.certificates import Authority

LIMITS = Limits(handshake_timeout=3.0)


class Listening:
    """Accepts on loopback; ``serve`` gets each connection in a thread of its own. ``with`` it."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self._listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.port: int = self._listener.getsockname()[1]
        self.accepted = 0
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __enter__(self) -> Self:
        self._threads.append(threading.Thread(target=self._accept))
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()
        self._listener.close()

    def serve(self, connection: socket.socket) -> None:
        raise NotImplementedError

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._open.add(connection)
            thread = threading.Thread(target=self._one, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _one(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self.serve(connection)
        self._open.discard(connection)


Answer = Callable[[str, Mapping[str, str]], bytes]
"""Path and headers (names in lower case) of a request → all bytes of the answer."""


class Server(Listening):
    """Answers HTTP; over TLS if it has a context. ``requests`` has what came: path and headers."""

    def __init__(self, answer: Answer, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        super().__init__(host)
        self.answer = answer
        self.context = context
        self.requests: list[tuple[str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"{'https' if self.context else 'http'}://{self.authority}"

    def serve(self, connection: socket.socket) -> None:
        stream = self.context.wrap_socket(connection, server_side=True) if self.context else connection
        with stream:
            while head := read_head(stream):
                path, headers = parse(head)
                self.requests.append((path, headers))
                stream.sendall(self.answer(path, headers))
                if headers.get("connection", "").lower() == "close":
                    return


class Tunnel(Listening):
    """A proxy that knows CONNECT, and credentials if ``user`` is set. ``targets`` has what was asked for."""

    def __init__(self, user: str = "", refuse: bytes = b"", context: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self._wanted = "Basic " + base64.b64encode(user.encode()).decode() if user else ""
        self._refuse = refuse
        self._context = context
        self.targets: list[str] = []
        self.heads: list[bytes] = []

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://{self.authority}"

    def serve(self, connection: socket.socket) -> None:
        with self._context.wrap_socket(connection, server_side=True) if self._context else connection as client:
            self._tunnel(client)

    def _tunnel(self, client: socket.socket) -> None:
        head = read_head(client)
        self.heads.append(head)
        target, headers = parse(head)
        self.targets.append(target)
        if self._refuse:
            client.sendall(self._refuse)
            return
        if self._wanted and headers.get("proxy-authorization") != self._wanted:
            client.sendall(reply(407, {"Proxy-Authenticate": 'Basic realm="x"'}))
            return
        host, _, port = target.rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port)), timeout=10) as server:
            server.settimeout(None)
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_copy, args=(server, client))
            back.start()
            _copy(client, server)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for sock, how in ((target, socket.SHUT_WR), (source, socket.SHUT_RD)):
        with contextlib.suppress(OSError):
            sock.shutdown(how)


def read_head(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        data = connection.recv(4096)
        if not data:
            return b""
        head += data
    return head


def parse(head: bytes) -> tuple[str, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n\r\n")[0].split("\r\n")
    return first.split(" ")[1], {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }


def reply(status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    return ("\r\n".join([*lines, f"Content-Length: {len(body)}"]) + "\r\n\r\n").encode() + body


def page(_path: str = "", _headers: Mapping[str, str] | None = None) -> bytes:
    """What a captive portal answers to everything."""
    return reply(200, {"Content-Type": "text/html"}, b"<html>Please sign in</html>")


def hub_like(authority: Authority | None = None) -> Answer:
    """A hub's /healthz, and its CA."""

    def answer(path: str, _headers: Mapping[str, str]) -> bytes:
        if path == "/ca.pem" and authority is not None:
            return reply(200, {}, authority.made.certificate_pem())
        if path == "/healthz":
            return reply(200, {"Content-Type": "application/json"}, b'{"status":"ok"}')
        return reply(404)

    return answer


def pin_of(authority: Authority) -> str:
    der = ssl.PEM_cert_to_DER_cert(authority.made.certificate_pem().decode())
    return hashlib.sha256(der).hexdigest()


def network(hub: str, environment: Mapping[str, str] | None = None, **flags: object) -> Network:
    """The way to ``hub`` as a configuration with these flags makes it."""
    loaded = config.load({"hub": hub, "token": "ffx_secret", **flags}, {}, None)
    checked = config.check(loaded, environment=environment or {})
    return Network.from_config(checked, SystemClock())


class Front(Listening):
    """What speaks TLS before a hub that does not: hands bytes on to ``port``."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        super().__init__()
        self._port = port
        self._context = context

    def serve(self, connection: socket.socket) -> None:
        with (
            self._context.wrap_socket(connection, server_side=True) as client,
            socket.create_connection(("127.0.0.1", self._port)) as server,
        ):
            back = threading.Thread(target=_copy, args=(server, client))
            back.start()
            _copy(client, server)
            back.join()
