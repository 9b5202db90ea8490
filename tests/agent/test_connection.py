"""The connection with a real session at both ends and links of memory. gevent runs unpatched here, so nothing leaks into other tests."""

from __future__ import annotations

from fileflux.clock import SystemClock
from fileflux.errors import AuthError, UnavailableError
from fileflux.protocol import messages as m
from fileflux.protocol.session import LinkDead
from tests.agent.connected import LIMITS, world

# A fixture, used here by name.
__all__ = ["world"]


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


def test_a_silent_link_is_given_up_whether_its_peer_answers_the_farewell_or_not(world):
    world.dialer.lingers = True
    silent = world.connected(1)
    world.dialer.lingers = False
    world.connection._handle([LinkDead(1001, "nothing heard")])
    assert silent.closed == (1001, "nothing heard")
    world.connected(2)
    assert world.dialer.over == [(silent, 1001, True)]
    ticks = silent.ticks
    world.until(lambda: silent.ticks > ticks)
    silent.handler.on_closed(1001, "nothing heard")
    world.until(lambda: not world.connection._former)
