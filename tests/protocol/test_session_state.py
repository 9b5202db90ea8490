"""Every pair of state and event is in the table or in this list of refusals."""

from __future__ import annotations

import pytest

from fileflux.protocol.session_state import TABLE, Event, Side, State, step

pytestmark = pytest.mark.unit

E, S = Event, State

REFUSED: dict[Side, dict[State, set[Event]]] = {
    Side.AGENT: {
        S.DOWN: {E.SEND_WELCOME, E.HELLO, E.WELCOME, E.MESSAGE, E.VIOLATION, E.TIMEOUT},
        S.GREETING: {E.LINK_UP, E.SEND_WELCOME, E.HELLO, E.MESSAGE},
        S.ESTABLISHED: {E.LINK_UP, E.SEND_WELCOME, E.HELLO, E.WELCOME},
        S.BROKEN: {E.LINK_UP, E.SEND_WELCOME, E.HELLO, E.WELCOME, E.MESSAGE, E.VIOLATION, E.TIMEOUT},
    },
    Side.HUB: {
        S.DOWN: {E.SEND_WELCOME, E.HELLO, E.WELCOME, E.MESSAGE, E.VIOLATION, E.TIMEOUT},
        S.GREETING: {E.LINK_UP, E.SEND_WELCOME, E.WELCOME, E.MESSAGE},
        S.DECIDING: {E.LINK_UP, E.HELLO, E.WELCOME, E.MESSAGE},
        S.ESTABLISHED: {E.LINK_UP, E.SEND_WELCOME, E.HELLO, E.WELCOME},
        S.BROKEN: {E.LINK_UP, E.SEND_WELCOME, E.HELLO, E.WELCOME, E.MESSAGE, E.VIOLATION, E.TIMEOUT},
    },
}


@pytest.mark.parametrize("side", Side)
def test_every_pair_is_decided(side: Side) -> None:
    assert set(TABLE[side]) == set(REFUSED[side])
    for state, row in TABLE[side].items():
        refused = REFUSED[side][state]
        for event in Event:
            assert (event in row) != (event in refused), (state, event)
            assert step(side, state, event) is row.get(event)


@pytest.mark.parametrize("side", Side)
def test_every_state_can_be_reached_and_left_by_losing_the_link(side: Side) -> None:
    reached = {State.DOWN}
    while grown := {after for state in reached for after in TABLE[side][state].values()} - reached:
        reached |= grown
    assert reached == set(TABLE[side])
    assert all(step(side, state, Event.LINK_DOWN) is State.DOWN for state in reached)
