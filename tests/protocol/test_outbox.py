from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileflux.errors import LocalProtocolError, OverloadedError
from fileflux.protocol.outbox import Outbox

pytestmark = pytest.mark.unit


def test_numbers_bound_and_replay() -> None:
    box: Outbox[str] = Outbox(3)
    assert [box.add(name) for name in "abc"] == [1, 2, 3]
    assert box.full
    with pytest.raises(OverloadedError):
        box.add("d")
    box.acknowledge(2)
    assert list(box.replay(0)) == [(3, "c")]
    assert box.add("d") == 4
    assert list(box.replay(3)) == [(4, "d")]
    assert list(box.replay(4)) == []
    assert len(box) == 2


def test_acks_only_go_forward() -> None:
    box: Outbox[str] = Outbox(10)
    for name in "abc":
        box.add(name)
    box.acknowledge(2)
    box.acknowledge(1)
    box.acknowledge(2)
    assert box.acknowledged == 2
    with pytest.raises(LocalProtocolError):
        box.acknowledge(4)


def test_clear_starts_again_at_one() -> None:
    box: Outbox[str] = Outbox(2)
    box.add("a")
    box.add("b")
    box.clear()
    assert (box.last_seq, box.acknowledged, len(box)) == (0, 0, 0)
    assert box.add("c") == 1


@given(st.lists(st.one_of(st.none(), st.integers(0, 40))))
def test_replay_is_what_was_added_and_not_acknowledged(steps: list[int | None]) -> None:
    box: Outbox[int] = Outbox(10)
    acknowledged = 0
    for step in steps:
        if step is None:
            if not box.full:
                box.add(box.last_seq + 1)
        elif step <= box.last_seq:
            box.acknowledge(step)
            acknowledged = max(acknowledged, step)
        assert list(box.replay(0)) == [(seq, seq) for seq in range(acknowledged + 1, box.last_seq + 1)]
