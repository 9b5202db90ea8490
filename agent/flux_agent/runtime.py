"""The composition root: everything that makes an agent, put together, started, and stopped in the reverse order."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable
from typing import Final

import structlog

from fileflux.actors.kernel import runtime
from fileflux.actors.kernel.memory import keep_freed_memory
from fileflux.actors.kernel.pump import Pump
from fileflux.actors.kernel.resolver import Resolver
from fileflux.clock import SystemClock
from fileflux.protocol.messages import FEATURES
from fileflux.protocol.session import Session, Side
from fileflux.workers.pool import WorkerPool
from fileflux.workers.slots import Arena, Slot
from flux_agent.config import AgentConfig
from flux_agent.connection import Connection
from flux_agent.own_doctor import OwnDoctor
from flux_agent.requests import Requests
from flux_agent.transfer.engine import Engine
from flux_agent.transfer.regions import UNIT, Region
from flux_agent.transfer.turns import Turns
from flux_agent.transfer.workers import PooledWorkers
from flux_agent.transports.choose import make_dialer
from flux_agent.transports.network import Network
from flux_agent.version import agent_version
from flux_agent.watches import Watches

log = structlog.get_logger(__name__)

SETTLE_S: Final = 2.0
"""Removing the parts of cancelled transfers takes less, unless the disk hangs."""
TASKS: Final = "flux_agent.transfer.tasks:agent_tasks"


class Agent:
    """Call ``start``, then ``wait``; ``stop`` from anywhere."""

    def __init__(self, config: AgentConfig) -> None:
        limits = config.limits
        clock = SystemClock()
        self._turns = Turns(_failed)
        self._pump = Pump()
        # Two whole units on top, so that the largest frame fits into half of the usual size.
        self._arena = Arena(limits.arena_bytes + 2 * UNIT)
        half = self._arena_half(limits.arena_bytes // 2 + UNIT)
        init = {name: list(getattr(config, name)) for name in ("read", "write", "protected", "program")}
        self._pool = WorkerPool(config.workers, TASKS, init, self._arena, limits, name="agent")
        workers = PooledWorkers(self._pool, self._turns)
        reading, receiving = (Region(base, self._turns.post) for base in half)
        engine = Engine(workers, reading, receiving, limits, clock, self._later)
        self._engine, self._clock = engine, clock
        session = Session(
            Side.AGENT, limits, agent_name=config.name, receive_buffer=limits.receive_buffer, features=FEATURES
        )
        resolver = Resolver()
        network = Network.from_config(config, clock, resolver)
        dialer = make_dialer(config.transport_mode, network, self._pump, config.name, limits, clock)
        self._connection = Connection(dialer, session, engine, self._turns, limits, clock)
        doctor = OwnDoctor(config, workers, self._turns, clock, resolver)
        requests = Requests(
            workers, limits, agent_version(), self._connection.send, doctor.examine, config.bandwidth_limit
        )
        calm = self._connection.is_calm
        requests.bind(Watches(workers, limits, clock, self._later, self._connection.send, calm))
        self._connection.bind(requests)
        self._task: runtime.Task | None = None
        self._stop = runtime.Event()

    def start(self) -> None:
        """Begin to connect. Workers are up before the first request can come."""
        self._pool.start()
        self._pump.start()
        self._task = runtime.spawn(self._connection.run, name="connection")

    def wait(self) -> None:
        """Until ``request_stop``; then everything is stopped in order."""
        self._stop.wait()
        self._connection.stop()
        if self._task is not None:
            self._task.join(timeout=2.0)
        self._pool.stop()
        self._pump.stop()
        self._arena.close()

    def request_stop(self) -> None:
        self._stop.set()

    def stop_when_idle(self) -> None:
        """Stop when no transfer is open, and at the latest after SETTLE_S: what was cancelled a moment ago is put away first."""
        deadline = self._clock.monotonic() + SETTLE_S
        while self._engine.active and self._clock.monotonic() < deadline:
            runtime.sleep(0.05)
        self.request_stop()

    def _later(self, seconds: float, turn: Callable[[], None]) -> None:
        if seconds <= 0:
            self._pump.call_soon(lambda: self._turns.post(turn))
        else:
            runtime.spawn_later(seconds, lambda: self._turns.post(turn))

    def _arena_half(self, size: int) -> tuple[Slot, Slot]:
        first, second = self._arena.alloc(size), self._arena.alloc(size)
        if first is None or second is None:
            raise AssertionError("an empty arena holds its own halves")
        return first, second


def run(config: AgentConfig, *, until_stdin_ends: bool = False) -> None:
    """Run an agent until SIGTERM or SIGINT, or with ``until_stdin_ends`` until its standard input does: that is how an agent ends with the
    process that started it, whatever that dies of. The process must be patched (kernel.runtime.patch).
    """
    keep_freed_memory()
    agent = Agent(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.request_stop())
    if until_stdin_ends:
        runtime.spawn(_wait_for_stdin, agent.stop_when_idle, name="stdin")
    agent.start()
    if not config.read and not config.write:
        log.warning("no_roots", help="this agent may touch no directory: add --read DIR and --write DIR")
    agent.wait()


def _failed(error: Exception) -> None:
    log.error("turn_failed", error=repr(error), exc_info=error)


def _wait_for_stdin(then: Callable[[], None]) -> None:
    """Reads what nobody should have sent until there is no more."""
    descriptor = sys.stdin.fileno()
    while True:
        select.select([descriptor], [], [])
        if not os.read(descriptor, 4096):
            then()
            return
