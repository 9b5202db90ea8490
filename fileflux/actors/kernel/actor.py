"""An actor: state that belongs to one greenlet, changed by one message at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import structlog

from fileflux.actors.kernel.mailbox import Mailbox
from fileflux.actors.kernel.ref import ActorRef
from fileflux.actors.kernel.runtime import Task, Timer, call_later, current, spawn, yield_loop
from fileflux.clock import SystemClock
from fileflux.errors import LocalProtocolError, UnavailableError

M = TypeVar("M")

log = structlog.get_logger("fileflux.actor")

SLICE_S = 0.005
"""An actor with a long queue gives way after so long, well under the 20 ms that nothing may hold the loop."""


class Cancellable(Protocol):
    """A timer of ``Actor.after``."""

    def cancel(self) -> None: ...


class Actor(Generic[M]):
    """Override ``receive``, and ``on_start`` and ``on_stop`` where needed; all three run in the actor's greenlet.

    Start it through a Supervisor. An exception that leaves ``receive`` or ``on_start`` is a crash: the supervisor decides what follows.
    A successor is a new object that rebuilds its state from the store, never from its predecessor's.
    """

    mailbox_size: ClassVar[int] = 1000

    def __init__(self) -> None:
        self._ref: ActorRef[M] | None = None
        self._timers: set[_ActorTimer[M]] = set()
        self._stopping = False

    @property
    def ref(self) -> ActorRef[M]:
        """Its own address; there from ``on_start`` on, not in ``__init__``."""
        if self._ref is None:
            raise LocalProtocolError(f"{type(self).__name__} has no ref before it is started")
        return self._ref

    def on_start(self) -> None:
        """Called first. Messages may already wait."""

    def receive(self, message: M) -> None:
        """Handle one message."""
        raise NotImplementedError

    def on_stop(self) -> None:
        """Called last if ``on_start`` returned, also after a crash; an exception here is only logged."""

    def after(self, seconds: float, message: M) -> Cancellable:
        """Deliver ``message`` to this actor later, by the control lane. Cancelled when the actor ends."""
        return _ActorTimer(seconds, message, self.ref, self._timers)

    def stop_self(self) -> None:
        """End after the current message; what waits in the mailbox is dropped."""
        self._stopping = True


class _ActorTimer(Generic[M]):
    __slots__ = ("_message", "_ref", "_running", "_timer")

    def __init__(self, seconds: float, message: M, ref: ActorRef[M], running: set[_ActorTimer[M]]) -> None:
        self._message = message
        self._ref = ref
        self._running = running
        self._timer: Timer = call_later(seconds, self._fire)
        running.add(self)

    def _fire(self) -> None:
        self._running.discard(self)
        self._ref.tell_control(self._message)

    def cancel(self) -> None:
        self._running.discard(self)
        self._timer.cancel()


class ActorRunner:
    """One life of one actor, for the supervisor. ``ended`` is called once from the actor's greenlet, with the error of a crash or None."""

    def __init__(self, actor: Actor[Any], ref: ActorRef[Any], ended: Callable[[Exception | None], None]) -> None:
        self._actor = actor
        self._ref = ref
        self._ended = ended
        self._task: Task | None = None
        self._error: Exception | None = None

    def start(self, started: Callable[[Exception | None], None]) -> None:
        """Begin. ``started`` is called when ``on_start`` is over, before the first message; with an error there is no ``ended``."""
        self._actor._ref = self._ref  # noqa: SLF001  # the runner is the other half of Actor, kept apart so that subclasses do not see it
        mailbox = self._ref.open(self._actor.mailbox_size)
        self._task = spawn(self._run, mailbox, started, name=self._ref.name)

    def signal_stop(self) -> None:
        """Ask it to end before its next message. Then call ``join``."""
        self._actor.stop_self()
        self._ref.close()

    def join(self, timeout: float) -> None:
        """Wait for the end of an actor that was told to stop; one that does not end is killed. Does nothing from within the actor."""
        task = self._task
        if task is None or task is current():
            return
        task.join(timeout)
        if not task.dead:
            log.error("actor did not stop in time", actor=self._ref.name, seconds=round(timeout, 3))
            task.kill(timeout=1.0)

    def _run(self, mailbox: Mailbox[Any], started: Callable[[Exception | None], None]) -> None:
        actor = self._actor
        failure: Exception | None = UnavailableError(f"{self._ref.name} was stopped while it started")
        try:
            actor.on_start()
            failure = None
        except Exception as error:  # noqa: BLE001  # whatever it is, the supervisor must hear of it
            failure = error
        finally:
            if failure is not None:
                self._clean_up()
            started(failure)
        if failure is not None:
            return
        try:
            self._loop(mailbox)
        except Exception as error:
            log.exception("actor crashed", actor=self._ref.name)
            self._error = error
        finally:
            self._clean_up()
            try:
                actor.on_stop()
            except Exception:
                log.exception("actor failed while stopping", actor=self._ref.name)
            self._ended(self._error)

    def _loop(self, mailbox: Mailbox[Any]) -> None:
        actor = self._actor
        clock = SystemClock()
        slice_end = clock.monotonic() + SLICE_S
        while not actor._stopping:  # noqa: SLF001  # see start
            waits = bool(len(mailbox))
            message = mailbox.get()
            if message is None:
                return
            if not waits:
                slice_end = clock.monotonic() + SLICE_S
            actor.receive(message)
            message = None  # a Reply that was not kept must fall now, not when the next message comes
            if clock.monotonic() > slice_end:
                yield_loop()
                slice_end = clock.monotonic() + SLICE_S

    def _clean_up(self) -> None:
        for timer in tuple(self._actor._timers):  # noqa: SLF001  # see start
            timer.cancel()
        self._ref.close()
