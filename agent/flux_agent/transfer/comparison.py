"""Which chunks of its file the source need not send: they are hashed without slots as the destination's hashes come in.

A chunk that differs is read once more when it is sent, so nothing is compared beforehand where that would be for nothing: in small
files, and from where more chunks differ than are equal. Those are compared one by one as they are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fileflux.protocol.limits import HASH_SIZE, MIB
from fileflux.protocol.messages import Ranges
from fileflux.protocol.ranges import RangeSet

STEP_BYTES: Final = 16 * MIB
"""One task: about 15 ms of a worker, behind which a chunk that is to be sent does not wait long."""
SMALL: Final = 64 * MIB
"""Files of fewer bytes are read once only."""
DIFFERENT_MAX: Final = 4
"""So many more chunks may differ than are equal."""
EARLY_MAX: Final = 4096
"""Chunks compared before the first ``transfer_resume``: all that are equal are told at once then, and the hub keeps a record of each."""


def in_portions(ranges: Ranges | list[tuple[int, int]]) -> Iterator[Ranges]:
    """The ranges in portions that a message may carry, none of too many chunks for one step of whoever reads it."""
    portion: list[tuple[int, int]] = []
    room = EARLY_MAX
    for first, last in ranges:
        while first <= last:
            end = min(last, first + room - 1)
            portion.append((first, end))
            room -= end - first + 1
            first = end + 1
            if not room:
                yield tuple(portion)
                portion, room = [], EARLY_MAX
    if portion:
        yield tuple(portion)


class Comparison:
    """Call ``add_page`` for each page, run the tasks of ``next_step``, and call ``compared`` for each of them."""

    def __init__(self, chunk_size: int, in_flight: int) -> None:
        self.equal = RangeSet()
        self.running = 0
        self._chunk_size = chunk_size
        self._step = max(1, STEP_BYTES // chunk_size)
        self._in_flight = in_flight
        self._have = bytearray()
        self._asked = 0
        self._different = RangeSet()
        self._given_up = False

    @property
    def count(self) -> int:
        """Chunks from the first on whose hashes came in."""
        return len(self._have) // HASH_SIZE

    @property
    def pending(self) -> bool:
        """Something is being compared, or will be."""
        return self.running > 0 or (not self._given_up and self._asked < self.count)

    def add_page(self, hashes: memoryview, total: int) -> None:
        """The next hashes of a file of ``total`` chunks."""
        self._have += hashes
        self._given_up = self._given_up or total * self._chunk_size < SMALL

    def have(self, index: int) -> str | None:
        """The destination's hash of a chunk, in hex."""
        return self._have[index * HASH_SIZE : (index + 1) * HASH_SIZE].hex() or None

    def next_step(self, *, early: bool) -> tuple[int, int] | None:
        """First chunk and number of chunks of a task to run now; ``early``: before the first ``transfer_resume``."""
        # The first result says whether it is worth while.
        at_once = self._in_flight if self.equal.count else 1
        end = min(self.count, EARLY_MAX) if early else self.count
        count = min(self._step, end - self._asked)
        if self._given_up or count <= 0 or self.running >= at_once:
            return None
        first = self._asked
        self._asked += count
        self.running += 1
        return first, count

    def compared(self, first: int, hashes: bytes) -> tuple[Ranges, Ranges]:
        """A task is done: the chunks found equal, and those that are to be read for sending."""
        self.running -= 1
        equal, different = RangeSet(), RangeSet()
        for at in range(0, len(hashes), HASH_SIZE):
            index = first + at // HASH_SIZE
            same = hashes[at : at + HASH_SIZE] == self._have[index * HASH_SIZE : (index + 1) * HASH_SIZE]
            for found in (equal, self.equal) if same else (different, self._different):
                found.add(index, index)
        if not self._given_up and self._different.count > self.equal.count + DIFFERENT_MAX:
            self._given_up = True
            if self._asked < self.count:
                different.add(self._asked, self.count - 1)
        return equal.to_tuple(self._step), different.to_tuple(self._step + 1)

    def settled(self) -> Ranges:
        """Chunks that are not to be read for sending, as far as is known now: equal, or not compared yet."""
        end = self._asked if self._given_up else self.count
        return tuple(self._different.missing(end))
