"""The two ends of a transfer as peers that a test scripts: they can say whatever an agent of ours never would."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg2
import websocket
import zstandard

from fileflux.protocol.frames import Piece, WholeFrame, iter_binary
from fileflux.protocol.limits import DEFAULT_LIMITS, HEADER_SIZE
from fileflux.storage.cluster import DATABASE, USER, Cluster
from tests.integration.harness import Agent, Hub
from tests.integration.peer import Peer

CHUNK = 256 * 1024


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def zstd(data: bytes, **options: Any) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(data)


def numbered(chunks: int, chunk_size: int = CHUNK) -> bytes:
    """Content that shrinks and in which every chunk is another."""
    return b"".join(os.urandom(4096) * (chunk_size // 4096) for _ in range(chunks))


def audited(hub: Hub, actor: str) -> set[str]:
    """Codes of what was refused to ``actor``, from the audit log itself."""
    cluster = Cluster((hub.folder / "hub").absolute())
    connection = psycopg2.connect(
        user=USER, password=cluster.password, dbname=DATABASE, host=str(cluster.socket_folder())
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT DISTINCT detail->>'code' FROM audit WHERE actor = %s AND action = 'message.refused'", (actor,)
            )
            return {row[0] for row in cursor.fetchall()}
    finally:
        connection.close()


class End(Peer):
    """What both ends share. ``errors`` holds the codes of all refusals so far."""

    wire = 0
    errors: list[str]

    def __init__(self, hub: Hub, token: str) -> None:
        self.errors = []
        self.hub = hub
        super().__init__(hub, token)

    def next(self) -> dict[str, Any] | None:
        message = super().next()
        if message is not None and message["type"] == "error":
            self.errors.append(message["payload"]["code"])
        return message

    def items(self, kind: str, *items: dict[str, Any]) -> None:
        """A message of items, each of this end's transfer unless it names another."""
        self.say(kind, {"items": [{"transfer_id": self.wire, **item} for item in items]})

    def settled(self, refusals: int = 0) -> None:
        """Everything said so far was handled and, with what it caused, at least so many refusals came; or the link is closed."""
        while len(self.errors) < refusals and self.next() is not None:
            pass
        # A refusal passes three mailboxes at most; the answer to a heartbeat passes one.
        for _ in range(3):
            self.say("heartbeat", {"uptime_s": 1.0})
            while (message := self.next()) is not None and message["type"] != "heartbeat_ack":
                pass

    def start(self, job_id: int, answer: Callable[[], None]) -> int:
        """Start the job; ``answer`` says meanwhile what the hub waits for."""
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(self.hub.run, job_id)
            answer()
            return asked.result()


class SourcePeer(End):
    """Offers ``content`` as one file to a real destination, then sends what the test wants."""

    def __init__(self, hub: Hub, token: str, content: bytes, chunk_size: int = CHUNK) -> None:
        super().__init__(hub, token)
        self.content = content
        self.chunk_size = chunk_size
        self.total = max(1, -(-len(content) // chunk_size))
        self.missing = list(range(self.total))
        self.always: Callable[[int], bytes] | None = None
        """Makes the frames that answer a chunk_request; None: right ones."""
        self.up_to = self.sent = 0
        self._again: list[int] = []
        self._end: str | None = None

    def next(self) -> dict[str, Any] | None:
        message = super().next()
        for item in message["payload"].get("items", ()) if message is not None else ():
            match message["type"] if message is not None else "":
                case "window" | "transfer_resume":
                    self.up_to = max(self.up_to, item["up_to"])
                case "chunk_request":
                    self._again.append(item["index"])
                case "transfer_release":
                    self._end = "released"
                case "cancel_transfer":
                    self._end = str(item["reason"])
                case _:
                    pass
        return message

    def offer(self, agent_id: int, destination: Agent, target: str, **fields: Any) -> int:
        """Make a job, start it and list the file; the run's id."""
        job = {"chunk_size": self.chunk_size, "retry": {"attempts": 0}, "hub_check": "off", **fields}
        job_id = self.hub.job(agent_id, Path("/data/evil.bin"), destination.id, target, **job)
        return self.start(job_id, lambda: self.listing([{"path": "evil.bin", "kind": "file", "size": 1}]))

    def listing(self, entries: Sequence[dict[str, Any]], path_type: str = "file", **changes: Any) -> int:
        """Answer the next list_request; its id."""
        request: int = self.until("list_request")["payload"]["request_id"]
        page = {"request_id": request, "page": 0, "last": True, "base": "/data", "path_type": path_type}
        self.say("list_result", {**page, "entries": entries, **changes})
        return request

    def accept(self, **changes: Any) -> None:
        """Answer the next transfer_request."""
        (item,) = self.until("transfer_request")["payload"]["items"]
        self.wire = item["transfer_id"]
        self.up_to = self.sent = 0
        self._again, self._end = [], None
        self.items("transfer_accept", {"role": "source", "size": len(self.content), "mode": 0o644} | changes)

    def opened(self) -> None:
        """Accept, and wait until frames may go."""
        self.accept()
        self.until("transfer_resume")

    def chunk(self, index: int) -> bytes:
        return self.content[index * self.chunk_size : (index + 1) * self.chunk_size]

    def frame(self, index: int = 0, payload: bytes | None = None, **header: Any) -> bytes:
        """A frame that is right but for what is given: wire, index_, total, sha, size, payload_size, code."""
        data = self.chunk(index)
        body = data if payload is None else payload
        values = {
            "wire": self.wire,
            "index_": index,
            "total": self.total,
            "sha": sha(data),
            "size": len(data),
            "payload_size": len(body),
            "code": 0,
        } | header
        return struct.pack(">4sIII32sIIB", b"FFXF", *values.values()) + body

    def post(self, frame: bytes) -> None:
        """Send a frame that the hub will count, in pieces where the window is too small for all of it."""
        offset = 0
        while offset < len(frame) and self._end is None:
            length = min(self.up_to - self.sent, len(frame) - offset)
            if length < min(HEADER_SIZE, len(frame) - offset):
                if self.next() is None:
                    return
                continue
            part = struct.pack(">4sIII", b"FFXP", self.wire, *struct.unpack_from(">I", frame, 8), offset)
            self.binary(frame if length == len(frame) else part + frame[offset : offset + length])
            self.sent += length
            offset += length

    def send(self, indexes: Iterable[int]) -> None:
        for index in indexes:
            self.post(self.frame(index))
            if index in self.missing:
                self.missing.remove(index)

    def complete(self, **changes: Any) -> None:
        digest = sha(b"".join(sha(self.chunk(index)) for index in range(self.total)))
        self.items("transfer_complete", {"size": len(self.content), "chunk_digest": digest.hex()} | changes)

    def finish(self) -> str:
        """Send what is missing, complete, answer requests: ``released``, the reason of the cancellation, or ``closed <code>``."""
        try:
            self.send(tuple(self.missing))
            self.complete()
        except (websocket.WebSocketException, OSError):
            # The hub closed; its last words are still there to be read.
            pass
        return self.ending()

    def ending(self) -> str:
        while True:
            while self._again:
                self.post((self.always or self.frame)(self._again.pop(0)))
            if self._end is not None:
                return self._end
            if self.next() is None:
                return f"closed {self.closed}"


class DestinationPeer(End):
    """Takes one file of a real source, and acknowledges what the test wants."""

    def __init__(self, hub: Hub, token: str) -> None:
        super().__init__(hub, token)
        self.arrived: set[int] = set()
        self.total = 0
        self.hashes: dict[int, bytes] = {}
        self._partial: dict[int, list[int]] = {}

    def ask_for(self, agent_id: int, source: Agent, path: Path, **fields: Any) -> int:
        """Make a job and start it; the run's id. The transfer_request is answered by ``accept``."""
        job = {"chunk_size": CHUNK, "retry": {"attempts": 0}, "compression": "none", **fields}
        job_id = self.hub.job(source.id, path, agent_id, "/data/evil.bin", **job)
        return self.start(job_id, self.requested)

    def requested(self) -> None:
        (item,) = self.until("transfer_request")["payload"]["items"]
        self.wire = item["transfer_id"]
        self.total = max(1, -(-item["size"] // item["chunk_size"]))

    def accept(self, **changes: Any) -> None:
        self.items("transfer_accept", {"role": "destination", "state": "new", "final_path": "/data/evil.bin"} | changes)

    def on_binary(self, data: bytes) -> None:
        for item in iter_binary(data, DEFAULT_LIMITS):
            if isinstance(item, WholeFrame):
                self._whole(item.header.index, item.header.sha256)
            elif isinstance(item, Piece):
                if item.header is not None:
                    self._partial[item.index] = [item.header.frame_size, 0]
                    self.hashes[item.index] = item.header.sha256
                state = self._partial[item.index]
                state[1] += len(item.data)
                if state[0] == state[1]:
                    self._whole(item.index, self.hashes[item.index])

    def _whole(self, index: int, digest: bytes) -> None:
        self.hashes[index] = digest
        self.arrived.add(index)

    def receive(self) -> None:
        """Until every chunk has come in."""
        self.socket.settimeout(0.2)
        while len(self.arrived) < self.total:
            try:
                if self.next() is None:
                    raise AssertionError(f"closed with {self.closed}, errors {self.errors}")
            except websocket.WebSocketTimeoutException:
                continue
        self.socket.settimeout(10)

    def ack(self, *ranges: list[int]) -> None:
        self.items("chunk_ack", {"chunks": list(ranges)})

    def committed(self) -> dict[str, Any]:
        """Wait for the commit."""
        (item,) = self.until("transfer_commit")["payload"]["items"]
        found: dict[str, Any] = item
        return found

    def complete(self, size: int, file_sha256: str, **changes: Any) -> None:
        digest = sha(b"".join(self.hashes.get(index, b"") for index in range(self.total)))
        self.items(
            "transfer_complete",
            {"size": size, "chunk_digest": digest.hex(), "file_sha256": file_sha256, "final_path": "/data/evil.bin"}
            | changes,
        )
