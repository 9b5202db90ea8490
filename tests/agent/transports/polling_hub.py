"""What a session of requests leads to when it is played: the hub's real end of long-polling, and whatever may stand in between."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from fileflux.actors.kernel import runtime
from fileflux.clock import SystemClock
from fileflux.errors import RemoteProtocolError
from fileflux.protocol.limits import KIB, MIB, Limits
from fileflux.protocol.poll_peer import PollPeer, Shared
from flux_agent.transports.polling import PollingDialer
from tests.contracts.link_suite import Recorder

LIMITS = Limits(request_retry=0.5, poll_timeout=5.0, handshake_timeout=2.0)
OCTETS = "application/octet-stream"


@dataclass
class Answer:
    """As much of a response as is looked at."""

    status_code: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    reason: str = "Whatever"
    cut: Exception | None = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """The connection goes back to the pool."""

    @property
    def raw(self):
        return SimpleNamespace(read=self._read)

    def _read(self, size=None):
        if self.cut is not None:
            raise self.cut
        data, self.body = self.body[:size], self.body[len(self.body[:size]) :]
        return data


def slice_answer(body):
    return Answer(200, body, {"Content-Type": OCTETS, "Content-Length": str(len(body))}) if body else Answer(204)


def problem(status, detail="", **headers):
    return Answer(status, json.dumps({"detail": detail}).encode(), headers, reason="")


def sent(data):
    """A request's body, read as it is for the network, part by part."""
    if data is None:
        return None
    whole = bytearray()
    while part := data.read(16 * KIB):
        whole += part
    assert len(whole) == len(data)
    return bytes(whole)


class Waiter:
    def __init__(self):
        self.done = runtime.Event()
        self.body = None

    def answer(self, body):
        self.body = body
        self.done.set()

    def dismiss(self):
        self.done.set()


class Hub:
    """What a session of requests leads to. ``between(request)`` may give an Answer or an exception instead of the hub's answer, before it is asked;
    ``back(request)`` after it was."""

    def __init__(self, limits=LIMITS):
        self.limits = limits
        self.headers = {}
        self.terms = {"session_id": "a" * 32, "poll_timeout_s": 5.0, "polls": 4, "slices": 4, "slice_max": 4 * MIB}
        self.opening = None
        self.requests = []
        self.bodies = []
        self.between = lambda request: None
        self.back = lambda request: None
        self.ended = []
        self.closed = 0
        self.hub = SimpleNamespace(url="http://hub.example")
        self.peer = "hub.example:80"
        self.open = Counter()
        self.most_open = Counter()
        self.end = PollPeer(
            "agent",
            Shared(limits),
            limits,
            SystemClock(),
            runtime.spawn,
            runtime.call_later,
            lambda *end: self.ended.append(end),
        )
        self.seen = Recorder()
        self.end.link.start(self.seen)

    # A network

    def requests_session(self, size):
        return self

    # A session

    def close(self):
        self.closed += 1

    def post(self, url, *, timeout, stream):
        assert url == "http://hub.example/api/agent/connect"
        assert all(timeout)
        if isinstance(self.opening, Exception):
            raise self.opening
        return self.opening or Answer(200, json.dumps(self.terms).encode())

    def request(self, method, url, *, headers, data, timeout, stream):
        assert stream
        assert all(timeout), "no request waits for ever"
        assert self.headers["X-FileFlux-Session"] == "a" * 32
        number = int(headers["X-FileFlux-Seq"])
        request = SimpleNamespace(method=method, url=url, headers=headers, data=sent(data), number=number)
        self.requests.append(request)
        self.open[method] += 1
        self.most_open |= self.open
        try:
            runtime.yield_loop()
            return self._answered(request)
        finally:
            self.open[method] -= 1

    def _answered(self, request):
        for way in (self.between, None, self.back):
            found = way(request) if way is not None else self._ask_hub(request)
            if isinstance(found, Exception):
                raise found
            if way is None:
                answer = found
            elif found is not None:
                return found
        return answer

    def _ask_hub(self, request):
        try:
            if request.method == "GET":
                waiter = Waiter()
                hold = float(request.url.partition("timeout=")[2])
                self.end.poll(request.number, int(request.headers["X-FileFlux-Ack"]), hold, waiter)
                waiter.done.wait(10)
                if waiter.body is not None:
                    return slice_answer(waiter.body)
            else:
                self._take(request)
        except RemoteProtocolError as error:
            return problem(400, str(error))
        if self.end.link.ended is not None:
            code, reason = self.end.link.ended
            return problem(410, reason, **{"X-FileFlux-Close": str(code)})
        return Answer(204)

    def _take(self, request):
        offset, _, total = request.headers.get("X-FileFlux-Part", f"0/{len(request.data)}").partition("/")
        assert self.end.refuses(request.number, int(offset), len(request.data), int(total)) is None
        self.end.take(request.number, int(offset), int(total), request.data)
        while self.end.link.deliver():
            runtime.yield_loop()


@pytest.fixture
def hub():
    made = Hub()
    yield made
    made.end.link.lost("the test is over")


@pytest.fixture
def dial(hub):
    made = []

    def open_link(limits=LIMITS, *, start=True):
        link = PollingDialer(hub, limits, SystemClock(), runtime.spawn).dial()
        made.append(link)
        seen = Recorder()
        if start:
            link.start(seen)
        return link, seen

    yield open_link
    for link in made:
        link.lost("the test is over")
    runtime.sleep(0.01)


def until(holds, seconds=10.0):
    clock = SystemClock()
    end = clock.monotonic() + seconds
    while not holds():
        assert clock.monotonic() < end, "it did not happen"
        runtime.sleep(0.002)


def once(answer, *, when=lambda request: True):
    """Gives ``answer`` for the first request that fits."""
    left = [answer]
    return lambda request: left.pop() if left and when(request) else None


POSTS, POLLS = (lambda request: request.method == "POST"), (lambda request: request.method == "GET")


def asked(hub, method):
    return [request for request in hub.requests if request.method == method]


def fill(hub, link, size=3 * MIB):
    """Much data, so that slices grow."""
    for _ in range(size // (256 * KIB)):
        link.send_binary(b"\x07" * 256 * KIB)
    until(lambda: len(hub.seen.binaries) == size // (256 * KIB))
