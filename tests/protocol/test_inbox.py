from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileflux.errors import RemoteProtocolError
from fileflux.protocol.inbox import AckTimer, Inbox
from fileflux.protocol.limits import DEFAULT_LIMITS

pytestmark = pytest.mark.unit


def test_new_repeated_missing() -> None:
    inbox = Inbox(10)
    assert inbox.accept(1)
    assert inbox.accept(2)
    assert not inbox.accept(2)
    assert not inbox.accept(1)
    with pytest.raises(RemoteProtocolError) as caught:
        inbox.accept(4)
    assert (caught.value.code, caught.value.close) == ("sequence", True)
    assert inbox.accept(3)


def test_a_peer_that_does_not_wait_for_acks_is_refused() -> None:
    inbox = Inbox(3)
    for seq in (1, 2, 3):
        inbox.accept(seq)
    with pytest.raises(RemoteProtocolError) as caught:
        inbox.accept(4)
    assert (caught.value.code, caught.value.close) == ("overrun", True)
    inbox.finish(1)
    assert inbox.accept(4)


@given(st.permutations(range(1, 12)))
def test_handled_is_the_unbroken_run(order: list[int]) -> None:
    inbox = Inbox(100)
    for seq in range(1, 12):
        inbox.accept(seq)
    done: set[int] = set()
    for seq in order:
        inbox.finish(seq)
        inbox.finish(seq)
        done.add(seq)
        assert inbox.handled == next(n for n in range(12) if n + 1 not in done)


def test_finishing_what_never_came_changes_nothing() -> None:
    inbox = Inbox(10)
    inbox.accept(1)
    for seq in (0, -1, 2, 99):
        inbox.finish(seq)
    assert inbox.handled == 0
    inbox.finish(1)
    inbox.clear()
    assert (inbox.received, inbox.handled) == (0, 0)
    assert inbox.accept(1)


def test_acks_are_due_after_time_or_number() -> None:
    timer = AckTimer(replace(DEFAULT_LIMITS, ack_after_messages=3, ack_after_s=1.0))
    timer.owe(0, 10.0)
    assert timer.deadline is None
    timer.owe(1, 10.0)
    timer.owe(2, 10.9)
    assert timer.deadline == 11.0
    assert not timer.due(2)
    assert timer.due(3)
    timer.tick(10.9)
    assert not timer.due(2)
    timer.tick(11.0)
    assert timer.due(2)
    timer.told(2)
    assert timer.deadline is None
    timer.tick(20.0)
    assert not timer.due(2)
