"""What a supervisor holds of one child: an actor or a service, through all its lives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, runtime_checkable

import structlog

from fileflux.actors.kernel.actor import Actor, ActorRunner
from fileflux.actors.kernel.ref import ActorRef
from fileflux.actors.kernel.runtime import Result, spawn
from fileflux.errors import UnavailableError

log = structlog.get_logger("fileflux.supervisor")


class Service(Protocol):
    """A child that is not an actor. ``start`` returns when it works, or raises; ``stop`` may be called at any time, also twice."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


@runtime_checkable
class Escalating(Protocol):
    """A service that can say that it failed for good: a supervisor below this one."""

    def tell_above(self, notice: Callable[[Exception], None]) -> None: ...


class Child:
    """One name below a supervisor. ``ended`` hears of an end that nobody asked for, with the error if it was a crash."""

    __slots__ = ("_current", "_ended", "_factory", "_life", "name", "ref", "restart", "restarts")

    def __init__(
        self,
        name: str,
        factory: Callable[[], Actor[Any] | Service],
        restart: Literal["permanent", "transient", "temporary"],
        ended: Callable[[Child, Exception | None], None],
    ) -> None:
        self.name = name
        self.restart = restart
        self.restarts = 0
        self.ref: ActorRef[Any] = ActorRef(name)
        self._factory = factory
        self._ended = ended
        self._current: ActorRunner | Service | None = None
        self._life = 0

    @property
    def alive(self) -> bool:
        return self._current is not None

    def start(self) -> None:
        """Begin a new life; returns when ``on_start`` (``start`` of a service) is over, raising what it raised."""
        if self._current is not None:
            return
        self._life += 1
        life = self._life
        made = self._factory()
        if life != self._life:
            raise UnavailableError(f"{self.name} was stopped while it started")
        if isinstance(made, Actor):
            self._start_actor(made, life)
        else:
            self._start_service(made, life)

    def _start_actor(self, actor: Actor[Any], life: int) -> None:
        started: Result[None] = Result()

        def on_started(error: Exception | None) -> None:
            if error is None:
                started.set(None)
                return
            if life == self._life:
                self._current = None
            started.set_error(error)

        runner = ActorRunner(actor, self.ref, lambda error: self._over(life, error))
        self._current = runner
        runner.start(on_started)
        started.get()

    def _start_service(self, service: Service, life: int) -> None:
        if isinstance(service, Escalating):
            service.tell_above(lambda error: self._over(life, error))
        self._current = service
        try:
            service.start()
        except Exception:
            if life == self._life:
                self._current = None
            raise

    def signal_stop(self) -> None:
        """Ask for its end without waiting; then call ``stop``."""
        # From here on the end of this life is no news.
        self._life += 1
        if isinstance(self._current, ActorRunner):
            self._current.signal_stop()

    def stop(self, timeout: float) -> None:
        """End this life, waiting up to ``timeout`` seconds. Harmless when there is none, and from within the actor itself."""
        self.signal_stop()
        held, self._current = self._current, None
        if isinstance(held, ActorRunner):
            held.join(timeout)
        elif held is not None:
            self._stop_service(held, timeout)

    def _stop_service(self, service: Service, timeout: float) -> None:
        def stop() -> None:
            try:
                service.stop()
            except Exception:
                log.exception("service failed while stopping", service=self.name)

        task = spawn(stop, name=f"stop-{self.name}")
        task.join(timeout)
        if not task.dead:
            log.error("service did not stop in time", service=self.name, seconds=round(timeout, 3))
            task.kill(block=False)

    def _over(self, life: int, error: Exception | None) -> None:
        if life == self._life:
            self._current = None
            self._ended(self, error)
