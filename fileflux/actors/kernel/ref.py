"""What others hold of an actor: a ref, never the actor.

A ref outlives its actor: after a restart it leads to the successor, whose mailbox begins empty. Everybody who waited for an answer of the
one that is gone is told so. An answer is also given when an actor forgets a ``Reply``: nobody waits for what cannot come.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from fileflux.actors.kernel.mailbox import Mailbox
from fileflux.actors.kernel.runtime import Result
from fileflux.errors import OverloadedError, UnavailableError

M = TypeVar("M")
T = TypeVar("T")


class Reply(Generic[T]):
    """Travels inside a message to whoever is to answer. The first ``send`` or ``fail`` counts; call one of them."""

    __slots__ = ("_name", "_result")

    def __init__(self, result: Result[T], name: str) -> None:
        self._result = result
        self._name = name

    def send(self, value: T) -> None:
        self._result.set(value)

    def fail(self, error: Exception) -> None:
        self._result.set_error(error)

    def __del__(self) -> None:
        if not self._result.ready:
            self._result.set_error(UnavailableError(f"{self._name} dropped the question; try again"))


class ActorRef(Generic[M]):
    """The address of an actor. Use it from the loop's thread only."""

    __slots__ = ("_asked", "_mailbox", "_name")

    def __init__(self, name: str) -> None:
        self._name = name
        self._mailbox: Mailbox[M] = Mailbox()
        self._asked: set[Result[Any]] = set()

    def __repr__(self) -> str:
        return f"<ActorRef {self._name}>"

    @property
    def name(self) -> str:
        return self._name

    @property
    def alive(self) -> bool:
        """It takes messages just now."""
        return self._mailbox.is_open

    @property
    def depth(self) -> int:
        """Messages that wait."""
        return len(self._mailbox)

    def tell(self, message: M) -> bool:
        """Leave a message. False: its mailbox is full or it is not running, and the sender must act on that."""
        return self._mailbox.put(message)

    def tell_control(self, message: M) -> None:
        """Leave a message that overtakes ordinary ones and is never refused; an actor that is not running does not get it."""
        self._mailbox.put_control(message)

    def ask(self, build: Callable[[Reply[T]], M], timeout: float) -> T:
        """Send the message that ``build`` makes around a Reply, and wait for the answer. For the edge only, never from an actor.

        Raises the error that was given as the answer; UnavailableError when the actor is not running, ends, drops the message or
        does not answer within ``timeout`` seconds; OverloadedError when its mailbox is full.
        """
        result: Result[T] = Result()
        if not self._mailbox.put(build(Reply(result, self._name))):
            if self._mailbox.is_open:
                raise OverloadedError(f"{self._name} is overloaded; try again")
            raise UnavailableError(f"{self._name} is not running; try again")
        self._asked.add(result)
        try:
            return result.get(timeout)
        finally:
            self._asked.discard(result)

    def open(self, mailbox_size: int) -> Mailbox[M]:
        """For the supervisor: an actor begins behind this ref."""
        self._mailbox.open(mailbox_size)
        return self._mailbox

    def close(self) -> None:
        """For the supervisor: the actor is gone; messages are dropped and waiting askers fail."""
        for result in tuple(self._asked):
            result.set_error(UnavailableError(f"{self._name} stopped; try again"))
        self._mailbox.close()
