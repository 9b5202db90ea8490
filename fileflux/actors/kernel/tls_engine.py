"""TLS without a socket: bytes of the connection in, plain bytes out, and the other way round (``ssl.MemoryBIO``).

What the connection is made of, ``TlsEngine``, belongs to no kind of socket, so it can be handed from one kind to another
(``actors.kernel.tls``). One greenlet may read while another writes; nothing in here waits.
"""

from __future__ import annotations

import errno
import ssl
from enum import Enum
from typing import Final

from fileflux.protocol.limits import KIB
from fileflux.protocol.link import Buffer

RECORD_BYTES: Final = 16 * KIB
"""The most that one record holds, and so one read."""
_HEAD_BYTES: Final = 5
PORTION: Final = RECORD_BYTES
"""What is encrypted at once. The library's buffer grows to what it once held and stays so, for each connection that sends much."""


class TlsFailure(Enum):
    """Why there is no TLS connection, for those who tell a person what to do."""

    NOT_TLS = "not_tls"
    PLAIN_HTTP = "plain_http"
    """A client spoke HTTP to a port that wants TLS."""
    VERSION = "version"
    UNKNOWN_CA = "unknown_ca"
    NAME_MISMATCH = "name_mismatch"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    CERTIFICATE = "certificate"
    """The certificate is refused for another reason."""
    REFUSED = "refused"
    """The other end ended the handshake or the connection with an alert."""
    CLOSED = "closed"
    TIMEOUT = "timeout"
    BROKEN = "broken"
    """What came does not belong to this connection: a byte was changed on its way, or somebody else wrote."""


class TlsError(ConnectionError):
    """TLS failed; the connection is of no more use. ``strerror`` is one line that names the reason."""

    def __init__(self, failure: TlsFailure, reason: str) -> None:
        # The number is what a connection gives that the peer has ended: those who look at it treat both alike.
        super().__init__(errno.ECONNRESET, reason)
        self.failure = failure


_VERIFY: Final = {
    9: TlsFailure.NOT_YET_VALID,
    10: TlsFailure.EXPIRED,
    2: TlsFailure.UNKNOWN_CA,
    18: TlsFailure.UNKNOWN_CA,
    19: TlsFailure.UNKNOWN_CA,
    20: TlsFailure.UNKNOWN_CA,
    21: TlsFailure.UNKNOWN_CA,
    62: TlsFailure.NAME_MISMATCH,
    64: TlsFailure.NAME_MISMATCH,
}
"""OpenSSL's X509_V_ERR_* numbers, which are part of its interface and have no names in Python."""

_REASONS: Final = {
    "HTTP_REQUEST": (TlsFailure.PLAIN_HTTP, "the other end speaks plain HTTP"),
    "HTTPS_PROXY_REQUEST": (TlsFailure.PLAIN_HTTP, "the other end takes this for an HTTP proxy"),
    "WRONG_VERSION_NUMBER": (TlsFailure.NOT_TLS, "the other end does not speak TLS"),
    "UNKNOWN_PROTOCOL": (TlsFailure.NOT_TLS, "the other end does not speak TLS"),
    "RECORD_LAYER_FAILURE": (TlsFailure.NOT_TLS, "the other end does not speak TLS"),
    "UNSUPPORTED_PROTOCOL": (TlsFailure.VERSION, "the other end speaks no TLS from 1.2 on"),
    "TLSV1_ALERT_PROTOCOL_VERSION": (TlsFailure.VERSION, "the other end refuses this version of TLS"),
    "TLSV1_ALERT_UNKNOWN_CA": (TlsFailure.REFUSED, "the other end does not know the CA of this certificate"),
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": (TlsFailure.REFUSED, "the other end finds this certificate expired"),
    "SSLV3_ALERT_BAD_CERTIFICATE": (TlsFailure.REFUSED, "the other end refuses this certificate"),
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": (TlsFailure.REFUSED, "the other end refuses this certificate"),
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC": (TlsFailure.BROKEN, "a byte was changed on its way"),
}


def explain(error: ssl.SSLError) -> TlsError:
    """The same failure with a reason to act on, and one line without the library's file names."""
    if isinstance(error, ssl.SSLCertVerificationError):
        failure = _VERIFY.get(error.verify_code, TlsFailure.CERTIFICATE)
        return TlsError(failure, f"the certificate is refused: {error.verify_message.rstrip('.')}")
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return TlsError(TlsFailure.CLOSED, "the other end closed the connection")
    # One that was not made by the library has none.
    reason = getattr(error, "reason", None) or ""
    if reason in _REASONS:
        return TlsError(*_REASONS[reason])
    failure = TlsFailure.REFUSED if "_ALERT_" in reason else TlsFailure.BROKEN
    return TlsError(failure, f"TLS failed: {(reason or str(error)).lower().replace('_', ' ')}")


class _RecordMeter:
    """Where records end (RFC 8446 §5.1), so that the library is asked for what it has and never says that it wants more.

    Asking in vain costs it an exception, which is as much as decrypting half a record. It looks at lengths only and believes nothing.
    """

    __slots__ = ("_head", "_missing")

    def __init__(self) -> None:
        self._head = b""
        self._missing = 0

    def follow(self, data: memoryview, start: int) -> tuple[int, bool]:
        """Where the record that goes on at ``start`` ends in ``data``, or else the end of ``data``; and whether it is whole then."""
        if not self._missing:
            behind = start + _HEAD_BYTES
            if not self._head and behind <= len(data):
                # Nearly every record of bulk data.
                self._missing = data[start + 3] << 8 | data[start + 4]
                start = behind
            else:
                wanted = _HEAD_BYTES - len(self._head)
                head = self._head + bytes(data[start : start + wanted])
                if len(head) < _HEAD_BYTES:
                    self._head = head
                    return len(data), False
                self._head = b""
                start += wanted
                self._missing = int.from_bytes(head[3:], "big")
            if not self._missing:
                return start, True
        end = start + self._missing
        if end > len(data):
            self._missing = end - len(data)
            return len(data), False
        self._missing = 0
        return end, True

    def skip(self, data: memoryview) -> None:
        """Follow all of ``data``."""
        at = 0
        while at < len(data):
            at, _ = self.follow(data, at)


class TlsEngine:
    """One connection's TLS. Raises TlsError; afterwards only ``take_ciphertext`` (the alert for the peer) makes sense."""

    __slots__ = ("_goodbye_said", "_incoming", "_meter", "_outgoing", "_tls", "ended", "unread", "unsent")

    def __init__(self, context: ssl.SSLContext, server_hostname: str | None = None, *, server: bool = False) -> None:
        self._incoming = ssl.MemoryBIO()
        self._meter = _RecordMeter()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server, server_hostname=server_hostname
        )
        self._goodbye_said = False
        self.ended = False
        """The peer has said all it will say."""
        self.unread = b""
        """Decrypted, and not yet asked for."""
        self.unsent = memoryview(b"")
        """Encrypted, and not yet taken by the socket."""

    @property
    def tls(self) -> ssl.SSLObject:
        """For questions: version, cipher, the peer's certificate."""
        return self._tls

    def handshake(self) -> bool:
        """Go on with what came in; True when it is done. Send ``take_ciphertext`` after each step, also after one that raises."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            raise explain(error) from None
        return True

    def feed(self, data: Buffer) -> None:
        """Bytes from the connection; nothing at all means its end."""
        if data:
            self._meter.skip(memoryview(data))
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def decrypt(self, data: bytes) -> bytes:
        """Everything that can be read now that ``data`` has come (nothing: the connection's end), with what was left unread before.

        Call ``decrypt_left`` once before the first of a row of these.
        """
        parts = [self.unread] if self.unread else []
        self.unread = b""
        view = memoryview(data)
        follow, write, read = self._meter.follow, self._incoming.write, self.read
        size, at = len(view), 0
        while at < size:
            start = at
            at, whole = follow(view, at)
            write(view[start:at])
            if whole and (part := read(RECORD_BYTES)):
                parts.append(part)
        if not data:
            self._incoming.write_eof()
            parts.append(self.read(RECORD_BYTES))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def decrypt_into(self, data: Buffer, room: memoryview) -> int:
        """As ``decrypt``, into ``room``, which has space for ``data`` and a record more; how many bytes that are."""
        filled = len(self.unread)
        room[:filled], self.unread = self.unread, b""
        view = memoryview(data)
        follow, write, read = self._meter.follow, self._incoming.write, self._tls.read
        size, at = len(view), 0
        while at < size and not self.ended:
            start = at
            at, whole = follow(view, at)
            write(view[start:at])
            if not whole:
                continue
            try:
                # With a buffer the library answers with a number; the stubs know only the call without one.
                count: int = read(RECORD_BYTES, room[filled:])  # type: ignore[assignment]  # see above
            except ssl.SSLWantReadError:
                # A record of TLS's own, such as new keys.
                continue
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                count = 0
            except ssl.SSLError as error:
                raise explain(error) from None
            self.ended = not count
            filled += count
        return filled

    def decrypt_left(self) -> bytes:
        """Everything that can be read of what has come so far."""
        parts = []
        while part := self.read(RECORD_BYTES):
            parts.append(part)
        return b"".join(parts)

    def read(self, size: int) -> bytes:
        """One read of at most a record; nothing when more bytes are needed, or for good once ``ended``."""
        if self.unread:
            taken, self.unread = self.unread[:size], self.unread[size:]
            return taken
        if self.ended:
            return b""
        try:
            part = self._tls.read(size)
        except ssl.SSLWantReadError:
            return b""
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            # A connection cut without TLS's own goodbye looks the same: what is above has its own ends of messages.
            part = b""
        except ssl.SSLError as error:
            raise explain(error) from None
        self.ended = not part
        return part

    def encrypt(self, data: Buffer) -> int:
        """Take ``data`` to be sent: all of it. The ciphertext is in ``take_ciphertext``."""
        view = memoryview(data)
        parts: list[Buffer] = [self.unsent] if self.unsent else []
        try:
            for start in range(0, len(view), PORTION):
                self._tls.write(view[start : start + PORTION])
                parts.append(self._outgoing.read())
        except ssl.SSLError as error:
            raise explain(error) from None
        if parts:
            self.unsent = memoryview(b"".join(parts) if len(parts) > 1 else parts[0])
        return len(view)

    def take_ciphertext(self) -> memoryview:
        """What has to be sent now, in this order; put back into ``unsent`` what the socket does not take."""
        left, self.unsent = self.unsent, memoryview(b"")
        if not self._outgoing.pending:
            return left
        made = self._outgoing.read()
        return memoryview(b"".join((left, made)) if left else made)

    @property
    def has_ciphertext(self) -> bool:
        return bool(self.unsent) or self._outgoing.pending > 0

    def say_goodbye(self) -> None:
        """Put close_notify behind what is to be sent; repeating it does nothing."""
        if self._goodbye_said:
            return
        self._goodbye_said = True
        try:
            self._tls.unwrap()
        except (ssl.SSLError, ValueError):
            # It wants to wait for the peer's goodbye, or the connection is broken: ours is as far out as it will get.
            return
