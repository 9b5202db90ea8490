"""The gate of a link: what comes before a session may only greet, or try the link out."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

from fileflux.actors import messages as a
from fileflux.actors.session_port import PROBE_BYTES, LinkGate
from fileflux.clock import SystemClock
from fileflux.protocol.codec import encode
from fileflux.protocol.limits import PROTOCOL_VERSIONS, Limits
from fileflux.protocol.messages import ConnectionTestResult, Hello

pytestmark = pytest.mark.unit

LIMITS = Limits(handshake_timeout=0.2, ping_interval=0.1)
HELLO = encode(Hello(PROTOCOL_VERSIONS, "web-1"), 0, 0)
PROBE = encode(Hello(PROTOCOL_VERSIONS, "web-1", probe=True), 0, 0)


class Link:
    """Remembers what is done with it."""

    transport = "test"
    peer = "192.0.2.1"

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed: list[tuple[int, str]] = []
        self.ticks = 0

    def send_binary(self, data: Any, **_: Any) -> None:
        self.sent.append(bytes(data))

    def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))

    def tick(self, now: float) -> None:
        self.ticks += 1


class Box:
    """A ref that remembers, or is full."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.full = False

    def tell(self, message: Any) -> bool:
        if not self.full:
            self.got.append(message)
        return not self.full

    tell_control = tell


class Gate:
    def __init__(self) -> None:
        self.link, self.hub, self.relay = Link(), Box(), Box()
        identity = a.AgentIdentity(1, "web-1", 2, 3, "192.0.2.1")
        self.gate = LinkGate(self.link, identity, self.hub, self.relay, SystemClock(), LIMITS)

    @property
    def codes(self) -> list[int]:
        return [code for code, _ in self.link.closed]

    def hellos(self) -> list[str]:
        return [message.text for message in self.hub.got]


@pytest.fixture
def at():
    made = Gate()
    yield made
    made.gate.on_closed(1000, "the test is over")


def test_a_hello_goes_to_the_hub_and_nothing_may_follow_before_the_welcome(at: Gate) -> None:
    at.gate.on_text(HELLO)
    assert at.hellos() == [HELLO]
    at.gate.on_text(HELLO)
    assert at.codes == [1008]
    assert at.hellos() == [HELLO]


def test_data_before_the_welcome_closes(at: Gate) -> None:
    at.gate.on_binary(b"x")
    assert at.codes == [1008]
    at.gate.on_text(HELLO)
    at.gate.on_binary(b"x")
    assert at.codes == [1008, 1008]
    assert at.link.sent == []


def test_a_probe_is_echoed_and_may_greet_afterwards(at: Gate) -> None:
    at.gate.on_text(PROBE)
    assert at.hellos() == [], "it takes nothing over"
    at.gate.on_binary(b"\x5a" * PROBE_BYTES)
    assert at.link.sent == [b"\x5a" * PROBE_BYTES]
    at.gate.on_text(HELLO)
    assert at.hellos() == [HELLO]
    assert at.codes == []
    at.gate.on_binary(b"x")
    assert at.codes == [1008], "after the hello there is no echo any more"
    assert len(at.link.sent) == 1


def test_a_probe_need_not_be_waited_for(at: Gate) -> None:
    at.gate.on_text(PROBE)
    at.gate.on_text(HELLO)
    at.gate.on_binary(b"late")
    assert at.hellos() == [HELLO]
    assert at.codes == [1008]


@pytest.mark.parametrize("data", [[b"a", b"b"], [bytes(PROBE_BYTES + 1)], [b"", b""]])
def test_a_probe_gets_one_echo_of_a_bounded_size(at: Gate, data: list[bytes]) -> None:
    at.gate.on_text(PROBE)
    for message in data:
        at.gate.on_binary(message)
    assert at.codes == [1008]
    assert len(at.link.sent) == len(data) - 1


def test_a_second_probe_is_for_the_hub_to_refuse(at: Gate) -> None:
    at.gate.on_text(PROBE)
    at.gate.on_text(PROBE)
    assert at.hellos() == [PROBE]
    at.gate.on_binary(b"x")
    assert at.codes == [1008]


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "[]",
        "{}",
        encode(ConnectionTestResult("t"), 1, 0),
        PROBE.replace('"probe":true', '"probe":1'),
        PROBE.replace('"seq":0', '"seq":-1'),
        PROBE.replace('"protocol":[1]', '"protocol":"x"'),
    ],
)
def test_what_is_no_hello_is_for_the_hub_to_refuse(at: Gate, text: str) -> None:
    at.gate.on_text(text)
    assert at.hellos() == [text]
    at.gate.on_binary(b"no echo")
    assert at.link.sent == []


def test_a_probe_that_never_greets_is_closed_like_any_other(at: Gate) -> None:
    at.gate.on_text(PROBE)
    with gevent.Timeout(5):
        while not at.link.closed:
            gevent.sleep(0.01)
    assert at.link.closed == [(1008, "no hello in time")]


def test_a_full_hub_says_come_back_later(at: Gate) -> None:
    at.hub.full = True
    at.gate.on_text(HELLO)
    assert at.codes == [1013]


def test_a_link_is_ticked_until_it_is_over(at: Gate) -> None:
    with gevent.Timeout(5):
        while at.link.ticks < 3:
            gevent.sleep(0.01)
    at.gate.on_closed(1000, "bye")
    ticks = at.link.ticks
    gevent.sleep(0.1)
    assert at.link.ticks == ticks
