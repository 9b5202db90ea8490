"""The states of the sending end of a transfer, and every step between them.

The table decides; ``source.py`` acts. An event that a state does not list is out of place: refused when the hub's message caused it
(``FROM_HUB``), ignored otherwise.
"""

from __future__ import annotations

from enum import Enum, auto


class State(Enum):
    OPENING = auto()
    WAITING = auto()
    """Accepted; have pages may come in, the first ``transfer_resume`` ends it."""
    MOVING = auto()
    STALLED = auto()
    """The link went away; the hub says by ``transfer_resume`` what arrived."""
    CHECKING = auto()
    """Everything is sent; a last look whether the file is still what was opened."""
    COMPLETE = auto()
    CLOSING = auto()
    """Waits for its tasks to end."""
    CLOSED = auto()


class Event(Enum):
    OPENED = auto()
    HAVE = auto()
    RESUMED = auto()
    GRANTED = auto()
    CHUNK_WANTED = auto()
    ALL_SENT = auto()
    CHECKED = auto()
    LINK_LOST = auto()
    RELEASED = auto()
    """Only after ``transfer_complete``: the machine looks at that before it asks the table."""
    ENDED = auto()
    """Failed, cancelled, or the session is gone."""
    DRAINED = auto()


TABLE: dict[State, dict[Event, State]] = {
    State.OPENING: {
        Event.OPENED: State.WAITING,
        Event.LINK_LOST: State.OPENING,
        Event.ENDED: State.CLOSING,
    },
    State.WAITING: {
        Event.HAVE: State.WAITING,
        Event.RESUMED: State.MOVING,
        Event.GRANTED: State.WAITING,
        Event.LINK_LOST: State.WAITING,
        Event.ENDED: State.CLOSING,
    },
    State.MOVING: {
        Event.RESUMED: State.MOVING,
        Event.GRANTED: State.MOVING,
        Event.CHUNK_WANTED: State.MOVING,
        Event.ALL_SENT: State.CHECKING,
        Event.LINK_LOST: State.STALLED,
        Event.RELEASED: State.CLOSING,
        Event.ENDED: State.CLOSING,
    },
    State.STALLED: {
        Event.RESUMED: State.MOVING,
        Event.GRANTED: State.STALLED,
        Event.CHUNK_WANTED: State.STALLED,
        Event.LINK_LOST: State.STALLED,
        Event.RELEASED: State.CLOSING,
        Event.ENDED: State.CLOSING,
    },
    State.CHECKING: {
        Event.RESUMED: State.MOVING,
        Event.GRANTED: State.CHECKING,
        Event.CHUNK_WANTED: State.MOVING,
        Event.CHECKED: State.COMPLETE,
        Event.LINK_LOST: State.STALLED,
        Event.RELEASED: State.CLOSING,
        Event.ENDED: State.CLOSING,
    },
    State.COMPLETE: {
        Event.RESUMED: State.MOVING,
        Event.GRANTED: State.COMPLETE,
        Event.CHUNK_WANTED: State.MOVING,
        Event.LINK_LOST: State.COMPLETE,
        Event.RELEASED: State.CLOSING,
        Event.ENDED: State.CLOSING,
    },
    State.CLOSING: {Event.DRAINED: State.CLOSED},
    State.CLOSED: {},
}

FROM_HUB = frozenset({Event.HAVE, Event.RESUMED, Event.GRANTED, Event.CHUNK_WANTED, Event.RELEASED})
"""Events that a message of the hub causes. In CLOSING and CLOSED they are late, which is normal, and ignored."""


def step(state: State, event: Event) -> State | None:
    """The next state, or None when ``event`` is out of place in ``state``."""
    return TABLE[state].get(event)
