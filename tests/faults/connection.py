"""One connection through the fault proxy: two sockets, two directions, and what its rule says of them."""

from __future__ import annotations

import errno
import socket
import time
from dataclasses import dataclass, replace

from tests.faults.bandwidth import Bucket
from tests.faults.http import Gate, To
from tests.faults.loop import Loop, Timer
from tests.faults.pipe import Mark, Peer, Pipe
from tests.faults.rules import End, Http, Mode, Rule

LINGER = 5.0
"""After an orderly end by the proxy: so long the peers may still send into the void, as nginx lingers, before their sockets close."""
SEND_BUFFER = 256 * 1024
MSS = 1460
"""Loopback's own of 64 KiB gives windows and buffers that no network has, and stalls where a buffer is smaller."""
DEFAULT_ADDRESS = "127.0.0.1"
IP_BIND_ADDRESS_NO_PORT = 24

Target = tuple[socket.AddressFamily, tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Buckets:
    """The link that a connection shares with those of the same rule."""

    up: Bucket | None = None
    down: Bucket | None = None

    @classmethod
    def of(cls, loop: Loop, rule: Rule) -> Buckets:
        up, down = (None if way.bandwidth is None else Bucket(loop, way.bandwidth) for way in (rule.up, rule.down))
        return cls(up, down)


def new_socket(family: socket.AddressFamily, queue: int) -> socket.socket:
    """A socket that behaves as one on a network, not yet bound or connected. ``queue``: what its peer may send ahead at first."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, MSS)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, queue)
    sock.setblocking(False)
    return sock


class Connection:
    """A connection's record, which tests read at any time, and its handling, which belongs to the proxy's loop."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        target: Target,
        *,
        index: int,
        rule: Rule,
        buckets: Buckets,
        seed: int,
        address: str,
    ) -> None:
        self.index = index
        """1 for the proxy's first."""
        self.rule = rule
        self.opened_at = time.monotonic()
        self.last_byte_at = self.opened_at
        self.closed_at: float | None = None
        """When it ended for its peers; None while it is open."""
        self.cause = ""
        """Why it ended: ``peers``, ``reset by a peer``, ``server refused``, ``fault``, ``idle``, ``cut``, ``refused``."""
        self.client_address = sock.getpeername()
        self._loop = loop
        self._target = target
        self._lingering = False
        self._timers: list[Timer] = []
        self._gate = None if rule.http is None else Gate(self._http)
        outgoing = new_socket(target[0], rule.down.queue)
        if target[0] == sock.family and address != DEFAULT_ADDRESS:
            outgoing.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            outgoing.bind((address, 0))
        for each in (sock, outgoing):
            each.setblocking(False)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # What is sent is behind the link already: the receiver alone may hold it up, and not by megabytes of ours.
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._client = Peer(loop, sock)
        self._server = Peer(loop, outgoing, self._needed)
        self.up = Pipe(self, loop, self._client, self._server, rule.up, buckets.up, f"{seed}-{index}-up")
        self.down = Pipe(self, loop, self._server, self._client, rule.down, buckets.down, f"{seed}-{index}-down")
        self._client.reader, self._client.writer = self.up, self.down
        self._server.reader, self._server.writer = self.down, self.up

    @property
    def open(self) -> bool:
        return self.closed_at is None

    @property
    def upgraded(self) -> bool:
        """A 101 has passed. Seen only by rules with ``http``."""
        return self._gate is not None and self._gate.upgraded

    @property
    def requests(self) -> tuple[str, ...]:
        """``GET /path`` of each request. Seen only by rules with ``http``."""
        return () if self._gate is None else tuple(self._gate.requests)

    @property
    def swallowed(self) -> int:
        """Binary WebSocket messages that vanished."""
        return 0 if self._gate is None else self._gate.swallowed

    def __repr__(self) -> str:
        state = "open" if self.open else f"ended: {self.cause}"
        return f"<connection {self.index}, up {self.up.delivered}, down {self.down.delivered}, {state}>"

    def start(self) -> None:
        if self.rule.refuse:
            self.end(End.RESET, "refused")
            return
        if self._gate is None:
            self._connect()
        self._watch_idle()
        self.up.configure(self.rule.up, self.up.bucket)

    def set_rule(self, rule: Rule, buckets: Buckets) -> None:
        """Another rule from now on."""
        self.rule = rule
        if self.closed_at is not None:
            return
        if rule.refuse:
            self.end(End.RESET, "refused")
            return
        self._watch_idle()
        self.up.configure(rule.up, buckets.up)
        self.down.configure(rule.down, buckets.down)

    def end(self, how: End, cause: str) -> None:
        """End it now, whatever is in its lines."""
        if self.closed_at is not None:
            return
        self._closed(cause)
        match how:
            case End.RESET:
                self.destroy(reset=True)
            case End.SILENCE:
                for pipe in (self.up, self.down):
                    pipe.configure(replace(pipe.way, mode=Mode.STOP), None)
            case End.FIN | End.HALF:
                self._lingering = True
                self._timers.append(self._loop.at(time.monotonic() + LINGER, self.destroy))
                if not self._server.connected:
                    self._server.close()
                for pipe in (self.up, self.down):
                    pipe.sink.shutdown()
                    pipe.abandon()
                self.settled()

    def destroy(self, *, reset: bool = False) -> None:
        """Close both sockets."""
        if self.closed_at is None:
            self._closed("cut")
        for timer in self._timers:
            timer.cancel()
        for pipe in (self.up, self.down):
            pipe.forget()
        for peer in (self._client, self._server):
            peer.close(reset=reset)

    def take(self, pipe: Pipe, data: bytes) -> None:
        """Bytes that ``pipe`` has read."""
        self.last_byte_at = time.monotonic()
        if self._gate is None:
            pipe.put(data)
            return
        for step in self._gate.up(data) if pipe is self.up else self._gate.down(data):
            target = self.up if step.to is To.SERVER else self.down
            if step.data:
                target.put(step.data)
            if step.end is not None:
                target.put_end(step.end)

    def broken(self, peer: Peer) -> None:
        """A socket gave an error: its end can be told nothing more, and the other end learns of it behind what it said."""
        peer.writer.abandon()
        peer.reader.source_ended(Mark.RESET)

    def settled(self) -> None:
        """A direction has come to its end."""
        if self._lingering:
            if all(pipe.source.closed or pipe.ended_at is not None for pipe in (self.up, self.down)):
                self.destroy()
        elif self.closed_at is None and self.up.finished and self.down.finished:
            self._closed("peers")
            self.destroy()

    def _closed(self, cause: str) -> None:
        self.closed_at = time.monotonic()
        self.cause = cause

    def _http(self) -> Http:
        return self.rule.http or Http()

    def _needed(self) -> None:
        """The first bytes for the server, or a client that went without any."""
        if self.up.passed:
            self._connect()
        else:
            self.end(End.FIN, "peers")

    def _connect(self) -> None:
        self._server.opening = None
        error = self._server.sock.connect_ex(self._target[1])
        if error == errno.EINPROGRESS:
            self._server.on_connected = self._connected
            self._server.want(write=True)
        else:
            self._connected(error)

    def _connected(self, error: int | None = None) -> None:
        if error is None:
            error = self._server.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self.end(End.RESET, "server refused")
            return
        self._server.connected = True
        self.down.configure(self.down.way, self.down.bucket)
        self.up.deliver()

    def _watch_idle(self) -> None:
        if self.rule.idle_kill is not None:
            self._timers = [timer for timer in self._timers if timer.call is not None]
            self._timers.append(self._loop.at(self.last_byte_at + self.rule.idle_kill, self._look_idle))

    def _look_idle(self) -> None:
        if self.closed_at is not None or self.rule.idle_kill is None:
            return
        if time.monotonic() - self.last_byte_at >= self.rule.idle_kill:
            self.end(self.rule.idle_end, "idle")
        else:
            self._watch_idle()
