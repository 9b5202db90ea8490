"""The connection with a real session at both ends and links of memory. gevent runs unpatched here, so nothing leaks into other tests."""

from __future__ import annotations

import pytest

from fileflux.actors.kernel import runtime
from fileflux.clock import SystemClock
from fileflux.errors import AuthError, UnavailableError
from fileflux.protocol import messages as m
from fileflux.protocol.limits import Limits
from fileflux.protocol.session import HelloReceived, MessageReceived, Session, Side
from flux_agent.connection import Connection
from flux_agent.transfer.turns import Turns

LIMITS = Limits(reconnect_initial=0.01, reconnect_max=0.01, duplicate_wait=0.05, heartbeat_interval=0.05)


class Link:
    """What the agent wrote is in ``written``; ``hear`` delivers to it."""

    transport = "memory"
    peer = "hub"
    queued_bytes = 0

    def __init__(self):
        self.written = []
        self.handler = None
        self.closed = None

    def start(self, handler):
        self.handler = handler

    def send_text(self, text):
        self.written.append(text)

    def drop(self, tag):
        return 0

    def tick(self, now):
        pass

    def close(self, code, reason):
        if self.closed is None:
            self.closed = (code, reason)
            self.handler.on_closed(code, reason)


class Engine:
    """Records what the connection tells it."""

    active = 0

    def __init__(self):
        self.calls = []
        self.uplink = None

    def bind(self, uplink):
        self.uplink = uplink

    def handle(self, message):
        self.calls.append(message)
        return True

    def __getattr__(self, name):
        return lambda *args, **kwargs: self.calls.append(name)


class Requests:
    def __init__(self, calls):
        self.calls = calls

    def reset(self):
        self.calls.append("requests.reset")

    def tell_about_us(self):
        self.calls.append("agent_info")

    def handle(self, message):
        return False


class World:
    """An agent's connection and the hub's end of its session."""

    def __init__(self):
        self.script = []
        self.links = []
        self.errors = []
        self.engine = Engine()
        turns = Turns(self.errors.append)
        self.connection = Connection(
            self.dial, Session(Side.AGENT, LIMITS, agent_name="a"), self.engine, turns, LIMITS, SystemClock()
        )
        self.connection.bind(Requests(self.engine.calls))
        self.hub = None
        self.heard = []
        self.task = runtime.spawn(self.connection.run)

    def dial(self):
        if self.script:
            raise self.script.pop(0)
        self.links.append(Link())
        return self.links[-1]

    def until(self, condition):
        for _ in range(500):
            if condition():
                return
            runtime.sleep(0.01)
        raise AssertionError("never")

    def connected(self, number, session_id="s1"):
        """Wait for the ``number``-th link and say welcome on it."""
        self.until(lambda: len(self.links) == number and self.links[-1].written)
        link = self.links[-1]
        fresh = self.hub is None or self.hub.session_id != session_id
        if fresh:
            self.hub = Session(Side.HUB, LIMITS, session_id=session_id, epoch=number)
        else:
            self.hub.link_down(0.0)
        self.hub.link_up(0.0)
        self.read(link)
        self.hub.welcome(0.0, self.hello, resumed=not fresh)
        self.write(link)
        return link

    def read(self, link):
        texts, link.written = link.written, []
        for text in texts:
            for event in self.hub.receive_text(text, 0.0):
                if isinstance(event, HelloReceived):
                    self.hello = event.hello
                elif isinstance(event, MessageReceived):
                    self.heard.append(event.message)
                    self.hub.handled(event.seq, 0.0)

    def write(self, link):
        for text in self.hub.texts_to_send():
            link.handler.on_text(text)

    def say(self, link, message):
        self.hub.send(message, 0.0)
        self.write(link)


@pytest.fixture
def world():
    world = World()
    yield world
    world.connection.stop()
    world.task.join(timeout=2)
    assert world.task.dead
    assert world.errors == []


def test_a_new_session_resets_and_introduces_itself_a_resumed_one_goes_on(world):
    link = world.connected(1)
    assert world.engine.calls == ["reset", "requests.reset", "agent_info", "link_up", "flush"]
    world.engine.calls.clear()
    link.close(1006, "cut")
    world.connected(2)
    assert world.engine.calls == ["link_down", "link_up", "flush"]
    world.engine.calls.clear()
    world.links[-1].close(1006, "cut")
    world.connected(3, session_id="s2")
    assert world.engine.calls == ["link_down", "reset", "requests.reset", "agent_info", "link_up", "flush"]


def test_what_was_said_without_a_link_arrives_once_on_the_next(world):
    link = world.connected(1)
    link.close(1006, "cut")
    world.connection.send(m.ConnectionTestResult("t"))
    link = world.connected(2)
    world.read(link)
    link.close(1006, "cut")
    link = world.connected(3)
    world.read(link)
    assert [message.token for message in world.heard if isinstance(message, m.ConnectionTestResult)] == ["t"]


def test_an_unreachable_hub_and_a_refused_token_are_tried_again(world):
    world.script += [UnavailableError("down"), AuthError("no"), UnavailableError("down")]
    world.connected(1)
    assert world.script == []


def test_a_newer_session_makes_it_wait(world):
    link = world.connected(1)
    begun = SystemClock().monotonic()
    link.close(4409, "a newer session took over")
    world.connected(2)
    assert SystemClock().monotonic() - begun >= LIMITS.duplicate_wait


def test_heartbeats_go_out(world):
    link = world.connected(1)
    world.until(lambda: (world.read(link), any(isinstance(message, m.Heartbeat) for message in world.heard))[1])


def test_messages_go_to_the_engine_and_are_acknowledged(world):
    link = world.connected(1)
    world.say(link, m.Window((m.WindowItem(1, 2),)))
    assert m.Window((m.WindowItem(1, 2),)) in world.engine.calls


def test_a_hub_that_breaks_the_rules_loses_the_link_and_gets_it_back(world):
    link = world.connected(1)
    link.handler.on_text('{"type": "welcome", "seq": 0, "ack": 99, "payload": {}}')
    assert link.closed is not None
    world.connected(2)


def test_what_an_older_link_still_delivers_is_dropped(world):
    old = world.connected(1)
    old.close(1006, "cut")
    new = world.connected(2)
    count = len(world.engine.calls)
    old.handler.on_binary(b"late")
    old.handler.on_text("late")
    old.handler.on_closed(1006, "again")
    assert len(world.engine.calls) == count
    assert new.closed is None


def test_the_goodbye_of_the_hub_says_when_to_come_back(world):
    link = world.connected(1)
    world.say(link, m.Goodbye("restart", "upgrade", retry_after_s=0.3))
    begun = SystemClock().monotonic()
    link.close(1001, "going away")
    world.connected(2)
    assert SystemClock().monotonic() - begun >= 0.3
