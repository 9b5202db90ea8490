"""An agent of bad character: speaks WebSocket by the ``websocket-client`` package, so that nothing of ours can hide what it sends."""

from __future__ import annotations

import json
from typing import Any, Self

import websocket

from tests.integration.harness import Hub


class Peer:
    """Connected and, unless ``greet`` is false, welcomed. Use as a context manager."""

    def __init__(self, hub: Hub, token: str, *, greet: bool = True) -> None:
        self.socket = websocket.create_connection(
            hub.client.url.replace("http", "ws") + "/ws/agent", header=[f"Authorization: Bearer {token}"], timeout=10
        )
        self.seq = 0
        self.received: list[dict[str, Any]] = []
        self.closed: int | None = None
        if greet:
            self._greet()

    def _greet(self) -> None:
        try:
            self.text({"type": "hello", "seq": 0, "ack": 0, "payload": {"protocol": [1], "agent": "peer"}})
            self.until("welcome")
        except BaseException:
            self.socket.shutdown()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close(timeout=1)
        # Its ``close`` leaves a socket open whose peer closed first.
        self.socket.shutdown()

    def text(self, message: Any) -> None:
        self.socket.send(message if isinstance(message, str) else json.dumps(message))

    def say(self, kind: str, payload: Any) -> None:
        """A numbered message."""
        self.seq += 1
        self.text({"type": kind, "seq": self.seq, "ack": 0, "payload": payload})

    def binary(self, data: bytes) -> None:
        self.socket.send_binary(data)

    def next(self) -> dict[str, Any] | None:
        """The next message; None when the hub closed the link, whose code is in ``closed`` then."""
        while True:
            try:
                opcode, data = self.socket.recv_data(control_frame=False)
            except (websocket.WebSocketConnectionClosedException, ConnectionError):
                self.closed = self.closed or 1006
                return None
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                self.closed = int.from_bytes(data[:2], "big") if len(data) >= 2 else 1005
                return None
            if opcode == websocket.ABNF.OPCODE_BINARY:
                self.on_binary(data)
                continue
            message: dict[str, Any] = json.loads(data)
            self.received.append(message)
            return message

    def on_binary(self, data: bytes) -> None:
        """For those who want to know what comes in."""

    def until(self, kind: str) -> dict[str, Any]:
        while (message := self.next()) is not None:
            if message["type"] == kind:
                return message
        raise AssertionError(f"closed with {self.closed} instead of {kind}; got {[m['type'] for m in self.received]}")

    def refusal(self) -> str:
        """The code of the ``error`` that comes, or ``closed <code>``. Fails when neither does."""
        while (message := self.next()) is not None:
            if message["type"] == "error":
                return str(message["payload"]["code"])
        return f"closed {self.closed}"
