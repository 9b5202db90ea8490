"""A requests session whose connections are made by the agent's own way to the hub: names, proxy and trust are decided in one place."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection

from fileflux.actors.kernel.sockets import bound_unsent
from fileflux.protocol.limits import KIB

READ_BUFFER: Final = 64 * KIB
SEND_PART: Final = 64 * KIB
BLOCK: Final = 64 * KIB
"""Taken from a body that is no bytes at once, and what the system may hold of it."""
Connect = Callable[[float], Any]


def make_session(
    scheme: str, host: str, port: int, size: int, connect: Connect, headers: Mapping[str, str]
) -> requests.Session:
    """``connect`` gets the time-out of a request and gives a connected socket in blocking style; its errors come out as they are."""
    session = _Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.adapters.clear()
    session.mount(f"{scheme}://", _Adapter(_Pool(scheme, host, port, size, connect)))
    session.headers.clear()
    # No compressed answers: what grows when it is unpacked would have no bound.
    session.headers.update({"User-Agent": "flux-agent", "Accept-Encoding": "identity", "Accept": "*/*", **headers})
    return session


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Nowhere: the token goes to the hub and to nobody else."""
        _ = resp
        return None


class _Adapter(HTTPAdapter):
    """Always the one pool, and nothing that requests would add to it."""

    def __init__(self, pool: _Pool) -> None:
        super().__init__(pool_connections=1)
        self._pool = pool

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> HTTPConnectionPool:
        return self._pool

    def cert_verify(self, *_: Any, **__: Any) -> None:
        """TLS is done, certificate and all, when the connection is made."""

    def close(self) -> None:
        super().close()
        self._pool.close()


class _Pool(HTTPConnectionPool):
    """Plain HTTP on connections that may be TLS below."""

    def __init__(self, scheme: str, host: str, port: int, size: int, connect: Connect) -> None:
        super().__init__(host, port, maxsize=size)
        self._kind = _SecureConnection if scheme == "https" else _Connection
        self._connect = connect

    def _new_conn(self) -> HTTPConnection:
        self.num_connections += 1
        connection = self._kind(self.host, self.port, timeout=self.timeout.connect_timeout, blocksize=BLOCK)
        connection.open = self._connect
        return connection


class _Connection(HTTPConnection):
    open: Connect

    def connect(self) -> None:
        if not isinstance(self.timeout, int | float):
            raise TypeError("every request has a time-out: timeout=(connect, read)")
        self.sock = _File(self.open(self.timeout))


class _SecureConnection(_Connection):
    """Only its ``Host`` header differs."""

    default_port = 443  # type: ignore[misc]  # the two packages declare it differently


class _File:
    """A socket in blocking style with ``makefile`` for reading, which a TlsSocket lacks.

    As with standard sockets the connection lives until both it and the file made of it are closed.
    """

    def __init__(self, connection: Any) -> None:
        bound_unsent(connection, BLOCK)
        self._connection = connection
        self._users = 1
        self._closed = False

    def makefile(self, _mode: str = "rb") -> io.BufferedReader:
        self._users += 1
        return io.BufferedReader(_Reader(self), READ_BUFFER)

    def recv_into(self, buffer: Any) -> int:
        return int(self._connection.recv_into(buffer))

    def sendall(self, data: Any) -> None:
        """The time-out is for each part: a body on a thin link takes longer than the whole of it."""
        view = memoryview(data)
        for offset in range(0, len(view), SEND_PART):
            self._connection.sendall(view[offset : offset + SEND_PART])

    def settimeout(self, seconds: float | None) -> None:
        self._connection.settimeout(seconds)

    def fileno(self) -> int:
        return int(self._connection.fileno())

    def shutdown(self, how: int) -> None:
        self._connection.shutdown(how)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.let_go()

    def let_go(self) -> None:
        self._users -= 1
        if self._users == 0:
            self._connection.close()


class _Reader(io.RawIOBase):
    def __init__(self, file: _File) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._file.recv_into(buffer)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._file.let_go()
