"""Where a machine stands in its state table (``source_state.py``, ``sink_state.py``, ``bundle_state.py``)."""

from __future__ import annotations

from collections.abc import Callable, Container
from enum import Enum
from typing import Generic, TypeVar

from fileflux.errors import RemoteProtocolError

S = TypeVar("S", bound=Enum)
E = TypeVar("E", bound=Enum)


class Steps(Generic[S, E]):
    """``following`` is the table: the next state, or None for an event that is out of place. ``ended``: states in which what the hub says is merely late."""

    def __init__(self, wire_id: int, first: S, following: Callable[[S, E], S | None], ended: Container[S]) -> None:
        self.state = first
        self._wire_id = wire_id
        self._following = following
        self._ended = ended

    def allows(self, event: E) -> bool:
        return self._following(self.state, event) is not None

    def step(self, event: E) -> None:
        """An event of this machine's own making: one that is out of place is a fault of the program."""
        following = self._following(self.state, event)
        if following is None:
            raise AssertionError(f"{event.name} in {self.state.name}")
        self.state = following

    def heard(self, event: E) -> bool:
        """The hub's message; False when it is merely late. Raises RemoteProtocolError when it is out of place."""
        if self.state in self._ended:
            return False
        if not self.allows(event):
            raise out_of_place(self._wire_id, event.name.lower(), self.state.name.lower())
        self.step(event)
        return True


def out_of_place(wire_id: int, what: str, state: str) -> RemoteProtocolError:
    """The hub's message does not fit the state."""
    return RemoteProtocolError(
        f"{what} for transfer {wire_id} is not expected now: it is {state}", code="out_of_place", field="transfer_id"
    )
