"""The states of the receiving end of a transfer, and every step between them.

The table decides; ``sink.py`` acts. An event that a state does not list is out of place: refused when the hub's message caused it
(``FROM_HUB``), ignored otherwise.
"""

from __future__ import annotations

from enum import Enum, auto


class State(Enum):
    OPENING = auto()
    COMPARING = auto()
    """Accepted; the hashes of what is on disk are taken and sent as have pages."""
    RECEIVING = auto()
    COMMITTING = auto()
    """The hub's ``transfer_commit`` is here: the last hashes, then the rename."""
    CLOSING = auto()
    """Waits for its tasks to end."""
    CLOSED = auto()


class Event(Enum):
    OPENED = auto()
    COMPARED = auto()
    FRAME = auto()
    SAME = auto()
    RESUMED = auto()
    COMMIT = auto()
    LINK_LOST = auto()
    ENDED = auto()
    """Delivered, satisfied without a transfer, failed, cancelled, or the session is gone."""
    DRAINED = auto()


TABLE: dict[State, dict[Event, State]] = {
    State.OPENING: {
        Event.OPENED: State.COMPARING,
        Event.LINK_LOST: State.OPENING,
        Event.ENDED: State.CLOSING,
    },
    State.COMPARING: {
        Event.COMPARED: State.RECEIVING,
        Event.LINK_LOST: State.COMPARING,
        Event.ENDED: State.CLOSING,
    },
    State.RECEIVING: {
        Event.FRAME: State.RECEIVING,
        Event.SAME: State.RECEIVING,
        Event.RESUMED: State.RECEIVING,
        Event.COMMIT: State.COMMITTING,
        Event.LINK_LOST: State.RECEIVING,
        Event.ENDED: State.CLOSING,
    },
    State.COMMITTING: {
        # Chunks sent again by a source that had not seen the last acks.
        Event.FRAME: State.COMMITTING,
        Event.SAME: State.COMMITTING,
        Event.RESUMED: State.COMMITTING,
        Event.LINK_LOST: State.COMMITTING,
        Event.ENDED: State.CLOSING,
    },
    State.CLOSING: {Event.DRAINED: State.CLOSED},
    State.CLOSED: {},
}

FROM_HUB = frozenset({Event.FRAME, Event.SAME, Event.RESUMED, Event.COMMIT})
"""Events that a message of the hub causes. In CLOSING and CLOSED they are late, which is normal, and ignored."""


def step(state: State, event: Event) -> State | None:
    """The next state, or None when ``event`` is out of place in ``state``."""
    return TABLE[state].get(event)
