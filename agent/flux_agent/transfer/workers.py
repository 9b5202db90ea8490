"""The worker pool as the agent's main process uses it: results come back inside a turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from fileflux.errors import FluxError
from fileflux.workers.pool import WorkerPool
from fileflux.workers.shards import TaskResult
from flux_agent.transfer.turns import Turns

Done = Callable[[dict[str, Any] | None, FluxError | None], None]


class Workers(Protocol):
    """Where tasks run."""

    def submit(self, key: str, task: str, args: dict[str, Any], done: Done, beside: str = "") -> None:
        """Run the task on the worker that ``key`` belongs to; ``done`` gets a value or an error, in a turn.

        ``beside``: a key whose worker is left out if there are others.
        The error is OverloadedError when too many tasks wait.
        """

    def broadcast(self, task: str, args: dict[str, Any]) -> None:
        """Run the task on every worker behind what it was given before."""


class PooledWorkers:
    """Workers on a WorkerPool."""

    def __init__(self, pool: WorkerPool, turns: Turns) -> None:
        self._pool = pool
        self._turns = turns

    def submit(self, key: str, task: str, args: dict[str, Any], done: Done, beside: str = "") -> None:
        def result(ended: TaskResult) -> None:
            self._turns.post(lambda: done(ended.value, ended.error))

        self._pool.submit(key, task, args, result, beside)

    def broadcast(self, task: str, args: dict[str, Any]) -> None:
        self._pool.broadcast(task, args)
