"""Supervision: who starts children, restarts those that crash, and stops them in the reverse order.

``one_for_one`` restarts only the child that crashed. ``rest_for_one`` also restarts everything that was started after it, because what
starts later holds what an earlier child was. More than ``max_restarts`` within ``within_s`` seconds means that restarting does not help:
the supervisor stops its children and gives up; a supervisor above it takes that as a crash of a child. Restarts happen one at a time, in
a greenlet of their own, never in the greenlet of the child that crashed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import structlog

from fileflux.actors.kernel import runtime
from fileflux.actors.kernel.actor import Actor
from fileflux.actors.kernel.child import Child, Service
from fileflux.actors.kernel.ref import ActorRef
from fileflux.clock import Clock, SystemClock
from fileflux.errors import ConflictError, NotFoundError, UnavailableError
from fileflux.protocol.limits import DEFAULT_LIMITS

log = structlog.get_logger("fileflux.supervisor")

Restart = Literal["permanent", "transient", "temporary"]
Strategy = Literal["one_for_one", "rest_for_one"]
State = Literal["idle", "running", "stopping", "stopped"]


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """A child to be. ``factory`` is called for every life of it.

    ``permanent`` children are restarted whenever they end, ``transient`` ones only after a crash, ``temporary`` ones never.
    """

    name: str
    factory: Callable[[], Actor[Any] | Service]
    restart: Restart = "permanent"


@dataclass(frozen=True, slots=True)
class ChildStatistics:
    name: str
    alive: bool
    restarts: int
    mailbox_depth: int


@dataclass(frozen=True, slots=True)
class SupervisorStatistics:
    """``restarts`` counts over the life of the supervisor, also those of children that are gone."""

    name: str
    state: State
    restarts: int
    mailbox_depth: int
    children: tuple[ChildStatistics, ...]


class Supervisor:
    """Children live from ``start``, ``start_child`` or ``start_service`` to ``stop``; it can be started again and is a Service itself.

    Actors and ``start`` of services run in the caller's loop thread. ``on_give_up`` is called once per giving up, with the last error.
    """

    def __init__(
        self,
        name: str,
        strategy: Strategy,
        children: Sequence[ChildSpec] = (),
        max_restarts: int = 5,
        within_s: float = 10,
        *,
        on_give_up: Callable[[Exception], None] | None = None,
        stop_timeout: float = DEFAULT_LIMITS.stop_timeout,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.on_give_up = on_give_up
        self._strategy = strategy
        self._specs = tuple(children)
        self._stop_timeout = stop_timeout
        self._clock = clock or SystemClock()
        self._state: State = "idle"
        self._children: dict[str, Child] = {}
        self._max_restarts = max_restarts
        self._within_s = within_s
        self._recent: deque[float] = deque()
        self._restarts = 0
        self._repairs: deque[Child] = deque()
        self._repairer: runtime.Task | None = None
        self._order = runtime.Lock()
        """Held while the order of children matters: at the start, under rest_for_one when one is added, and while one is repaired."""
        self._above: Callable[[Exception], None] | None = None
        self._prepare()

    def start(self) -> None:
        """Start the children given to the constructor, in their order. If one fails, those before it are stopped and its error is raised."""
        if self._state == "running":
            return
        self._state = "running"
        self._recent.clear()
        if not self._children:
            self._prepare()
        try:
            with self._order:
                for child in tuple(self._children.values()):
                    child.start()
        except Exception:
            self.stop()
            raise

    def start_child(self, spec: ChildSpec) -> ActorRef[Any]:
        """Start one more child behind the others and return when its ``on_start`` is over, raising what that raised.

        Raises ConflictError when the name is taken, UnavailableError when the supervisor is stopping or has stopped. Under rest_for_one
        it must not be called from within a child of the same supervisor.
        """
        return self._add(spec).ref

    def start_service(self, name: str, service: Service, restart: Restart = "permanent") -> None:
        """Like ``start_child`` for an object that is there already; a restart is its ``stop`` and ``start``."""
        self._add(ChildSpec(name, lambda: service, restart))

    def stop_child(self, name: str) -> None:
        """Stop one child and forget it; nothing happens when there is none."""
        child = self._children.pop(name, None)
        if child is not None:
            child.stop(self._stop_timeout)

    def ref(self, name: str) -> ActorRef[Any]:
        """The ref of a child, valid before it runs and over its restarts. Raises NotFoundError."""
        child = self._children.get(name)
        if child is None:
            raise NotFoundError(f"{self.name} has no child {name}")
        return child.ref

    def stop(self, timeout: float | None = None) -> None:
        """Stop all children, last started first, within about ``timeout`` seconds; those that do not end by then are killed.

        Children that were added later are forgotten. After this only ``start`` makes it usable again.
        """
        if self._state in ("stopping", "stopped"):
            return
        self._state = "stopping"
        self._stop_all(self._stop_timeout if timeout is None else timeout)

    @property
    def restarts(self) -> int:
        """As in ``statistics``, without looking at every child."""
        return self._restarts

    def statistics(self) -> SupervisorStatistics:
        children = tuple(
            ChildStatistics(child.name, child.alive, child.restarts, child.ref.depth)
            for child in self._children.values()
        )
        depth = sum(child.mailbox_depth for child in children)
        return SupervisorStatistics(self.name, self._state, self._restarts, depth, children)

    def _prepare(self) -> None:
        for spec in self._specs:
            self._insert(spec)

    def _insert(self, spec: ChildSpec) -> Child:
        if spec.name in self._children:
            raise ConflictError(f"{self.name} has a child {spec.name} already")
        child = Child(spec.name, spec.factory, spec.restart, self._ended)
        self._children[spec.name] = child
        return child

    def _add(self, spec: ChildSpec) -> Child:
        if self._state == "idle":
            self.start()
        if self._state != "running":
            raise UnavailableError(f"{self.name} is stopping")
        if self._strategy == "one_for_one":
            return self._insert_and_start(spec)
        with self._order:
            return self._insert_and_start(spec)

    def _insert_and_start(self, spec: ChildSpec) -> Child:
        child = self._insert(spec)
        try:
            child.start()
        except Exception:
            self._forget(child)
            raise
        return child

    def _forget(self, child: Child) -> None:
        if self._children.get(child.name) is child:
            del self._children[child.name]

    def _stop_all(self, timeout: float) -> None:
        self._repairs.clear()
        self._stop_children(tuple(self._children.values()), self._clock.monotonic() + timeout)
        self._children.clear()
        self._state = "stopped"

    def _stop_children(self, children: Sequence[Child], deadline: float) -> None:
        # Temporary children beside each other (sessions) have no order among themselves, and there may be thousands of them.
        signalled: list[Child] = []
        for child in reversed(children):
            if child.restart == "temporary":
                child.signal_stop()
                signalled.append(child)
            else:
                self._join((*signalled, child), deadline)
                signalled.clear()
        self._join(signalled, deadline)

    def _join(self, children: Sequence[Child], deadline: float) -> None:
        for child in children:
            # One that took all the time must not cost the others their orderly end.
            child.stop(max(deadline - self._clock.monotonic(), 0.1))

    def _ended(self, child: Child, error: Exception | None) -> None:
        """A child ended by itself; called in its own greenlet, so nothing here waits."""
        if self._state != "running" or self._children.get(child.name) is not child:
            return
        if child.restart == "permanent" or (child.restart == "transient" and error is not None):
            self._repair_later(child, error or UnavailableError(f"{child.name} ended"))
        else:
            self._forget(child)

    def _repair_later(self, child: Child, error: Exception) -> None:
        now = self._clock.monotonic()
        self._recent.append(now)
        while self._recent and self._recent[0] < now - self._within_s:
            self._recent.popleft()
        if len(self._recent) > self._max_restarts:
            self._state = "stopping"
            runtime.spawn(self._give_up, error, name=f"{self.name}-gives-up")
            return
        self._repairs.append(child)
        if self._repairer is None:
            self._repairer = runtime.spawn(self._repair_all, name=f"{self.name}-repairs")

    def _repair_all(self) -> None:
        try:
            while self._repairs and self._state == "running":
                with self._order:
                    self._repair_next()
        finally:
            self._repairer = None

    def _repair_next(self) -> None:
        child = self._repairs.popleft() if self._repairs else None
        if child is None or child.alive or self._children.get(child.name) is not child:
            return
        later: tuple[Child, ...] = ()
        if self._strategy == "rest_for_one":
            children = tuple(self._children.values())
            later = children[children.index(child) + 1 :]
        self._stop_children((child, *later), self._clock.monotonic() + self._stop_timeout)
        for one in (child, *later):
            if one.restart == "temporary":
                self._forget(one)
                continue
            if self._state != "running":
                return
            if self._children.get(one.name) is not one:
                continue
            self._restarts += 1
            one.restarts += 1
            log.warning("restarting", supervisor=self.name, child=one.name)
            try:
                one.start()
            except Exception as error:
                log.exception("restart failed", supervisor=self.name, child=one.name)
                self._repair_later(one, error)
                # Under rest_for_one those behind it have to wait for it; its repair starts them.
                if self._strategy == "rest_for_one":
                    return

    def _give_up(self, error: Exception) -> None:
        log.error("too many restarts: giving up", supervisor=self.name, error=str(error))
        self._stop_all(self._stop_timeout)
        for notice in (self.on_give_up, self._above):
            if notice is not None:
                notice(error)

    def tell_above(self, notice: Callable[[Exception], None]) -> None:
        """For the supervisor above: who hears of giving up, besides ``on_give_up``."""
        self._above = notice
