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
    world.dialer.script += [UnavailableError("down"), AuthError("no"), UnavailableError("down")]
    world.connected(1)
    assert world.dialer.script == []


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


def test_hello_says_why_this_link_was_chosen_and_the_dialer_how_it_ended(world):
    first = world.connected(1)
    assert (world.hello.link_reason, world.hello.switch) == ("reason 1", False)
    first.close(1006, "cut")
    world.until(lambda: len(world.links) == 2)
    world.links[1].close(4000, "before the welcome")
    world.connected(3)
    assert world.dialer.over == [(first, 1006, True), (world.links[1], 4000, False)]


# A better link


def better(world, link):
    """Let it be found, and wait until it is greeted or given up."""
    world.dialer.better.append(link)
    world.until(lambda: link.written or link.closed)


def test_a_better_link_takes_the_session_over_and_the_old_one_is_closed_after_the_welcome(world):
    old, new = world.connected(1), Link()
    world.engine.calls.clear()
    better(world, new)
    assert old.closed is None, "until the hub has said welcome on the new one"
    world.connected(2)
    assert (world.hello.switch, world.hello.session_id, world.hello.link_reason) == (True, "s1", "")
    world.until(lambda: old.closed)
    assert old.closed[0] == 1000
    assert new.closed is None
    assert world.engine.calls == ["link_down", "link_up", "flush"]
    assert world.dialer.over == [], "it did not end by itself"
    world.say(new, m.ConnectionTest("t"))
    assert m.ConnectionTest("t") in world.engine.calls


def test_what_is_said_during_a_move_arrives_once(world):
    old, new = world.connected(1), Link()
    better(world, new)
    world.read(old)
    world.connection.send(m.ConnectionTestResult("moving"))
    assert old.written == []
    world.connected(2)
    world.read(new)
    new.close(1006, "cut")
    world.read(world.connected(3))
    assert [message.token for message in world.heard if isinstance(message, m.ConnectionTestResult)] == ["moving"]


def test_what_the_old_link_still_says_after_a_move_is_dropped(world):
    old, new = world.connected(1), Link()
    better(world, new)
    world.connected(2)
    count = len(world.engine.calls)
    old.handler.on_binary(b"late")
    old.handler.on_text("late")
    old.handler.on_closed(4409, "a newer connection of this agent took over")
    assert len(world.engine.calls) == count
    assert new.closed is None
    assert len(world.links) == 2


def test_a_look_that_finds_nothing_changes_nothing_and_there_is_one_at_a_time(world):
    link = world.connected(1)
    world.engine.calls.clear()
    world.dialer.better += [None, None, None]
    world.until(lambda: not world.dialer.better)
    assert world.dialer.looks == 3
    assert link.closed is None
    assert world.engine.calls == []
    world.say(link, m.ConnectionTest("t"))
    assert m.ConnectionTest("t") in world.engine.calls


def test_a_better_link_that_dies_before_the_welcome_costs_a_new_link_and_not_the_session(world):
    old, new = world.connected(1), Link()
    better(world, new)
    new.close(1006, "cut")
    world.connected(3)
    assert (world.hello.switch, world.hello.session_id) == (False, "s1")
    world.until(lambda: old.closed)
    assert old.closed[0] == 1000
    assert world.dialer.over == [(new, 1006, False)]


def test_an_old_link_that_dies_during_the_move_is_no_matter(world):
    old, new = world.connected(1), Link()
    better(world, new)
    old.close(1006, "cut")
    world.connected(2)
    assert new.closed is None
    assert world.dialer.over == []


def test_a_refused_switch_begins_again(world):
    world.connected(1)
    new = Link()
    better(world, new)
    new.close(1008, "there is no session to switch")
    world.connected(3, session_id="s2")
    assert not world.hello.switch
    assert "agent_info" in world.engine.calls[-4:]


def test_a_better_link_that_comes_too_late_is_given_back(world):
    link, late = world.connected(1), Link()
    looking, go_on = runtime.Event(), runtime.Event()

    def slowly():
        world.dialer.better.clear()
        looking.set()
        go_on.wait(5)
        return Dialled(late)

    world.dialer.dial_better = slowly
    world.dialer.better.append(late)
    assert looking.wait(5)
    link.close(1006, "cut")
    go_on.set()
    world.until(lambda: late.closed)
    assert (late.closed[0], late.written) == (1000, [])
    world.connected(2)


def test_an_old_link_is_ticked_until_it_is_over(world):
    world.dialer.lingers = True
    old, new = world.connected(1), Link()
    better(world, new)
    world.connected(2)
    world.until(lambda: old.closed)
    ticks = old.ticks
    world.until(lambda: old.ticks > ticks + 1)
    old.handler.on_closed(1000, "moved")
    ticks = old.ticks
    world.until(lambda: new.ticks > 5)
    assert old.ticks <= ticks + 1
