"""The connection goes on over a better link, or stays where it is; either way nothing is lost and nothing is done twice."""

from __future__ import annotations

from fileflux.actors.kernel import runtime
from fileflux.protocol import messages as m
from flux_agent.dialing import Dialled
from tests.agent.connected import Link, world

# A fixture, used here by name.
__all__ = ["world"]


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
