from __future__ import annotations

import pytest

from fileflux.actors.kernel import runtime
from fileflux.actors.kernel.mailbox import Mailbox

pytestmark = pytest.mark.unit


def opened(size: int = 3) -> Mailbox[str]:
    mailbox: Mailbox[str] = Mailbox()
    mailbox.open(size)
    return mailbox


def test_keeps_order_and_refuses_when_full():
    mailbox = opened(2)
    assert mailbox.put("a")
    assert mailbox.put("b")
    assert not mailbox.put("c")
    assert [mailbox.get(), mailbox.get()] == ["a", "b"]
    assert mailbox.put("d")


def test_control_overtakes_keeps_its_own_order_and_is_not_bounded():
    mailbox = opened(1)
    mailbox.put("ordinary")
    for name in ("one", "two", "three"):
        assert mailbox.put_control(name)
    assert len(mailbox) == 4
    assert [mailbox.get() for _ in range(4)] == ["one", "two", "three", "ordinary"]


def test_a_closed_one_refuses_both_lanes_and_forgets_what_waited():
    mailbox: Mailbox[str] = Mailbox()
    assert not mailbox.put("early")
    mailbox.open(3)
    mailbox.put("a")
    mailbox.close()
    assert not mailbox.put("b")
    assert not mailbox.put_control("c")
    assert mailbox.get() is None
    mailbox.open(3)
    assert len(mailbox) == 0


def test_a_waiting_reader_wakes_for_a_message_and_for_the_end():
    mailbox = opened()
    got: list[str | None] = []

    def read() -> None:
        got.append(mailbox.get())
        got.append(mailbox.get())

    reader = runtime.spawn(read)
    runtime.yield_loop()
    mailbox.put("a")
    runtime.yield_loop()
    assert got == ["a"]
    mailbox.close()
    reader.join(5)
    assert got == ["a", None]
