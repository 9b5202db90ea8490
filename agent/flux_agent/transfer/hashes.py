"""Hashes that are taken step by step on workers: of what the destination holds, and of the whole file."""

from __future__ import annotations

from typing import Any, Final

from fileflux.protocol.limits import HASH_SIZE, MIB

HAVE_STEP: Final = 8
"""Chunks hashed by one task: 64 MiB of the usual size, about 60 ms of a worker."""
QUICK_SIZE: Final = 16
"""Bytes of an XXH3-128."""
WHOLE_STEP_BYTES: Final = 32 * MIB
"""A step of the whole-file hash: about 30 ms of a worker, so that chunks behind it do not wait long."""


class HaveHashes:
    """The chunk hashes of a part or an older file, taken by several tasks at once and given out in order.

    Beside each stands a quick hash of the same bytes: a chunk that is copied is compared by that, at a tenth of the time. It never leaves
    this process, and says no more than that the copy is what was hashed.
    """

    def __init__(self) -> None:
        self.count = 0
        self._asked = 0
        self._early: dict[int, bytes] = {}
        self._hashes = bytearray()
        self._quick: dict[int, bytes] = {}

    @property
    def complete(self) -> bool:
        return len(self._hashes) == self.count * HASH_SIZE

    def next_step(self) -> tuple[int, int] | None:
        """The first chunk and the number of chunks of the next task."""
        first = self._asked
        count = min(HAVE_STEP, self.count - first)
        if count <= 0:
            return None
        self._asked += count
        return first, count

    def hashed(self, first: int, hashes: bytes, quick: bytes) -> list[tuple[int, bytes]]:
        """A task is done; what may go out now, in order: first chunk and hashes."""
        self._early[first] = hashes
        for at in range(0, len(quick), QUICK_SIZE):
            self._quick[first + at // QUICK_SIZE] = quick[at : at + QUICK_SIZE]
        ready: list[tuple[int, bytes]] = []
        while (position := len(self._hashes) // HASH_SIZE) in self._early:
            row = self._early.pop(position)
            self._hashes += row
            ready.append((position, row))
        return ready

    def row(self, first: int, last: int) -> bytes:
        """The hashes of ``first`` … ``last``; only of what is ``complete``."""
        return bytes(self._hashes[first * HASH_SIZE : (last + 1) * HASH_SIZE])

    def quick(self, index: int) -> bytes:
        """The quick hash of a chunk that was hashed."""
        return self._quick[index]


class WholeHash:
    """The SHA-256 of a whole file follows the chunks that are known without a gap, from the page cache."""

    def __init__(self, chunk_size: int) -> None:
        self.sha256: str | None = None
        """Known when the last step is done."""
        self._step = max(1, WHOLE_STEP_BYTES // chunk_size)
        self._position = 0
        self._running = False

    def next_step(self, prefix: int) -> int | None:
        """Up to which chunk the next task goes; None while one is running or nothing is new. After the task call ``done``."""
        if self._running or self._position >= prefix:
            return None
        self._running = True
        return min(prefix, self._position + self._step)

    def done(self, value: dict[str, Any]) -> None:
        """``value`` of the task: ``position`` and, at the end, ``sha256``."""
        self._running = False
        self._position = value["position"]
        self.sha256 = value["sha256"]
