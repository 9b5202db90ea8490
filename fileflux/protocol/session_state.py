"""States of a session's link, and what moves it from one to the next.

Rule of this file: every change of state is in ``TABLE`` and nowhere else. A pair of state and event that is not in it is refused: as a
mistake of this program if the event comes from the application or the clock, as a violation that closes the link if it comes from the
peer. The test holds the list of these pairs.

A session outlives its links: DOWN means that there is none just now. BROKEN means that the link is to be closed: what still comes over it
does not count, and only LINK_DOWN leads out.
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class Side(Enum):
    """Which end of a session this is."""

    AGENT = "agent"
    HUB = "hub"


class State(Enum):
    DOWN = "down"
    GREETING = "greeting"
    """The link is up. Agent: hello is on its way, welcome is awaited. Hub: hello is awaited."""
    DECIDING = "deciding"
    """Hub: hello is here, its application has not said welcome yet."""
    ESTABLISHED = "established"
    BROKEN = "broken"


class Event(Enum):
    # from the application
    LINK_UP = "link_up"
    LINK_DOWN = "link_down"
    SEND_WELCOME = "send_welcome"
    # from the peer
    HELLO = "hello"
    WELCOME = "welcome"
    MESSAGE = "message"
    VIOLATION = "violation"
    # from the clock
    TIMEOUT = "timeout"


TABLE: Final[dict[Side, dict[State, dict[Event, State]]]] = {
    Side.AGENT: {
        State.DOWN: {Event.LINK_UP: State.GREETING, Event.LINK_DOWN: State.DOWN},
        State.GREETING: {
            Event.WELCOME: State.ESTABLISHED,
            Event.LINK_DOWN: State.DOWN,
            Event.VIOLATION: State.BROKEN,
            Event.TIMEOUT: State.BROKEN,
        },
        State.ESTABLISHED: {
            Event.MESSAGE: State.ESTABLISHED,
            Event.LINK_DOWN: State.DOWN,
            Event.VIOLATION: State.BROKEN,
            Event.TIMEOUT: State.BROKEN,
        },
        State.BROKEN: {Event.LINK_DOWN: State.DOWN},
    },
    Side.HUB: {
        State.DOWN: {Event.LINK_UP: State.GREETING, Event.LINK_DOWN: State.DOWN},
        State.GREETING: {
            Event.HELLO: State.DECIDING,
            Event.LINK_DOWN: State.DOWN,
            Event.VIOLATION: State.BROKEN,
            Event.TIMEOUT: State.BROKEN,
        },
        State.DECIDING: {
            Event.SEND_WELCOME: State.ESTABLISHED,
            Event.LINK_DOWN: State.DOWN,
            Event.VIOLATION: State.BROKEN,
            Event.TIMEOUT: State.BROKEN,
        },
        State.ESTABLISHED: {
            Event.MESSAGE: State.ESTABLISHED,
            Event.LINK_DOWN: State.DOWN,
            Event.VIOLATION: State.BROKEN,
            Event.TIMEOUT: State.BROKEN,
        },
        State.BROKEN: {Event.LINK_DOWN: State.DOWN},
    },
}


def step(side: Side, state: State, event: Event) -> State | None:
    """The next state, or None if ``event`` is refused in ``state``."""
    return TABLE[side][state].get(event)
