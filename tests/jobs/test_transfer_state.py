"""The transfer's table: every pair of state and event is either in it or refused."""

import pytest

from fileflux.jobs.transfer_state import REFUSED_EVENTS, TABLE, Event, State, step

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("event", list(Event))
def test_every_pair_is_decided(state: State, event: Event) -> None:
    following = step(state, event)
    assert following is None or isinstance(following, State)
    if state is State.ENDED:
        assert following is None, "a late event must never revive an ended transfer"


def test_all_states_are_reached_and_can_end() -> None:
    assert set(TABLE) == set(State)
    reached = {State.IDLE} | {target for steps in TABLE.values() for target in steps.values()}
    assert reached == set(State)
    for state in set(State) - {State.ENDED}:
        assert State.ENDED in TABLE[state].values()


def test_after_the_commit_nothing_but_the_destination_ends_it_well() -> None:
    assert Event.CANCELLED not in TABLE[State.COMMITTING]
    assert TABLE[State.COMMITTING][Event.DELIVERED] is State.ENDED
    assert all(Event.DELIVERED not in steps for state, steps in TABLE.items() if state is not State.COMMITTING)


def test_a_pause_takes_back_whatever_has_an_attempt_that_is_not_committed() -> None:
    paused = {state for state, steps in TABLE.items() if Event.PAUSED in steps}
    assert paused == {State.OPENING_SOURCE, State.OPENING_DESTINATION, State.COMPARING, State.MOVING}
    assert all(TABLE[state][Event.PAUSED] is State.IDLE for state in paused)


def test_what_only_a_peer_can_cause_is_marked() -> None:
    assert {Event.BEGIN, Event.CANCELLED, Event.FAILED, Event.ATTEMPT_LOST, Event.PAUSED}.isdisjoint(REFUSED_EVENTS)
