"""The states of one transfer as the hub sees it, and every step between them.

The table below decides; ``transfer.py`` acts. An event that a state does not list is out of place there: it is refused when a peer
caused it (``REFUSED_EVENTS``) and ignored otherwise.
"""

from __future__ import annotations

from enum import Enum, auto


class State(Enum):
    IDLE = auto()
    """Has no attempt: not begun, or waiting for agents or for the time of the next retry."""
    OPENING_SOURCE = auto()
    OPENING_DESTINATION = auto()
    COMPARING = auto()
    """Have pages of the destination are on their way to the source."""
    MOVING = auto()
    COMMITTING = auto()
    """Both ends agree and the destination was told to rename; from here only its answer decides."""
    ENDED = auto()


class Event(Enum):
    BEGIN = auto()
    SOURCE_ACCEPTED = auto()
    DESTINATION_ACCEPTED = auto()
    DESTINATION_SATISFIED = auto()
    HAVE_FORWARDED = auto()
    SOURCE_COMPLETED = auto()
    ALL_ACKED = auto()
    BOTH_AGREED = auto()
    DELIVERED = auto()
    ATTEMPT_LOST = auto()
    FAILED = auto()
    CANCELLED = auto()
    PAUSED = auto()
    """A person paused the run: the attempt is given up, the part stays."""


TABLE: dict[State, dict[Event, State]] = {
    State.IDLE: {
        Event.BEGIN: State.OPENING_SOURCE,
        Event.FAILED: State.ENDED,
        Event.CANCELLED: State.ENDED,
    },
    State.OPENING_SOURCE: {
        Event.SOURCE_ACCEPTED: State.OPENING_DESTINATION,
        Event.ATTEMPT_LOST: State.IDLE,
        Event.PAUSED: State.IDLE,
        Event.FAILED: State.ENDED,
        Event.CANCELLED: State.ENDED,
    },
    State.OPENING_DESTINATION: {
        Event.DESTINATION_ACCEPTED: State.COMPARING,
        Event.DESTINATION_SATISFIED: State.ENDED,
        Event.ATTEMPT_LOST: State.IDLE,
        Event.PAUSED: State.IDLE,
        Event.FAILED: State.ENDED,
        Event.CANCELLED: State.ENDED,
    },
    State.COMPARING: {
        Event.HAVE_FORWARDED: State.MOVING,
        Event.ATTEMPT_LOST: State.IDLE,
        Event.PAUSED: State.IDLE,
        Event.FAILED: State.ENDED,
        Event.CANCELLED: State.ENDED,
    },
    State.MOVING: {
        Event.SOURCE_COMPLETED: State.MOVING,
        Event.ALL_ACKED: State.MOVING,
        Event.BOTH_AGREED: State.COMMITTING,
        Event.ATTEMPT_LOST: State.IDLE,
        Event.PAUSED: State.IDLE,
        Event.FAILED: State.ENDED,
        Event.CANCELLED: State.ENDED,
    },
    State.COMMITTING: {
        Event.DELIVERED: State.ENDED,
        Event.ATTEMPT_LOST: State.IDLE,
        Event.FAILED: State.ENDED,
    },
    State.ENDED: {},
}

REFUSED_EVENTS = frozenset(
    {
        Event.SOURCE_ACCEPTED,
        Event.DESTINATION_ACCEPTED,
        Event.DESTINATION_SATISFIED,
        Event.SOURCE_COMPLETED,
        Event.DELIVERED,
    }
)
"""Events that only a peer's message causes: out of place, they are the peer's fault."""


def step(state: State, event: Event) -> State | None:
    """The next state, or None when ``event`` is out of place in ``state``."""
    return TABLE[state].get(event)
