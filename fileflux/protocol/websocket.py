"""One WebSocket as a ``Link``: the ``websockets`` package's sans-I/O protocol over a non-blocking socket that a pump serves.

Both ends use it. All reading and writing happens in the pump's turns, so the methods of ``Link`` only queue and never block; whoever holds
the link calls ``tick`` about once a second, which pings, ends a close that the peer does not answer, and gives up a peer that takes nothing.

The socket is duck-typed: ``recv``, ``recv_into`` and ``send`` must answer at once, with BlockingIOError when there is nothing to do. gevent's own sockets
wait inside these calls instead, so give a plain socket over a duplicate of the descriptor (``actors.kernel.sockets.plain_socket``).

Messages are serialised one at a time, when the socket takes the one before: what is queued costs no second copy, texts overtake, and
``drop`` finds what has not left. A turn parses a bounded number of frames: 256 KiB may hold 40,000 pings.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Literal

from websockets.exceptions import ProtocolError
from websockets.frames import Close
from websockets.protocol import Protocol as WebSocketProtocol
from websockets.protocol import Side, State

from fileflux.clock import Clock
from fileflux.errors import LocalProtocolError
from fileflux.protocol.limits import KIB, MIB, Limits
from fileflux.protocol.link import Buffer, Cut, LinkHandler
from fileflux.protocol.pumped import Channel, SocketPump, StreamSocket
from fileflux.protocol.unsent import Outgoing, Unsent
from fileflux.protocol.upgrade import UpgradeRefusedError, client_handshake, server_accept
from fileflux.protocol.websocket_frames import binary_frame
from fileflux.protocol.websocket_reader import CLOSE_POLICY, WebSocketReader

__all__ = ["UpgradeRefusedError", "WebSocketLink", "client_handshake", "server_accept"]

RECEIVE_BYTES: Final = 256 * KIB
RECEIVE_REST: Final = MIB
SEND_BYTES: Final = MIB
"""Per turn of the pump."""
SEND_REST: Final = 4 * KIB
"""Less than this is left for the next turn: the first bytes of a frame are not worth a call."""
REASON_BYTES: Final = 123
"""A close frame has room for no more (RFC 6455 §5.5)."""
CLOSE_ABNORMAL: Final = 1006


class WebSocketLink:
    """Implements ``link.Link``. Owns ``sock`` from now on; ``pending`` are bytes that came in behind the handshake."""

    transport: Final = "websocket"

    def __init__(
        self,
        sock: StreamSocket,
        side: Literal["client", "server"],
        pump: SocketPump,
        limits: Limits,
        clock: Clock,
        peer: str = "",
        pending: bytes = b"",
    ) -> None:
        self._peer = peer
        self._sock = sock
        self._pump = pump
        self._limits = limits
        self._clock = clock
        self._protocol = WebSocketProtocol(
            Side.CLIENT if side == "client" else Side.SERVER,
            state=State.OPEN,
            max_size=max(limits.max_binary_bytes, limits.max_text_bytes),
        )
        self._channel: Channel | None = None
        self._handler: LinkHandler | None = None
        self._finished = False
        # Set by close() here, or by a violation of the peer: what on_closed will say.
        self._closing: tuple[int, str] | None = None
        self._closing_since: float | None = None
        self._reader = WebSocketReader(self._protocol, limits, clock, self._violated)
        self._reader.take(pending)
        # TLS decrypts whole records only, and says how much room that takes.
        self._room_min: int = getattr(sock, "recv_into_min", 1)
        # Out
        self._texts: deque[str] = deque()
        self._binaries: deque[Outgoing] = deque()
        self._queued_bytes = 0
        self._wire: deque[Buffer] = deque()
        self._wire_view: memoryview | None = None
        self._sending: Outgoing | None = None
        self._waiting = False
        self._progress_at = self._pinged_at = clock.monotonic()
        self._unsent = Unsent(sock, limits)

    # Link

    @property
    def peer(self) -> str:
        return self._peer

    @property
    def queued_bytes(self) -> int:
        return self._queued_bytes

    def start(self, handler: LinkHandler) -> None:
        self._handler = self._reader.handler = handler
        if self._finished:
            handler.on_closed(*self._verdict())
        elif self._channel is None:
            self._channel = self._pump.register(self._sock, self)
            self._wake()

    def send_text(self, text: str) -> None:
        if self._finished or self._closing is not None:
            return
        if len(self._texts) >= 4 * self._limits.outbox_max:
            self._violated(CLOSE_POLICY, "too many messages wait for this peer")
            return
        self._texts.append(text)
        self._wake()

    def send_binary(
        self, data: Buffer, *, tag: int = 0, on_sent: Callable[[], None] | None = None, cut: Cut | None = None
    ) -> None:
        if self._finished or self._closing is not None:
            if on_sent is not None:
                on_sent()
            return
        message = Outgoing(data, len(data), tag, on_sent, cut)
        self._binaries.append(message)
        self._queued_bytes += message.size
        self._wake()

    def drop(self, tag: int) -> int:
        dropped = [message for message in self._binaries if message.tag == tag]
        if dropped:
            self._binaries = deque(message for message in self._binaries if message.tag != tag)
            self._let_go(dropped)
        return sum(message.size for message in dropped)

    def close(self, code: int, reason: str) -> None:
        """Queued texts still go out, queued binary messages do not. What comes in from now on is ignored."""
        if self._finished or self._closing is not None:
            return
        try:
            Close(code, "").check()
        except ProtocolError:
            raise LocalProtocolError(f"{code} is no code to close with") from None
        self._begin_closing(code, reason)
        if self._channel is None:
            self._finish()

    @property
    def answered(self) -> bool:
        """See ``Link``."""
        protocol = self._protocol
        return protocol.close_sent is not None and protocol.close_rcvd is not None and not protocol.close_rcvd_then_sent

    def tick(self, now: float) -> None:
        """Time has passed; call about once a second from ``start`` to ``on_closed``."""
        if self._finished or self._channel is None:
            return
        if self._protocol.state is State.CLOSING and self._closing_since is None:
            self._closing_since = now
        if self._closing_since is not None and now - self._closing_since >= self._limits.handshake_timeout:
            self._finish()
            return
        if self._pending_output and now - self._progress_at >= self._limits.silence_timeout:
            self._closing = self._closing or (CLOSE_ABNORMAL, "the peer takes no bytes")
            self._finish()
            return
        if self._reader.behind:
            self._parse()
        if (
            not self._finished
            and self._protocol.state is State.OPEN
            and now - self._pinged_at >= self._limits.ping_interval
        ):
            self._pinged_at = now
            self._protocol.send_ping(b"")
            self._wake()

    # Turns of the pump

    def readable(self) -> None:
        """The socket has bytes. For the pump."""
        if not self._reader.behind:
            try:
                received = self._receive()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._lost(error)
                return
            if not received:
                self._protocol.receive_eof()
                self._after_input()
                return
            if self._handler is not None:
                self._handler.on_life()
        self._parse()
        self._receive_rest()

    def writable(self) -> None:
        """The socket takes bytes. For the pump."""
        if self._reader.behind:
            self._parse()
        budget = SEND_BYTES
        while budget >= SEND_REST and not self._finished:
            if self._wire_view is None and not self._load():
                self._unsent.drained()
                self._progress_at = self._clock.monotonic()
                if not self._reader.behind and self._channel is not None:
                    self._waiting = False
                    self._channel.want_write(False)
                return
            view = self._wire_view
            if view is None:
                continue
            try:
                sent = self._sock.send(view[: min(budget, self._unsent.most)])
            except (BlockingIOError, InterruptedError):
                self._unsent.full(self._clock.monotonic())
                return
            except OSError as error:
                self._lost(error)
                return
            budget -= sent
            self._unsent.took(sent)
            self._progress_at = self._clock.monotonic()
            self._wire_view = view[sent:] if sent < len(view) else None
            if self._wire_view is None and not self._wire and self._sending is not None:
                message, self._sending = self._sending, None
                self._let_go([message])

    def failed(self, error: Exception) -> None:
        """A turn raised, or the pump stops. For the pump."""
        self._closing = self._closing or (CLOSE_ABNORMAL, type(error).__name__)
        self._finish()

    # In

    def _receive(self) -> int:
        """Read the socket once; how many bytes came, 0 at its end."""
        if (room := self._room()) is not None:
            count = self._sock.recv_into(room)
            self._reader.filled(count)
            return count
        data = self._sock.recv(RECEIVE_BYTES)
        if data:
            self._reader.take(data)
        return len(data)

    def _room(self) -> memoryview | None:
        room = self._reader.room
        return room if room is not None and len(room) >= self._room_min else None

    def _receive_rest(self) -> None:
        """Of a large frame that has begun: most of it is there as well, and a turn of its own costs as much as to copy 256 KiB."""
        budget = RECEIVE_REST
        while budget > 0 and not self._finished and (room := self._room()) is not None:
            try:
                count = self._sock.recv_into(room)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._lost(error)
                return
            if not count:
                # The end, which the next turn finds again.
                return
            self._reader.filled(count)
            self._parse()
            budget -= count

    def _parse(self) -> None:
        if self._handler is not None:
            self._reader.parse()
            self._after_input()

    def _after_input(self) -> None:
        if self._finished:
            return
        if self._protocol.state is State.CLOSED:
            self._finish()
        elif self._protocol.writes or self._reader.behind:
            self._wake()

    # Out

    @property
    def _pending_output(self) -> bool:
        return bool(self._wire_view is not None or self._wire or self._protocol.writes or self._texts or self._binaries)

    def _wake(self) -> None:
        if self._channel is None or self._finished:
            return
        if not self._waiting:
            # Nothing was: the peer's time to take bytes begins now. More of it does not begin it anew.
            self._waiting = True
            self._progress_at = self._clock.monotonic()
        self._channel.want_write(True)

    def _load(self) -> bool:
        """Put the next bytes into ``_wire_view``; False when there are none. True without a view: call again."""
        if not self._wire:
            self._serialise()
        if not self._wire:
            return False
        data = self._wire.popleft()
        if data:
            self._wire_view = memoryview(data)
        else:
            # The protocol's sign for the end of what this side says; 1 is SHUT_WR.
            try:
                self._sock.shutdown(1)
            except OSError as error:
                self._lost(error)
        return True

    def _serialise(self) -> None:
        protocol = self._protocol
        if not protocol.writes and protocol.state is State.OPEN:
            if self._texts:
                protocol.send_text(self._texts.popleft().encode())
            elif self._closing is not None:
                code, reason = self._closing
                protocol.send_close(code, reason)
            elif self._binaries:
                self._sending = self._next_binary()
                self._wire.extend(binary_frame(self._sending.data, masked=protocol.side is Side.CLIENT))
        self._wire.extend(protocol.data_to_send())

    def _next_binary(self) -> Outgoing:
        message = self._binaries.popleft()
        if message.cut is None or not self._unsent.seen or message.size <= 2 * self._unsent.most:
            return message
        parts = [Outgoing(part, len(part), message.tag, None) for part in message.cut(message.data, self._unsent.most)]
        parts[-1].on_sent = message.on_sent
        self._queued_bytes += sum(part.size for part in parts) - message.size
        self._binaries.extendleft(reversed(parts[1:]))
        return parts[0]

    def _let_go(self, messages: list[Outgoing]) -> None:
        # All of them are out of the queue by now: a callback may queue more, or drop, or close.
        self._queued_bytes -= sum(message.size for message in messages)
        for message in messages:
            if message.on_sent is not None:
                message.on_sent()

    # The end

    def _begin_closing(self, code: int, reason: str) -> None:
        self._closing = (code, reason.encode("utf-8", "replace")[:REASON_BYTES].decode("utf-8", "ignore"))
        self._closing_since = self._clock.monotonic()
        self._reader.listening = False
        dropped, self._binaries = list(self._binaries), deque()
        self._let_go(dropped)
        self._wake()

    def _violated(self, code: int, reason: str) -> None:
        """The peer broke the rules of the transport; its close frame is ours to send, and nothing else."""
        if self._closing is None:
            self._texts.clear()
            self._begin_closing(code, reason)

    def _lost(self, error: OSError) -> None:
        self._closing = self._closing or (CLOSE_ABNORMAL, error.strerror or type(error).__name__)
        self._finish()

    def _finish(self) -> None:
        if self._finished:
            return
        self._finished = True
        if self._channel is not None:
            self._channel.close()
        with suppress(OSError):
            # 2 is SHUT_RDWR: ends the connection even if another descriptor of it is still open somewhere.
            self._sock.shutdown(2)
        self._sock.close()
        left = [*([self._sending] if self._sending is not None else []), *self._binaries]
        self._sending, self._wire_view = None, None
        self._reader.clear()
        for queue in (self._binaries, self._texts, self._wire):
            queue.clear()
        self._let_go(left)
        if self._handler is not None:
            self._handler.on_closed(*self._verdict())

    def _verdict(self) -> tuple[int, str]:
        said = self._protocol.close_rcvd or self._protocol.close_sent
        if self._closing is not None:
            return self._closing
        if said is not None:
            return said.code, said.reason
        return CLOSE_ABNORMAL, "the connection was cut"
