"""An agent's connection with a real session at both ends and links of memory."""

from __future__ import annotations

import pytest

from fileflux.actors.kernel import runtime
from fileflux.clock import SystemClock
from fileflux.protocol.limits import Limits
from fileflux.protocol.session import HelloReceived, MessageReceived, Session, Side
from flux_agent.connection import Connection
from flux_agent.dialing import Dialled
from flux_agent.transfer.turns import Turns

LIMITS = Limits(reconnect_initial=0.01, reconnect_max=0.01, duplicate_wait=0.05, heartbeat_interval=0.05)


class Link:
    """What the agent wrote is in ``written``; ``hear`` delivers to it."""

    transport = "memory"
    peer = "hub"
    queued_bytes = 0

    def __init__(self, *, lingers=False):
        self.written = []
        self.handler = None
        self.closed = None
        self.ticks = 0
        self.lingers = lingers

    def start(self, handler):
        self.handler = handler

    def send_text(self, text):
        self.written.append(text)

    def drop(self, tag):
        return 0

    def tick(self, now):
        self.ticks += 1

    def close(self, code, reason):
        if self.closed is None:
            self.closed = (code, reason)
            if self.handler is not None and not self.lingers:
                self.handler.on_closed(code, reason)


class Dialer:
    """``script``: errors that come first. ``better``: what ``dial_better`` finds, one after the other, and a look is due while there is any."""

    def __init__(self):
        self.script = []
        self.links = []
        self.better = []
        self.looks = 0
        self.over = []
        self.lingers = False

    def dial(self):
        if self.script:
            raise self.script.pop(0)
        self.links.append(Link(lingers=self.lingers))
        return Dialled(self.links[-1], f"reason {len(self.links)}")

    def ended(self, link, code, lived):
        self.over.append((link, code, lived is not None))

    def better_due(self, now):
        return bool(self.better)

    def dial_better(self):
        self.looks += 1
        found = self.better.pop(0)
        if found is not None:
            self.links.append(found)
            return Dialled(found)
        return None


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

    def tick(self, now):
        """Several times a second, whatever happens."""

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
        self.dialer = Dialer()
        self.links = self.dialer.links
        self.errors = []
        self.engine = Engine()
        turns = Turns(self.errors.append)
        self.connection = Connection(
            self.dialer, Session(Side.AGENT, LIMITS, agent_name="a"), self.engine, turns, LIMITS, SystemClock()
        )
        self.connection.bind(Requests(self.engine.calls))
        self.hub = None
        self.heard = []
        self.task = runtime.spawn(self.connection.run)

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
            # On a switch the hub attaches the new link while the old one is still there.
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
