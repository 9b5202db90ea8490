"""WebSocket or long-polling: what is tried, what follows from what happened, and when it is tried again. Both transports are played."""

from __future__ import annotations

import json

import pytest

from fileflux.actors.kernel import runtime
from fileflux.actors.kernel.pump import Pump
from fileflux.clock import FakeClock, SystemClock
from fileflux.errors import AuthError, UnavailableError
from fileflux.protocol.limits import KIB, Limits
from fileflux.protocol.upgrade import UpgradeRefusedError
from flux_agent.transports.auto import PROBE_GAP_MAX, AutoDialer, SingleDialer
from flux_agent.transports.choose import make_dialer
from flux_agent.transports.polling import PollingDialer
from flux_agent.transports.reach import PinMismatchError, ReachError
from flux_agent.transports.websocket import WebSocketDialer
from tests.agent.transports.stand_ins import network
from tests.contracts.link_suite import Recorder

pytestmark = pytest.mark.unit

LIMITS = Limits(handshake_timeout=0.2, websocket_probe_interval=300.0, young_link=60.0)


class Link:
    """A played link. ``peer(data)`` is what the other end does with a binary message: what comes back, None for silence, or a code to close with."""

    queued_bytes = 0
    peer = "hub"

    def __init__(self, transport, peer=bytes):
        self.transport = transport
        self.answer = peer
        self.texts = []
        self.binaries = []
        self.closed = None
        self.ticks = []
        self.handler = None

    def start(self, handler):
        self.handler = handler
        if self.closed:
            handler.on_closed(*self.closed)

    def send_text(self, text):
        self.texts.append(text)

    def send_binary(self, data, *, tag=0, on_sent=None, cut=None):
        self.binaries.append(data)
        said = self.answer(data)
        if isinstance(said, int):
            runtime.spawn(self.close, said, "cut")
        elif said is not None:
            runtime.spawn(self.handler.on_binary, said)

    def close(self, code, reason):
        self.closed = (code, reason)
        if self.handler is not None:
            self.handler.on_closed(code, reason)

    def tick(self, now):
        self.ticks.append(now)


class One:
    """One transport's dialer: gives or raises what is next in ``script``, the last of it for ever."""

    def __init__(self, transport):
        self.script = [lambda: Link(transport)]
        self.dials = 0

    def then(self, *script):
        self.script = list(script)

    def dial(self):
        self.dials += 1
        found = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(found, Exception):
            raise found
        return found()


class World:
    def __init__(self):
        self.clock = FakeClock()
        self.websocket, self.polling = One("websocket"), One("polling")
        self.dialer = AutoDialer(self.websocket, self.polling, "web-1", LIMITS, self.clock)

    def due(self):
        return self.dialer.better_due(self.clock.monotonic())


@pytest.fixture
def world():
    return World()


def blocked(peer):
    return lambda: Link("websocket", peer)


def test_websocket_is_used_where_it_works(world):
    dialled = world.dialer.dial()
    link = dialled.link
    assert (link.transport, dialled.reason) == ("websocket", "")
    assert world.polling.dials == 0
    assert not world.due()
    (hello,) = [json.loads(text) for text in link.texts]
    assert (hello["type"], hello["payload"]["probe"], hello["payload"]["agent"]) == ("hello", True, "web-1")
    (sent,) = link.binaries
    assert len(sent) == 64 * KIB
    assert len(set(sent)) > 200, "bytes that cannot be compressed or guessed"
    assert link.closed is None


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (UpgradeRefusedError(403, "Forbidden"), "upgrade refused with 403"),
        (UpgradeRefusedError(200, "OK"), "upgrade refused with 200"),
        (UpgradeRefusedError(426, "Upgrade Required"), "upgrade refused with 426"),
        (UpgradeRefusedError(0, "not HTTP"), "no upgrade: not HTTP"),
        (UnavailableError("the hub does not answer: timed out"), "no answer to the upgrade"),
        (ReachError("http", "silence"), "no answer to the upgrade"),
        (blocked(lambda _: None), "do not come through"),
        (blocked(lambda data: data[:-1] + b"\0\0"), "come back changed"),
        (blocked(lambda data: data[:100]), "come back changed"),
        (blocked(lambda _: 1006), "cut right after the upgrade"),
    ],
)
def test_what_blocks_websocket_leads_to_polling_and_is_said(world, trouble, reason):
    world.websocket.then(trouble)
    dialled = world.dialer.dial()
    assert dialled.link.transport == "polling"
    assert reason in dialled.reason
    assert "\n" not in dialled.reason
    again = world.dialer.dial()
    assert (again.link.transport, again.reason) == ("polling", dialled.reason)
    assert world.websocket.dials == 1, "once is enough until the next probe"


def test_a_probe_that_failed_leaves_no_link_behind(world):
    made = []

    def swallowing():
        made.append(Link("websocket", lambda _: None))
        return made[-1]

    world.websocket.then(swallowing)
    world.dialer.dial()
    (link,) = made
    assert link.closed[0] == 1000
    clock = SystemClock()
    end = clock.monotonic() + 5
    while not link.ticks:
        assert clock.monotonic() < end
        runtime.sleep(0.01)


@pytest.mark.parametrize("layer", ["dns", "tcp", "proxy", "tls"])
def test_a_hub_that_cannot_be_reached_says_nothing_about_websocket(world, layer):
    world.websocket.then(ReachError(layer, "no way"), lambda: Link("websocket"))
    with pytest.raises(ReachError):
        world.dialer.dial()
    assert world.polling.dials == 0
    assert world.dialer.dial().link.transport == "websocket"


@pytest.mark.parametrize("error", [AuthError("unknown token"), PinMismatchError("another hub")])
def test_a_refused_token_is_refused_over_either(world, error):
    world.websocket.then(error)
    with pytest.raises(type(error)):
        world.dialer.dial()
    assert world.polling.dials == 0


@pytest.mark.parametrize("trouble", [UpgradeRefusedError(502, "Bad Gateway"), blocked(lambda _: 1006)])
def test_a_hub_that_is_away_proves_nothing_against_websocket(world, trouble):
    """A proxy in front answers 502 to everything while the hub restarts."""
    world.websocket.then(trouble, lambda: Link("websocket"))
    world.polling.then(ReachError("http", "502"), lambda: Link("polling"))
    with pytest.raises(UnavailableError):
        world.dialer.dial()
    assert world.dialer.dial().link.transport == "websocket"


def test_probes_come_at_their_interval_and_lead_back(world):
    world.websocket.then(UpgradeRefusedError(403, "no"))
    world.dialer.dial()
    world.clock.advance(299.0)
    assert not world.due()
    world.clock.advance(1.0)
    assert world.due()
    assert world.dialer.dial_better() is None
    assert not world.due()
    assert world.dialer.dial().reason == "upgrade refused with 403"
    world.clock.advance(300.0)
    world.websocket.then(lambda: Link("websocket"))
    better = world.dialer.dial_better()
    assert (better.link.transport, better.reason) == ("websocket", "")
    assert not world.due()
    assert world.dialer.dial().link.transport == "websocket"


@pytest.mark.parametrize(
    "error",
    [
        AuthError("unknown token"),
        ReachError("dns", "no such name"),
        UpgradeRefusedError(502, "x"),
        UnavailableError("x"),
    ],
)
def test_a_look_for_a_better_link_never_raises(world, error):
    world.websocket.then(UpgradeRefusedError(403, "no"), error)
    world.dialer.dial()
    world.clock.advance(300.0)
    assert world.dialer.dial_better() is None
    assert not world.due()
    assert world.dialer.dial().link.transport == "polling"


def test_a_websocket_that_dies_young_again_and_again_is_probed_more_rarely(world):
    gaps = []
    for _ in range(7):
        link = world.dialer.dial().link if not gaps else world.dialer.dial_better().link
        world.clock.advance(5.0)
        world.dialer.ended(link, 1006, 5.0)
        dialled = world.dialer.dial()
        assert (dialled.link.transport, dialled.reason) == ("polling", "WebSocket was cut after 5 s")
        gap = 0
        while not world.due():
            world.clock.advance(100.0)
            gap += 100
        gaps.append(gap // 300)
    assert gaps == [2, 4, 8, PROBE_GAP_MAX, PROBE_GAP_MAX, PROBE_GAP_MAX, PROBE_GAP_MAX]


def test_a_websocket_that_lived_long_is_believed_again(world):
    for _ in range(3):
        world.dialer.ended(Link("websocket"), 1006, 5.0)
    world.dialer.dial_better()
    world.dialer.ended(Link("websocket"), 1006, 3600.0)
    assert world.dialer.dial().link.transport == "websocket"
    world.dialer.ended(Link("websocket"), 1006, 5.0)
    world.clock.advance(600.0)
    assert world.due(), "it begins with the shortest gap"


def test_one_that_was_never_used_counts_as_young(world):
    world.dialer.ended(world.dialer.dial().link, 1006, None)
    assert world.dialer.dial().reason == "WebSocket was cut before it was used"


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1013, 4409])
def test_an_end_that_the_hub_wanted_says_nothing_about_websocket(world, code):
    world.dialer.ended(world.dialer.dial().link, code, 5.0)
    assert world.dialer.dial().link.transport == "websocket"


def test_the_end_of_a_polling_link_says_nothing_about_websocket(world):
    world.dialer.ended(Link("polling"), 1006, 1.0)
    assert world.dialer.dial().link.transport == "websocket"


def test_what_the_probe_listened_to_is_handed_over_even_if_it_dies_in_between(world):
    link = world.dialer.dial().link
    link.handler.on_text("the hub says nothing to a probe")
    link.handler.on_life()
    link.close(1006, "cut")
    seen = Recorder()
    link.start(seen)
    assert seen.closed == [(1006, "cut")]


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_a_single_transport_has_no_choice_and_no_reason(transport):
    one = One(transport)
    dialer = SingleDialer(one)
    dialled = dialer.dial()
    assert (dialled.link.transport, dialled.reason) == (transport, "")
    dialer.ended(dialled.link, 1006, None)
    assert not dialer.better_due(1e12)
    assert dialer.dial_better() is None
    one.then(UpgradeRefusedError(403, "no"))
    with pytest.raises(UpgradeRefusedError):
        dialer.dial()


@pytest.mark.parametrize(
    ("mode", "kind", "inner"),
    [
        ("auto", AutoDialer, None),
        ("websocket", SingleDialer, WebSocketDialer),
        ("polling", SingleDialer, PollingDialer),
    ],
)
def test_the_mode_chooses(mode, kind, inner):
    made = make_dialer(mode, network("http://127.0.0.1:1"), Pump(), "web-1", LIMITS, SystemClock())
    assert isinstance(made, kind)
    if inner is not None:
        assert isinstance(made._dialer, inner)
