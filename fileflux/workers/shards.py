"""Which worker a key belongs to, and what waits for that worker."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fileflux.errors import FluxError
from fileflux.workers.process import WorkerProcess


@dataclass(frozen=True, slots=True)
class TaskResult:
    """Exactly one of the two is there."""

    value: dict[str, Any] | None
    error: FluxError | None


Done = Callable[[TaskResult], None]


@dataclass(slots=True)
class QueuedTask:
    """``request`` is encoded already: what the caller does with its arguments afterwards does not matter."""

    number: int
    request: bytes
    done: Done


@dataclass(slots=True)
class Shard:
    """One worker's place in the pool; processes come and go in it. Guarded by the pool's lock, which ``wake`` shares."""

    number: int
    wake: threading.Condition
    queue: deque[QueuedTask] = field(default_factory=deque)
    in_flight: dict[int, QueuedTask] = field(default_factory=dict)
    process: WorkerProcess | None = None
    ready: bool = False
    due: float | None = 0.0
    """When a process is to be started; None while there is one."""
    failures: int = 0
    """Processes in a row that ended before they were ready."""


def shard_of(key: str, count: int, beside: str = "") -> int:
    """Rendezvous hashing: a number of 0 … count-1, the same in every process; with one worker more, only that one's keys move.

    ``beside``: a key whose worker gets none of these, unless it is the only one.
    """
    numbers = range(count)
    taken = max(numbers, key=lambda number: _weight(number, beside)) if beside and count > 1 else None
    return max((number for number in numbers if number != taken), key=lambda number: _weight(number, key))


def _weight(number: int, key: str) -> bytes:
    # A hash of the pair, not a sum of two: only then does each key order the workers independently.
    return hashlib.blake2b(f"{number}:{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
