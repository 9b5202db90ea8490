"""TLS connections in the two styles that are needed, and the way from one to the other.

``TlsSocket`` is for code in blocking style (the HTTP server, handshakes), ``TlsStream`` for the pump, whose sockets answer at once. Both
are a socket with a ``TlsEngine`` beside it, and the engine moves: what was decrypted and not read goes with it.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

import gevent.lock

from fileflux.actors.kernel.descriptors import cooperative, plain_duplicate
from fileflux.actors.kernel.tls_engine import RECORD_BYTES, TlsEngine, TlsError, TlsFailure
from fileflux.clock import SystemClock
from fileflux.protocol.limits import KIB
from fileflux.protocol.link import Buffer

__all__ = ["TlsError", "TlsFailure", "TlsSocket", "TlsStream", "client_context", "client_handshake", "server_handshake"]

RECEIVE_BYTES: Final = RECORD_BYTES
"""One read of the socket in blocking style. The engine's buffers grow to it and stay so while the connection idles."""
SEND_BYTES: Final = 64 * KIB
"""Encrypted at once, for one call of the socket; what it does not take waits in memory."""

BULK_BYTES: Final = 256 * KIB
"""For the pump, whose data comes in pieces of 1 MiB: a call of the socket costs as much as to copy 64 KiB. Who wants to see a slow peer take
something gives less to one ``send``."""

_clock = SystemClock()


def client_context(ca_file: Path | str | None = None, ca_data: str | bytes | None = None) -> ssl.SSLContext:
    """TLS from 1.2 on, the name checked, no renegotiation; trusts the system's CAs, or only those given.

    Raises OSError for a file that cannot be read or holds no certificate (ssl.SSLError is one).
    """
    context = ssl.create_default_context(cafile=ca_file, cadata=ca_data)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    return context


def client_handshake(sock: Any, context: ssl.SSLContext, server_hostname: str, timeout: float) -> TlsSocket:
    """Speak TLS on a connected socket in blocking style, which the result owns from now on; ``timeout`` seconds for all of it.

    Raises TlsError, or another OSError of the socket; then ``sock`` is still the caller's to close.
    """
    return _handshake(sock, TlsEngine(context, server_hostname), timeout)


def server_handshake(sock: Any, context: ssl.SSLContext, timeout: float) -> TlsSocket:
    """As ``client_handshake``, for the end that was called."""
    return _handshake(sock, TlsEngine(context, server=True), timeout)


def _handshake(sock: Any, engine: TlsEngine, timeout: float) -> TlsSocket:
    deadline = _clock.monotonic() + timeout
    waited = sock.gettimeout()
    try:
        while True:
            try:
                done = engine.handshake()
            except TlsError as error:
                # The peer shall learn why, unless it speaks something else: then an alert is only noise.
                if error.failure not in (TlsFailure.NOT_TLS, TlsFailure.PLAIN_HTTP) and engine.has_ciphertext:
                    _send_what_fits(sock, engine)
                raise
            left = deadline - _clock.monotonic()
            if left <= 0:
                raise TimeoutError
            sock.settimeout(left)
            if engine.has_ciphertext:
                sock.sendall(engine.take_ciphertext())
            if done:
                sock.settimeout(waited)
                return TlsSocket(sock, engine)
            engine.feed(sock.recv(RECEIVE_BYTES))
    except TimeoutError:
        raise TlsError(TlsFailure.TIMEOUT, f"no TLS handshake within {timeout:g} s") from None


def _send_what_fits(sock: Any, engine: TlsEngine) -> None:
    """What TLS has to say by itself: never waits, and an error of the socket is for whoever uses it next."""
    ciphertext = engine.take_ciphertext()
    sent = 0
    waited = sock.gettimeout()
    try:
        sock.settimeout(0.0)
        sent = sock.send(ciphertext)
        sock.settimeout(waited)
    except BlockingIOError:
        sock.settimeout(waited)
    except OSError:
        return
    finally:
        engine.unsent = ciphertext[sent:]


class TlsStream:
    """Implements ``protocol.websocket.StreamSocket`` over ``plain``, a non-blocking standard socket, which it owns.

    ``take_unread`` first: the pump knows of what the socket holds, not of what was decrypted before.
    """

    __slots__ = ("_accepted", "_engine", "_plain")
    recv_into_min: Final = 2 * RECORD_BYTES

    def __init__(self, plain: socket.socket | TlsStream, engine: TlsEngine) -> None:
        self._plain = plain
        self._engine = engine
        self._accepted = 0
        """Plain bytes of the last ``send`` whose ciphertext is not all on its way."""

    def setsockopt(self, *option: Any) -> None:
        """Of the connection below."""
        self._plain.setsockopt(*option)

    def fileno(self) -> int:
        return self._plain.fileno()

    def take_unread(self) -> bytes:
        """What came before this stream was made and nobody has read."""
        return self._engine.decrypt_left()

    def recv(self, size: int, /) -> bytes:
        """Read the socket once and decrypt all there is: up to a record more than ``size``. Nothing: the peer has ended."""
        engine = self._engine
        if engine.ended and not engine.unread:
            return b""
        data = self._plain.recv(size)
        try:
            plain = engine.decrypt(data)
        finally:
            self._flush_own()
        if plain:
            if engine.ended and data:
                self._make_readable()
            return plain
        if engine.ended:
            return b""
        raise BlockingIOError

    def recv_into(self, room: memoryview, /) -> int:
        """As ``recv``, for a ``room`` of at least ``recv_into_min`` bytes: decrypted where it belongs."""
        engine = self._engine
        if engine.ended and not engine.unread:
            return 0
        data = self._plain.recv(min(len(room) - RECORD_BYTES, BULK_BYTES))
        if not data:
            plain = engine.decrypt(data)
            room[: len(plain)] = plain
            return len(plain)
        try:
            count = engine.decrypt_into(data, room)
        finally:
            self._flush_own()
        if count:
            if engine.ended:
                self._make_readable()
            return count
        if engine.ended:
            return 0
        raise BlockingIOError

    def send(self, data: Buffer, /) -> int:
        """How many bytes of ``data`` are on their way.

        After BlockingIOError call again with the same bytes first: some of them may be encrypted already and wait for the socket.
        """
        self._flush()
        if not self._accepted:
            self._accepted = self._engine.encrypt(memoryview(data)[:BULK_BYTES])
            self._flush()
        accepted, self._accepted = self._accepted, 0
        return accepted

    def shutdown(self, how: int, /) -> None:
        """Say close_notify if the socket takes it, and end the connection's direction."""
        if how != socket.SHUT_RD:
            self._engine.say_goodbye()
            self._flush_own()
        self._plain.shutdown(how)

    def close(self) -> None:
        """Close the descriptor, without a word to the peer."""
        self._plain.close()

    def to_socket(self) -> TlsSocket:
        """The same connection in blocking style; it takes over the descriptor, and this object is of no more use."""
        plain = self._plain
        return TlsSocket(plain.to_socket() if isinstance(plain, TlsStream) else cooperative(plain), self._engine)

    def _flush(self) -> None:
        """Raises BlockingIOError unless everything is on its way."""
        ciphertext = self._engine.take_ciphertext()
        if not ciphertext:
            return
        sent = 0
        try:
            sent = self._plain.send(ciphertext)
        finally:
            self._engine.unsent = ciphertext[sent:]
        if sent < len(ciphertext):
            raise BlockingIOError

    def _make_readable(self) -> None:
        """The peer's goodbye came along with its last bytes, and behind it the connection may stay open: nothing would tell the pump."""
        with suppress(OSError):
            self._plain.shutdown(socket.SHUT_RD)

    def _flush_own(self) -> None:
        """What TLS itself has to say (an alert, new keys, close_notify): it goes when there is room, at the latest with the next data."""
        with suppress(OSError):
            self._flush()


class TlsSocket:
    """What servers and clients in blocking style use of a socket, over ``sock``, which it owns.

    A time-out is for a whole ``recv``, and for each 64 KiB of ``sendall``. One greenlet may receive while another sends. Closing says
    close_notify if the socket takes it at once.
    """

    def __init__(self, sock: Any, engine: TlsEngine) -> None:
        self._sock = sock
        self._engine = engine
        self._sending = gevent.lock.Semaphore(1)
        self._moved = False

    @property
    def tls(self) -> ssl.SSLObject:
        """For questions: version, cipher, the peer's certificate."""
        return self._engine.tls

    @property
    def family(self) -> int:
        return int(self._sock.family)

    @property
    def type(self) -> int:
        return int(self._sock.type)

    @property
    def proto(self) -> int:
        return int(self._sock.proto)

    def fileno(self) -> int:
        return int(self._sock.fileno())

    def getpeername(self) -> Any:
        return self._sock.getpeername()

    def getsockname(self) -> Any:
        return self._sock.getsockname()

    def setblocking(self, flag: bool, /) -> None:
        self._sock.setblocking(flag)

    def settimeout(self, value: float | None, /) -> None:
        self._sock.settimeout(value)

    def gettimeout(self) -> float | None:
        timeout: float | None = self._sock.gettimeout()
        return timeout

    def setsockopt(self, *option: Any) -> None:
        self._sock.setsockopt(*option)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def pending(self) -> int:
        """Bytes that ``recv`` gives without looking at the connection."""
        return len(self._engine.unread) + self._engine.tls.pending()

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """At most ``size`` bytes, at most a record; nothing when the peer has ended."""
        self._no_flags(flags)
        return self._receive(lambda: self._engine.read(size)) if size else b""

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0, /) -> int:
        """As ``recv``; how many bytes were put into ``buffer``."""
        view = memoryview(buffer).cast("B")
        data = self.recv(size or len(view), flags)
        view[: len(data)] = data
        return len(data)

    def send(self, data: Buffer, flags: int = 0, /) -> int:
        """Sends all of it, as ``sendall``."""
        self.sendall(data, flags)
        return memoryview(data).nbytes

    def sendall(self, data: Buffer, flags: int = 0, /) -> None:
        self._no_flags(flags)
        view = memoryview(data).cast("B")
        with self._sending:
            for start in range(0, len(view), SEND_BYTES):
                self._engine.encrypt(view[start : start + SEND_BYTES])
                self._sock.sendall(self._engine.take_ciphertext())

    def shutdown(self, how: int, /) -> None:
        """End a direction of the connection; close_notify first, if it is the way out and the socket takes it at once."""
        if how != socket.SHUT_RD:
            self._say_goodbye()
        self._sock.shutdown(how)

    def close(self) -> None:
        """Close the descriptor. After ``to_stream`` the connection lives on, and nothing is said to the peer."""
        if not self._moved and self._sock.fileno() >= 0:
            self._say_goodbye()
        self._sock.close()

    def to_stream(self) -> TlsStream:
        """The same connection for the pump, over a duplicate of the descriptor; this object can only be closed from now on."""
        self._moved = True
        if isinstance(self._sock, TlsSocket):
            return TlsStream(self._sock.to_stream(), self._engine)
        return TlsStream(plain_duplicate(self._sock), self._engine)

    def _receive(self, read: Callable[[], bytes]) -> bytes:
        data = read()
        if data or self._engine.ended:
            return data
        timeout = self.gettimeout()
        deadline = None if timeout is None else _clock.monotonic() + timeout
        try:
            while True:
                self._engine.feed(self._sock.recv(RECEIVE_BYTES))
                try:
                    data = read()
                finally:
                    self._flush_own()
                if data or self._engine.ended:
                    return data
                if deadline is not None and timeout:
                    # A record in many small parts: each must not begin the time anew.
                    self._sock.settimeout(max(deadline - _clock.monotonic(), 1e-3))
        finally:
            if timeout and self._sock.fileno() >= 0:
                self._sock.settimeout(timeout)

    def _flush_own(self) -> None:
        """What TLS itself has to say, unless a ``sendall`` is on its way, which takes it along."""
        if self._engine.has_ciphertext and self._sending.acquire(blocking=False):
            try:
                _send_what_fits(self._sock, self._engine)
            finally:
                self._sending.release()

    def _say_goodbye(self) -> None:
        if self._sending.acquire(blocking=False):
            try:
                self._engine.say_goodbye()
            finally:
                self._sending.release()
            self._flush_own()

    @staticmethod
    def _no_flags(flags: int) -> None:
        if flags:
            raise ValueError("flags mean nothing on a TLS connection")
