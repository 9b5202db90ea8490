"""Every pair of state and event of both machines is in the table or is refused or ignored on purpose."""

from __future__ import annotations

import pytest

from flux_agent.transfer import sink_state, source_state

pytestmark = pytest.mark.unit

# (state, event) pairs that only a mistake of the hub brings about. Everything else outside of the tables is late or our own bug.
SOURCE_REFUSED = {
    ("OPENING", "HAVE"), ("OPENING", "RESUMED"), ("OPENING", "GRANTED"), ("OPENING", "CHUNK_WANTED"), ("OPENING", "RELEASED"),
    ("WAITING", "CHUNK_WANTED"), ("WAITING", "RELEASED"),
    ("MOVING", "HAVE"), ("STALLED", "HAVE"), ("CHECKING", "HAVE"), ("COMPLETE", "HAVE"),
}  # fmt: skip
SINK_REFUSED = {
    ("OPENING", "FRAME"), ("OPENING", "SAME"), ("OPENING", "RESUMED"), ("OPENING", "COMMIT"),
    ("COMPARING", "FRAME"), ("COMPARING", "SAME"), ("COMPARING", "RESUMED"), ("COMPARING", "COMMIT"),
    ("COMMITTING", "COMMIT"),
}  # fmt: skip


@pytest.mark.parametrize(("module", "refused"), [(source_state, SOURCE_REFUSED), (sink_state, SINK_REFUSED)])
def test_every_pair_is_decided(module, refused):
    found = {
        (state.name, event.name)
        for state in module.State
        for event in module.FROM_HUB
        if module.step(state, event) is None and state.name not in ("CLOSING", "CLOSED")
    }
    assert found == refused


@pytest.mark.parametrize("module", [source_state, sink_state])
def test_every_state_leads_to_the_end(module):
    assert set(module.TABLE) == set(module.State)
    for state in module.State:
        seen = {state}
        while True:
            more = {after for one in seen for after in module.TABLE[one].values()} - seen
            if not more:
                break
            seen |= more
        assert module.State.CLOSED in seen


@pytest.mark.parametrize("module", [source_state, sink_state])
def test_closed_is_final_and_every_live_state_can_be_ended(module):
    assert module.TABLE[module.State.CLOSED] == {}
    for state in module.State:
        if state not in (module.State.CLOSING, module.State.CLOSED):
            assert module.step(state, module.Event.ENDED) is module.State.CLOSING
            assert module.step(state, module.Event.LINK_LOST) is not None
