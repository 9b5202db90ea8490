"""A hub in one file for tests of the agent's process: the `websockets` package's threaded server as an independent peer.

It serves one agent that is source and destination at once.
"""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
import time
from http import HTTPStatus

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

from fileflux.protocol import messages as m
from fileflux.protocol.frames import HavePage, iter_binary
from fileflux.protocol.limits import DEFAULT_LIMITS
from fileflux.protocol.ranges import RangeSet
from fileflux.protocol.session import HelloReceived, MessageReceived, Session, Side

TOKEN = "ffx_test"


class Flow:
    """One transfer from the agent to itself."""

    def __init__(self, hub, wire_id, **request):
        self.hub = hub
        self.wire_id = wire_id
        self.request = {
            "transfer_id": wire_id,
            "row_id": 1,
            "run_id": 1,
            "job_id": 1,
            "attempt": 1,
            "name": "",
            **request,
        }
        self.target = self.request.pop("target")
        self.acked = RangeSet()
        self.in_flight = {}
        self.partial = {}
        self.acked_bytes = 0
        self.up_to = 0
        self.wire_bytes = 0
        self.have_count = None
        self.have_seen = 0
        self.source_done = None
        self.committed = False
        self.result = queue.Queue()

    def begin(self):
        item = m.TransferRequestItem(role="source", **{**self.request, "part": None})
        self.hub.say(m.TransferRequest((item,)))

    def hear(self, kind, item):
        if kind is m.TransferAccept and item.role == "source":
            self.size, self.total = item.size, max(1, -(-item.size // self.request["chunk_size"]))
            path, name = self.target
            opened = {"size": item.size, "mtime_ns": item.mtime_ns, "mode": item.mode, "path": path, "name": name}
            self.hub.say(m.TransferRequest((m.TransferRequestItem(role="destination", **{**self.request, **opened}),)))
        elif kind is m.TransferAccept:
            if item.state in ("equal", "skipped"):
                self.result.put(item)
            self.have_count = item.have_count
            self.compared()
        elif kind is m.ChunkSame:
            for first, last in item.chunks:
                for index in range(first, last + 1):
                    self.in_flight.setdefault(index, 0)
            self.hub.say(m.ChunkSame((item,)))
        elif kind is m.ChunkAck:
            for first, last in item.chunks:
                for index in range(first, last + 1):
                    self.acked_bytes += self.in_flight.pop(index, 0)
                self.acked.add(first, last)
            self.up_to = self.acked_bytes + DEFAULT_LIMITS.window_max
            self.hub.say(m.Window((m.WindowItem(self.wire_id, self.up_to, item.chunks),)))
            self.agree()
        elif kind is m.TransferComplete and item.role == "source":
            self.source_done = item
            self.agree()
        elif kind in (m.TransferComplete, m.TransferErrorMessage):
            if kind is m.TransferComplete:
                self.hub.say(m.TransferRelease((m.TransferReleaseItem(self.wire_id),)))
            self.result.put(item)

    def compared(self):
        if self.have_count == self.have_seen:
            self.up_to = DEFAULT_LIMITS.window_max
            item = m.TransferResumeItem(self.wire_id, have_count=self.have_count, up_to=self.up_to)
            self.hub.say(m.TransferResume((item,)))

    def agree(self):
        if self.source_done and self.acked.count == self.total and not self.committed:
            self.committed = True
            done = self.source_done
            item = m.TransferCommitItem(
                self.wire_id, self.size, done.chunk_digest, done.file_sha256, self.request.get("mtime_ns", 0), 0o644
            )
            self.hub.say(m.TransferCommit((item,)))

    def data(self, item):
        if isinstance(item, HavePage):
            self.have_seen += len(item.hashes) // 32
            self.compared()
            return
        length = len(getattr(item, "frame", None) or item.data)
        self.wire_bytes += length
        header = item.header
        if header is not None and header.frame_size == length:
            self.in_flight[header.index] = length
        else:
            left = header.frame_size if header else self.partial.pop(item.index)
            if left == length:
                self.in_flight[item.index] = item.offset + length
            else:
                self.partial[item.index] = left - length

    def relink(self):
        self.partial.clear()
        self.in_flight = dict.fromkeys(self.in_flight, 0)
        received = self.acked_bytes = self.up_to
        self.up_to += DEFAULT_LIMITS.window_max
        acked = self.acked.to_tuple(10_000)
        self.hub.say(
            m.TransferResume((m.TransferResumeItem(self.wire_id, acked, received=received, up_to=self.up_to),))
        )


class MiniHub:
    """``with MiniHub() as hub``; ``hub.url``. What the agent says that is not about transfers is in ``hub.heard``."""

    def __init__(self, limits=DEFAULT_LIMITS):
        self.limits = limits
        self.lock = threading.RLock()
        self.flows = {}
        self.heard = queue.Queue()
        self.established = threading.Event()
        self.links = 0
        self.session = None
        self.websocket = None
        self.server = serve(
            self.serve_agent,
            "127.0.0.1",
            0,
            process_request=self.check,
            compression=None,
            max_size=limits.max_binary_bytes,
        )
        self.url = f"http://127.0.0.1:{self.server.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.cut()
        self.server.shutdown()
        self.thread.join()

    def check(self, connection, request):
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return connection.respond(HTTPStatus.UNAUTHORIZED, "no\n")
        if request.path != "/ws/agent":
            return connection.respond(HTTPStatus.NOT_FOUND, "no\n")
        return None

    def serve_agent(self, websocket):
        if not self.probed(websocket):
            return
        with self.lock:
            self.links += 1
            self.websocket = websocket
            self.fresh = self.session is None
            if self.fresh:
                self.session = Session(Side.HUB, self.limits, session_id="s1", epoch=1)
            self.session.link_up(time.monotonic())
        try:
            for message in websocket:
                with self.lock:
                    self.take(message)
        except ConnectionClosed:
            pass
        with self.lock:
            self.established.clear()
            self.session.link_down()
            self.websocket = None

    def probed(self, websocket):
        """The agent tries the link out: what it sends comes back. False if it is gone then."""
        try:
            assert json.loads(websocket.recv())["payload"]["probe"]
            websocket.send(websocket.recv())
        except ConnectionClosed:
            return False
        return True

    def take(self, message):
        if isinstance(message, str):
            for event in self.session.receive_text(message, time.monotonic()):
                self.event(event)
        else:
            for item in iter_binary(message, self.limits):
                wire_id = item.header.transfer_id if getattr(item, "header", None) else item.transfer_id
                self.flows[wire_id].data(item)
            self.websocket.send(message)
        self.flush()

    def event(self, event):
        match event:
            case HelloReceived(hello=hello):
                self.session.welcome(time.monotonic(), hello, resumed=not self.fresh)
                self.established.set()
                if not self.fresh:
                    for flow in self.flows.values():
                        if flow.up_to and flow.result.empty():
                            flow.relink()
            case MessageReceived(seq=seq, message=message):
                items = getattr(message, "items", None)
                if items is None or isinstance(message, (m.TransferProgress, m.TransferReleased)):
                    self.heard.put(message)
                else:
                    for item in items:
                        self.flows[item.transfer_id].hear(type(message), item)
                self.session.handled(seq, time.monotonic())
            case other:
                self.heard.put(other)

    def say(self, message):
        with self.lock:
            self.session.send(message, time.monotonic())
            self.flush()

    def flush(self):
        if self.websocket is None:
            return
        try:
            for text in self.session.texts_to_send():
                self.websocket.send(text)
        except ConnectionClosed:
            pass

    def cut(self):
        websocket = self.websocket
        if websocket is not None:
            with contextlib.suppress(OSError):
                websocket.socket.shutdown(socket.SHUT_RDWR)

    def transfer(self, wire_id, **request):
        flow = Flow(self, wire_id, **request)
        with self.lock:
            self.flows[wire_id] = flow
            flow.begin()
        return flow

    def wait_for(self, kind, timeout=10.0):
        deadline = time.monotonic() + timeout
        while True:
            message = self.heard.get(timeout=max(0.01, deadline - time.monotonic()))
            if isinstance(message, kind):
                return message
