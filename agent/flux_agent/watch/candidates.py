"""When a file that arrived is ready to be moved. Sans-I/O: what was seen and ``now`` come in, names to look at and ready files come out.

Events and scans only say that a name is worth a look. Whether it is ready is decided by looks alone: two of the same size and mtime, at least
``settle_s`` apart. What was renamed into place is whole already: the second look then comes after QUICK_S. No event says "renamed" on all
systems, but a file whose name has just appeared and whose last change was none of its content (ctime behind mtime) was written before
it got this name.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fileflux.protocol.messages import EntryKind

CANDIDATES_MAX: Final = 100_000
"""Files that are not ready yet: about 30 MiB. What does not fit in is found by a later scan."""
OFFERED_MAX: Final = 200_000
"""Versions that were offered and are not looked at again: about 20 MiB. Others are offered by each scan, and the hub knows them."""
QUICK_S: Final = 1.0
MARKER_S: Final = 30.0
"""How often the marker of a file that is complete otherwise is looked for; an event of the marker has it looked for at once."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look found. ``young_s``: so much is missing to the age that the job wants; ``marked``: its marker is there or not needed."""

    kind: EntryKind
    size: int
    mtime_ns: int
    ctime_ns: int
    mode: int
    young_s: float = 0.0
    marked: bool = True


@dataclass(frozen=True, slots=True)
class Ready:
    """``path``: relative to the base, as in a listing."""

    path: str
    kind: EntryKind
    size: int
    mtime_ns: int
    mode: int


@dataclass(slots=True)
class _Candidate:
    """``version`` is None before its first look. ``due``: when it is looked at next."""

    due: float
    version: tuple[int, int] | None = None
    since: float = 0.0
    appeared: bool = False
    quick: bool = False


class Candidates:
    """Of one watch. Names with the suffix ``marker`` never become ready; they have the file that they stand for looked at."""

    def __init__(
        self,
        settle_s: float,
        marker: str = "",
        marker_s: float = MARKER_S,
        limit: int = CANDIDATES_MAX,
        offered_limit: int = OFFERED_MAX,
    ) -> None:
        self._settle_s = settle_s
        self._quick_s = min(settle_s, QUICK_S)
        self._marker = marker
        self._marker_s = marker_s
        self._limit = limit
        self._offered_limit = offered_limit
        self._known: dict[str, _Candidate] = {}
        self._queue: list[tuple[float, int, str]] = []
        self._serial = itertools.count()
        # Hashes: a collision leaves out one file of 10**13, until it changes or this memory is cleared.
        self._offered: dict[int, None] = {}
        self.overflowed = False
        """Something did not fit in: scan again when there is room."""

    def __len__(self) -> int:
        return len(self._known)

    @property
    def has_room(self) -> bool:
        return len(self._known) < self._limit // 2

    def scanned(self, path: str, size: int, mtime_ns: int, now: float) -> None:
        """A scan came by this file."""
        if self._marker and path.endswith(self._marker):
            return
        version = (size, mtime_ns)
        if self._is_offered(path, version):
            return
        known = self._known.get(path)
        if known is None:
            known = self._add(path, now + self._settle_s)
            if known is None:
                return
        elif known.version == version:
            return
        self._begin(path, known, version, now, quick=False)

    def noticed(self, path: str, now: float, *, appeared: bool) -> None:
        """An event named this path: it ``appeared``, or something about it changed."""
        if self._marker and path.endswith(self._marker):
            target = path[: -len(self._marker)]
            known = self._known.get(target)
            if known is not None:
                self._look_at(target, known, now)
            else:
                self._add(target, now)
            return
        known = self._known.get(path)
        if known is None:
            known = self._add(path, now)
            if known is not None:
                known.appeared = appeared
        elif appeared:
            # Another file may have this name now.
            known.version, known.appeared, known.quick = None, True, False
            self._look_at(path, known, now)
        else:
            known.appeared = False
            if known.version is not None and known.quick:
                self._begin(path, known, known.version, now, quick=False)

    def due(self, now: float, limit: int) -> list[str]:
        """Names to look at now, at most ``limit``. Then call ``looked`` or ``unseen`` for each."""
        names: list[str] = []
        while self._queue and self._queue[0][0] <= now and len(names) < limit:
            at, _, path = heapq.heappop(self._queue)
            known = self._known.get(path)
            if known is not None and known.due == at:
                known.due = math.inf
                names.append(path)
        return names

    def next_due(self) -> float:
        """When ``due`` has something; may be early."""
        return self._queue[0][0] if self._queue else math.inf

    def looked(self, path: str, sight: Sight | None, asked: float, now: float) -> Ready | None:
        """What a look between ``asked`` and ``now`` found, None for nothing that is to be moved.

        Returns the file if it is ready; it is forgotten here then.
        """
        known = self._known.get(path)
        if known is None:
            return None
        if sight is None:
            del self._known[path]
            return None
        version = (sight.size, sight.mtime_ns)
        if self._is_offered(path, version):
            del self._known[path]
            return None
        if known.version != version:
            quick = known.appeared and sight.size > 0 and sight.ctime_ns > sight.mtime_ns
            self._begin(path, known, version, now, quick=quick)
            return None
        wait = known.since + (self._quick_s if known.quick else self._settle_s) - asked
        if wait <= 0:
            wait = sight.young_s if sight.marked else max(sight.young_s, self._marker_s)
        if wait > 0:
            self._look_at(path, known, now + wait)
            return None
        del self._known[path]
        self._remember(path, version)
        return Ready(path, sight.kind, *version, sight.mode)

    def unseen(self, paths: Sequence[str], now: float) -> None:
        """The looks failed as a whole: once more, later."""
        for path in paths:
            known = self._known.get(path)
            if known is not None:
                self._look_at(path, known, now + 1.0)

    def offer_again(self) -> None:
        """Forget what was offered."""
        self._offered.clear()

    def _add(self, path: str, due: float) -> _Candidate | None:
        if len(self._known) >= self._limit:
            self.overflowed = True
            return None
        known = self._known[path] = _Candidate(due)
        heapq.heappush(self._queue, (due, next(self._serial), path))
        return known

    def _begin(self, path: str, known: _Candidate, version: tuple[int, int], now: float, *, quick: bool) -> None:
        known.version, known.since, known.quick, known.appeared = version, now, quick, False
        self._look_at(path, known, now + (self._quick_s if quick else self._settle_s))

    def _look_at(self, path: str, known: _Candidate, at: float) -> None:
        if known.due == at:
            return
        known.due = at
        heapq.heappush(self._queue, (at, next(self._serial), path))
        if len(self._queue) > 2 * len(self._known) + 1000:
            self._queue = [(one.due, next(self._serial), name) for name, one in self._known.items()]
            heapq.heapify(self._queue)

    def _is_offered(self, path: str, version: tuple[int, int]) -> bool:
        return hash((path, *version)) in self._offered

    def _remember(self, path: str, version: tuple[int, int]) -> None:
        self._offered[hash((path, *version))] = None
        if len(self._offered) > self._offered_limit:
            del self._offered[next(iter(self._offered))]
