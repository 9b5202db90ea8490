"""Many idle agents in one process: plain sockets, frames by hand, a heartbeat each at its time. Run by load.py.

    python load_agents.py PORT TOKEN_FILE INTERVAL_SECONDS

TOKEN_FILE has one token a line. The agents spread over 127.0.0.0/8, 200 an address. Prints ``connected N`` when all are welcome, then once a
second ``beats B acked A lost L`` until its standard input ends.
"""

from __future__ import annotations

import base64
import os
import re
import selectors
import socket
import sys
import time
from collections import deque
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fileflux.protocol.codec import encode, encode_payload, wrap
from fileflux.protocol.limits import PROTOCOL_VERSIONS
from fileflux.protocol.messages import Heartbeat, Hello

PER_ADDRESS = 200
AT_ONCE = 100
"""Handshakes at once: a hub that restarts gets its agents back about so."""
TEXT, PING, PONG, CLOSE = 0x1, 0x9, 0xA, 0x8
SEQ = re.compile(rb'"seq":(\d+)')
BEAT = encode_payload(Heartbeat(60.0, 0, 0.1))


def frame(opcode: int, payload: bytes) -> bytes:
    """A masked frame. The mask is zero: this peer measures, it defends nothing."""
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
    return bytes([0x80 | opcode]) + size + bytes(4) + payload


class Idle:
    """One agent."""

    def __init__(self, port: int, token: str, number: int) -> None:
        self.number = number
        self.welcome = False
        self.upgraded = False
        self.lost = False
        self.acked = 0
        self._seq = 0
        self._hub_seq = 0
        self._got = b""
        self.sock = socket.socket()
        self.sock.bind((f"127.0.{1 + number // PER_ADDRESS // 250}.{1 + number // PER_ADDRESS % 250}", 0))
        self.sock.setblocking(False)
        self.sock.connect_ex(("127.0.0.1", port))
        key = base64.b64encode(os.urandom(16)).decode()
        self._request = (
            f"GET /ws/agent HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode()

    def connected(self) -> None:
        self.sock.send(self._request)

    def readable(self) -> None:
        try:
            data = self.sock.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.lost = True
            return
        self._got += data
        if not self.upgraded:
            head, end, rest = self._got.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                raise SystemExit(f"agent {self.number}: {head.partition(bytes(1))[0][:200]!r}")
            self.upgraded, self._got = True, rest
            self._send(encode(Hello(PROTOCOL_VERSIONS, f"idle-{self.number}"), 0, 0))
        self._frames()

    def beat(self) -> None:
        self._seq += 1
        self._send(wrap(Heartbeat.TYPE, self._seq, self._hub_seq, BEAT))

    def _send(self, text: str) -> None:
        try:
            self.sock.send(frame(TEXT, text.encode()))
        except OSError:
            self.lost = True

    def _frames(self) -> None:
        while len(self._got) >= 2:
            size, start = self._got[1], 2
            if size == 126:
                size, start = int.from_bytes(self._got[2:4], "big"), 4
            if len(self._got) < start + size:
                return
            opcode, payload = self._got[0] & 0xF, self._got[start : start + size]
            self._got = self._got[start + size :]
            if opcode == PING:
                self.sock.send(frame(PONG, payload))
            elif opcode == CLOSE:
                self.lost = True
            elif opcode == TEXT:
                self._text(payload)

    def _text(self, payload: bytes) -> None:
        found = SEQ.search(payload)
        if found is not None and int(found[1]):
            self._hub_seq = max(self._hub_seq, int(found[1]))
        if payload.startswith(b'{"type":"welcome"'):
            self.welcome = True
        elif payload.startswith(b'{"type":"heartbeat_ack"'):
            self.acked += 1


def main() -> None:
    port, interval = int(sys.argv[1]), float(sys.argv[3])
    tokens = Path(sys.argv[2]).read_text().split()
    selector = selectors.DefaultSelector()
    agents = connect(selector, port, tokens)
    print(f"connected {len(agents)}", flush=True)
    selector.register(sys.stdin, selectors.EVENT_READ, None)
    beat(selector, agents, interval)


def connect(selector: selectors.BaseSelector, port: int, tokens: list[str]) -> list[Idle]:
    waiting, agents = deque(enumerate(tokens)), list[Idle]()
    open_now: set[Idle] = set()
    while waiting or open_now:
        while waiting and len(open_now) < AT_ONCE:
            number, token = waiting.popleft()
            agent = Idle(port, token, number)
            selector.register(agent.sock, selectors.EVENT_WRITE, agent)
            agents.append(agent)
            open_now.add(agent)
        for key, events in selector.select(5.0):
            agent = key.data
            if events & selectors.EVENT_WRITE:
                agent.connected()
                selector.modify(agent.sock, selectors.EVENT_READ, agent)
            else:
                agent.readable()
            if agent.lost:
                raise SystemExit(f"agent {agent.number} was lost before its welcome")
            if agent.welcome:
                open_now.discard(agent)
    return agents


def beat(selector: selectors.BaseSelector, agents: list[Idle], interval: float) -> None:
    """Everybody in turn, evenly over the interval."""
    every = interval / len(agents)
    began = time.monotonic()
    beats, said = 0, 0.0
    while True:
        now = time.monotonic() - began
        while beats * every <= now:
            agents[beats % len(agents)].beat()
            beats += 1
        for key, _ in selector.select(max(0.0, beats * every - now)):
            if key.data is None:
                return
            key.data.readable()
            if key.data.lost:
                selector.unregister(key.data.sock)
        if now - said >= 1.0:
            said = now
            lost = sum(agent.lost for agent in agents)
            print(f"beats {beats} acked {sum(agent.acked for agent in agents)} lost {lost}", flush=True)


if __name__ == "__main__":
    main()
