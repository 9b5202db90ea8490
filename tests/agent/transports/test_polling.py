"""The agent's requests of long-polling, in front of the hub's real end and whatever may stand in between. A session of requests is played here,
so that each request can be answered, lost, refused or held; real HTTP is in tests/contracts/polling_over_http.py."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from types import SimpleNamespace

import pytest
import requests
import urllib3

from fileflux.actors.kernel import runtime
from fileflux.clock import SystemClock
from fileflux.errors import AuthError, RemoteProtocolError, UnavailableError
from fileflux.protocol.limits import KIB, MIB, Limits
from fileflux.protocol.poll_peer import PollPeer, Shared
from flux_agent.transports.polling import HOLD_MIN_S, SHRINK_ABOVE, PollingDialer
from flux_agent.transports.reach import PinMismatchError, ReachError
from tests.contracts.link_suite import Recorder

pytestmark = pytest.mark.unit

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
        request = SimpleNamespace(
            method=method, url=url, headers=headers, data=data, number=int(headers["X-FileFlux-Seq"])
        )
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


# Opening


@pytest.mark.parametrize(
    ("opening", "kind"),
    [
        (problem(401), AuthError),
        (AuthError("another hub"), AuthError),
        (PinMismatchError("another hub"), PinMismatchError),
        (ReachError("dns", "no such name"), ReachError),
        (requests.ConnectionError("reset"), ReachError),
        (requests.Timeout("slow"), ReachError),
        (OSError("no route"), ReachError),
        (problem(403), ReachError),
        (problem(404), ReachError),
        (problem(502), ReachError),
        (Answer(301, b"", {"Location": "https://evil.example"}), ReachError),
        (Answer(200, b"<html>Please sign in</html>", {"Content-Type": "text/html"}), ReachError),
        (Answer(200, b"", cut=urllib3.exceptions.ProtocolError("cut")), ReachError),
    ],
)
def test_what_answers_may_be_no_hub(hub, dial, opening, kind):
    hub.opening = opening
    with pytest.raises(kind) as caught:
        dial()
    assert str(caught.value)
    assert hub.closed == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"1",
        b"[" * 60_000,
        b'"x"',
        b"{}",
        b'{"session_id": "x"}',
        b"\xff",
        b"{" * 100,
        b'{"session_id": 1e999}',
    ],
)
def test_terms_that_are_none(hub, dial, body):
    hub.opening = Answer(200, body)
    with pytest.raises(ReachError):
        dial()
    assert hub.closed == 1


@pytest.mark.parametrize(
    "change",
    [
        {"session_id": ""}, {"session_id": "x\r\nX-Evil: 1"}, {"session_id": "é"}, {"session_id": "a" * 129}, {"session_id": None},
        {"poll_timeout_s": "soon"}, {"poll_timeout_s": None}, {"polls": []}, {"polls": 10**400}, {"slices": {}}, {"slices": "many"},
    ],
)  # fmt: skip
def test_terms_that_cannot_be(hub, dial, change):
    hub.terms.update(change)
    with pytest.raises(ReachError):
        dial()


@pytest.mark.parametrize(
    "change",
    [
        {"polls": 10**9, "slices": 10**9, "poll_timeout_s": 10**9},
        {"polls": -1, "slices": 0, "poll_timeout_s": -5},
        {"polls": float("inf"), "slices": float("-inf"), "poll_timeout_s": float("nan")},
    ],
)
def test_terms_are_held_to_our_own_bounds(hub, dial, change):
    hub.terms.update(change)
    link, _ = dial()
    for _ in range(40):
        link.send_binary(bytes(300 * KIB))
        hub.end.link.send_binary(bytes(300 * KIB))
    until(lambda: len(hub.seen.binaries) == 40)
    assert hub.most_open["POST"] <= LIMITS.slices_in_flight
    assert hub.most_open["GET"] <= LIMITS.polls_max
    holds = {float(request.url.partition("timeout=")[2]) for request in asked(hub, "GET")}
    assert max(holds) <= LIMITS.poll_timeout


def test_a_hub_that_is_overloaded_says_when_to_come_back(hub, dial):
    hub.opening = problem(503, "later", **{"Retry-After": "7"})
    with pytest.raises(UnavailableError) as caught:
        dial()
    assert caught.value.retry_after == 7.0


# Going


def test_both_ways_at_once(hub, dial):
    link, seen = dial()
    for number in range(20):
        link.send_text(f"up {number}")
        hub.end.link.send_text(f"down {number}")
        link.send_binary(bytes([number]) * 50_000)
        hub.end.link.send_binary(bytes([number]) * 50_000)
    until(lambda: len(hub.seen.binaries) == len(seen.binaries) == 20)
    assert hub.seen.texts == [f"up {number}" for number in range(20)]
    assert seen.texts == [f"down {number}" for number in range(20)]
    assert seen.lives


def test_one_poll_waits_while_nothing_moves_and_several_when_it_does(hub, dial):
    _, seen = dial()
    until(lambda: hub.open["GET"] == 1)
    hub.end.link.send_text("busy")
    until(lambda: hub.open["GET"] == 4)
    assert seen.texts == ["busy"]


def test_nothing_is_asked_before_the_start_and_nothing_after_the_end(hub, dial):
    link, _ = dial(start=False)
    runtime.sleep(0.02)
    assert hub.requests == []
    seen = Recorder()
    link.start(seen)
    until(lambda: hub.open["GET"] == 1)
    link.close(1000, "bye")
    until(lambda: seen.closed and not hub.open.total())
    assert hub.closed
    count = len(hub.requests)
    link.send_text("too late")
    runtime.sleep(0.02)
    assert len(hub.requests) == count
    assert hub.seen.closed == [(1000, "bye")]


def test_a_link_that_nobody_wants_asks_for_nothing(hub, dial):
    link, _ = dial(start=False)
    link.close(1000, "not needed any more")
    until(lambda: hub.closed)
    assert hub.requests == []


@pytest.mark.parametrize(
    "trouble",
    [
        requests.ConnectionError("reset"), requests.ReadTimeout("silence"), urllib3.exceptions.ProtocolError("cut"), OSError("cut"),
        ReachError("tcp", "refused"), problem(502), problem(503, **{"Retry-After": "1"}), problem(504), problem(408), problem(429),
        Answer(302, b"", {"Location": "/login"}), Answer(200, b"<html>Please wait</html>", {"Content-Type": "text/html"}),
        Answer(200, b"", {"Content-Type": OCTETS, "Content-Length": "10"}, cut=urllib3.exceptions.IncompleteRead(0, 10)),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("answered", [False, True], ids=["lost", "answer lost"])
def test_what_goes_wrong_once_is_repeated_and_counts_once(hub, dial, trouble, answered):
    link, seen = dial()
    for which in (POSTS, POLLS):
        setattr(hub, "back" if answered else "between", once(trouble, when=which))
        link.send_text("up")
        hub.end.link.send_text("down")
        until(lambda: seen.texts and hub.seen.texts)
        assert (seen.texts, hub.seen.texts) == (["down"], ["up"])
        assert not seen.closed
        seen.texts.clear()
        hub.seen.texts.clear()
    repeated = Counter((request.method, request.number) for request in hub.requests)
    assert max(repeated.values()) >= 2


def test_a_slice_that_was_cut_on_its_way_is_asked_for_again(hub, dial):
    _, seen = dial()
    cut = Answer(200, b"\x01\x00", {"Content-Type": OCTETS, "Content-Length": "100"})
    hub.back = once(cut, when=POLLS)
    hub.end.link.send_text("whole")
    until(lambda: seen.texts)
    assert seen.texts == ["whole"]


@pytest.mark.parametrize("which", [POSTS, POLLS])
def test_what_goes_wrong_for_long_ends_the_link(hub, dial, which):
    link, seen = dial()
    hub.between = lambda request: problem(502) if which(request) else None
    link.send_text("x")
    until(lambda: seen.closed)
    ((code, reason),) = seen.closed
    assert code == 1006
    assert "did not answer for 0.5 s" in reason
    assert "502" in reason


@pytest.mark.parametrize(
    ("answer", "code", "reason"),
    [
        (problem(401), 1008, "token"),
        (problem(410, "a newer session took over", **{"X-FileFlux-Close": "4409"}), 4409, "a newer session took over"),
        (problem(410, "gone"), 1006, "gone"),
        (problem(410, "gone", **{"X-FileFlux-Close": "evil"}), 1006, "gone"),
        (problem(410, "gone", **{"X-FileFlux-Close": "99999"}), 1006, "gone"),
        (Answer(410, b"[" * 60_000, reason="Gone"), 1006, "Gone"),
        (problem(410, "x" * 5000), 1006, "xxx"),
        (problem(400, "poll 7 that knows 9"), 1006, "poll 7"),
        (problem(404), 1006, "404"),
        (problem(409), 1006, "409"),
        (PinMismatchError("this is another hub"), 1008, "another hub"),
    ],
)
@pytest.mark.parametrize("which", [POSTS, POLLS])
def test_what_repeating_cannot_help_ends_the_link_at_once(hub, dial, which, answer, code, reason):
    link, seen = dial()
    hub.between = once(answer if isinstance(answer, Exception) else replace(answer), when=which)
    link.send_text("x")
    hub.end.link.send_text("y")
    until(lambda: seen.closed)
    assert seen.closed[0][0] == code
    assert reason in seen.closed[0][1]
    assert len(seen.closed[0][1].encode()) <= 123


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, bytes(100), {"Content-Type": OCTETS}),
        Answer(200, bytes(100), {"Content-Type": OCTETS, "Content-Length": "-1"}),
        Answer(200, bytes(LIMITS.slice_max + 10), {"Content-Type": OCTETS, "Content-Length": str(LIMITS.slice_max + 10)}),
        Answer(200, b"\x09" * 100, {"Content-Type": OCTETS, "Content-Length": "100"}),
    ],
    ids=["no length", "bad length", "too large", "no records"],
)  # fmt: skip
def test_a_hub_that_breaks_the_rules_loses_the_link(hub, dial, answer):
    _, seen = dial()
    hub.back = once(replace(answer), when=POLLS)
    hub.end.link.send_text("y")
    until(lambda: seen.closed)
    assert seen.closed[0][0] in (1002, 1008)
    assert seen.texts == []


@pytest.mark.parametrize("which", [POSTS, POLLS])
def test_an_error_nobody_thought_of_ends_the_link_and_not_its_greenlet_alone(hub, dial, which):
    link, seen = dial()
    hub.between = once(ZeroDivisionError("a mistake"), when=which)
    link.send_text("x")
    until(lambda: seen.closed)
    assert seen.closed == [(1006, "ZeroDivisionError")]


def test_the_hubs_farewell_ends_the_link_with_its_words(hub, dial):
    _, seen = dial()
    until(lambda: hub.open["GET"] == 1)
    hub.end.link.send_text("last words")
    hub.end.link.close(4409, "a newer session took over")
    until(lambda: seen.closed)
    assert seen.texts == ["last words"]
    assert seen.closed == [(4409, "a newer session took over")]
    assert not hub.seen.after_close


def test_a_farewell_whose_answer_was_lost_is_heard_by_the_next_request(hub, dial):
    _, seen = dial()
    until(lambda: hub.open["GET"] == 1)
    hub.back = once(requests.ConnectionError("cut"), when=POLLS)
    hub.end.link.close(4409, "a newer session took over")
    until(lambda: seen.closed)
    assert seen.closed == [(4409, "a newer session took over")]


# Something in between takes no large bodies, or cuts what waits


def fill(hub, link, size=3 * MIB):
    """Much data, so that slices grow."""
    for _ in range(size // (256 * KIB)):
        link.send_binary(b"\x07" * 256 * KIB)
    until(lambda: len(hub.seen.binaries) == size // (256 * KIB))


@pytest.mark.parametrize("most", [SHRINK_ABOVE, 100_000, 1_000_000])
def test_bodies_that_are_refused_with_413_become_smaller_and_nothing_is_lost(hub, dial, most):
    link, seen = dial()
    hub.between = lambda request: problem(413) if len(request.data or b"") > most else None
    fill(hub, link)
    assert b"".join(hub.seen.binaries) == b"\x07" * 3 * MIB
    assert not seen.closed
    refused = [request for request in asked(hub, "POST") if len(request.data) > most]
    assert len(refused) <= 8 * 7, "it learns"
    hub.seen.binaries.clear()
    before = len(hub.requests)
    fill(hub, link)
    assert all(len(request.data or b"") <= most for request in hub.requests[before:]), "and does not forget"


def test_a_413_for_the_smallest_body_ends_the_link(hub, dial):
    link, seen = dial()
    hub.between = lambda request: problem(413) if request.method == "POST" else None
    link.send_text("x")
    until(lambda: seen.closed)
    assert "413" in seen.closed[0][1]


def test_connections_that_break_under_large_bodies_make_them_smaller(hub, dial):
    link, seen = dial(replace(LIMITS, request_retry=5.0))
    hub.between = lambda request: requests.ConnectionError("reset") if len(request.data or b"") > 300_000 else None
    fill(hub, link)
    assert not seen.closed
    assert max(len(request.data or b"") for request in hub.requests[-3:]) <= 300_000


def test_parts_that_were_taken_are_not_sent_again(hub, dial):
    link, _ = dial()
    fill(hub, link)
    hub.seen.binaries.clear()
    before = len(hub.requests)
    hub.between = lambda request: problem(413) if len(request.data or b"") > 200_000 else None
    fill(hub, link)
    sent = sum(len(request.data or b"") for request in hub.requests[before:] if len(request.data or b"") <= 200_000)
    assert sent <= 3 * MIB + 64 * KIB


def test_polls_wait_less_where_waiting_is_cut(hub, dial):
    """As a proxy with a short idle time-out does; the link lives on."""
    clock = SystemClock()
    _, seen = dial(replace(LIMITS, poll_timeout=30.0))
    hub.terms["poll_timeout_s"] = 30.0

    def idle_cut(request):
        if request.method == "GET" and float(request.url.partition("timeout=")[2]) > 1.5:
            runtime.sleep(1.5)
            return requests.ConnectionError("idle")
        return None

    hub.between = idle_cut
    began = clock.monotonic()
    until(lambda: clock.monotonic() - began > 5.0)
    assert not seen.closed
    holds = [float(request.url.partition("timeout=")[2]) for request in asked(hub, "GET")]
    assert HOLD_MIN_S <= holds[-1] < 1.5
    hub.end.link.send_text("still there")
    until(lambda: seen.texts)


def test_a_hub_that_is_away_is_given_up_although_polls_wait_long(hub, dial):
    _, seen = dial()
    until(lambda: hub.open["GET"] == 1)
    hub.between = lambda request: ReachError("tcp", "refused")
    hub.back = lambda request: requests.ConnectionError("reset")
    clock = SystemClock()
    began = clock.monotonic()
    hub.end.link.send_text("wakes the poll")
    until(lambda: seen.closed)
    assert clock.monotonic() - began < 3.0
    assert "refused" in seen.closed[0][1]


def test_many_messages_of_one_moment_share_a_request(hub, dial):
    link, _ = dial()
    until(lambda: hub.open["GET"] == 1)
    for number in range(200):
        link.send_text(str(number))
    until(lambda: len(hub.seen.texts) == 200)
    assert len(asked(hub, "POST")) <= 3


def test_buffers_come_back(hub, dial):
    link, seen = dial()
    sent = []
    for number in range(50):
        link.send_binary(bytes(100_000), on_sent=partial(sent.append, number))
    hub.between = lambda request: problem(410, "over")
    until(lambda: seen.closed)
    assert sorted(sent) == list(range(50))
