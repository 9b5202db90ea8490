"""Holds grants back until the limits that apply to a transfer let them pass. Belongs to ``Grants``; the arithmetic is in ``jobs/bandwidth.py``.

A transfer's path is the tuple of allowances that every byte of it is taken from: its job's, those of its agents (twice if it is one agent, which
sends and receives) and the timetable's. Where nothing is limited a path is empty, and nothing here is called: no timer runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from fileflux.actors import messages as a
from fileflux.clock import Clock
from fileflux.jobs.bandwidth import Allowance, Turns, ahead, grant_size
from fileflux.protocol.limits import MIB, Limits

Path = tuple[Allowance, ...]
SOON_S: Final = 0.01
"""Between two rounds at least: meanwhile the allowances gather what several small files need."""
GROUP_S: Final = 5e-5
"""For each path on which somebody waits: a round looks at them all, and a thousand limited jobs must not take a third of the loop."""
HELD_FRAMES: Final = 20 * MIB
"""What a job that is held back has under way, by the largest frames of its files, or a second of its limit: two of the usual ones. A frame that is
sent slowly keeps memory at both agents, which others need.
"""

Give = Callable[[int, int], tuple[int, bool]]
"""Of a wire id and the most that it may be granted: what it was, and whether it waits for more."""


@dataclass(slots=True)
class Room:
    """The files of a job that is held back, with the largest frame of each: those that have begun, and those that wait for them."""

    inside: dict[int, int] = field(default_factory=dict)
    waiting: dict[int, int] = field(default_factory=dict)

    def fits(self, frame_max: int, most: int | None) -> bool:
        return most is None or not self.inside or sum(self.inside.values()) + frame_max <= most


class Pacing:
    """``give`` grants; ``wake`` has ``serve`` called after so many seconds, of several the soonest counts."""

    def __init__(self, limits: Limits, clock: Clock, give: Give, wake: Callable[[float], None]) -> None:
        self._piece_min = limits.piece_min
        self._clock = clock
        self._give = give
        self._wake = wake
        self._set = a.SetLimits()
        self._hub: Allowance | None = None
        self._agents: dict[int, Allowance] = {}
        self._jobs: dict[int, Allowance] = {}
        self._queues: dict[Allowance, Turns[Path, int]] = {}
        self._waiting: dict[int, Allowance] = {}
        self._paths: dict[int, Path] = {}
        self._weights: dict[int, int] = {}
        self._rooms: dict[int, Room] = {}
        self._wakes_at = 0.0

    def job(self, job_id: int, spec: a.JobLimits) -> a.JobLimits:
        """What is set for the job now, ``spec`` if that is not known."""
        return self._set.jobs.get(job_id, spec)

    def set(self, limits: a.SetLimits) -> bool:
        """Other limits from now on; False if they are the same. Then give every attempt its ``path`` anew."""
        if limits == self._set:
            return False
        self._set = limits
        now = self._clock.monotonic()
        self._hub = _changed(self._hub, limits.hub, now)
        for table, rates in (
            (self._agents, limits.agents),
            (self._jobs, {key: job.bandwidth for key, job in limits.jobs.items()}),
        ):
            for key in table.keys() | rates.keys():
                changed = _changed(table.get(key), rates.get(key), now)
                if changed is None:
                    table.pop(key, None)
                else:
                    table[key] = changed
        return True

    def path(self, wire_id: int, job_id: int, job: a.JobLimits, agent_ids: Iterable[int]) -> Path:
        """The allowances of an attempt from now on; whoever waited has to join again."""
        self._leave(wire_id)
        if job.bandwidth is not None and job_id not in self._jobs:
            self._jobs[job_id] = Allowance(job.bandwidth, self._clock.monotonic())
        found = (self._jobs.get(job_id), *(self._agents.get(agent_id) for agent_id in agent_ids), self._hub)
        path = tuple(one for one in found if one is not None)
        if path:
            self._paths[wire_id] = path
            self._weights[wire_id] = job.priority
            for one in path:
                one.weight += job.priority
        return path

    def enter(self, wire_id: int, job_id: int, frame_max: int) -> bool:
        """Whether one more file of a job that is held back may begin; if not, ``close`` or ``freed`` names it when it may."""
        room = self._rooms.setdefault(job_id, Room())
        if room.waiting or not room.fits(frame_max, self._most(wire_id)):
            room.waiting[wire_id] = frame_max
            return False
        room.inside[wire_id] = frame_max
        return True

    def freed(self, job_id: int) -> list[int]:
        """Files that waited in ``enter`` and begin now, because others ended or limits changed."""
        room = self._rooms.get(job_id)
        begin: list[int] = []
        while room is not None and room.waiting:
            wire_id, frame_max = next(iter(room.waiting.items()))
            if not room.fits(frame_max, self._most(wire_id)):
                break
            room.inside[wire_id] = room.waiting.pop(wire_id)
            begin.append(wire_id)
        return begin

    def held(self) -> list[int]:
        """Jobs of which files wait in ``enter``."""
        return [job_id for job_id, room in self._rooms.items() if room.waiting]

    def ahead(self, wire_id: int, path: Path) -> int:
        return ahead(path, self._weights[wire_id], self._piece_min)

    def waits(self, wire_id: int) -> bool:
        return wire_id in self._waiting

    def holds(self, wire_id: int, job_id: int, path: Path) -> bool:
        """Whether the attempt waits for a limit in any way."""
        room = self._rooms.get(job_id)
        begun = room is None or wire_id not in room.waiting
        return wire_id in self._waiting or not begun or not min(one.rate for one in path)

    def join(self, wire_id: int) -> None:
        """It could be granted more. It is, in its turn, in one of the next rounds."""
        path = self._paths[wire_id]
        self._add(wire_id, path)
        now = self._clock.monotonic()
        self._wake_after(max(one.wait(now) for one in path), now)

    def serve(self) -> None:
        """Grant what may be granted now."""
        now = self._clock.monotonic()
        # What others keep from its due comes first; of equals, what was served longest ago.
        for narrow in sorted(self._queues, key=lambda one: -one.unused(now)):
            if self._serve_some(self._queues[narrow], now):
                self._queues[narrow] = self._queues.pop(narrow)
        paths = [path for queue in self._queues.values() for path in queue.groups()]
        if paths:
            self._wake_after(min(max(one.wait(now) for one in path) for path in paths), now, len(paths))

    def _serve_some(self, queue: Turns[Path, int], now: float) -> bool:
        served = False
        for path, wire_id in queue.drain(lambda path, _: all(one.wait(now) <= 0 for one in path)):
            del self._waiting[wire_id]
            given, more = self._give(wire_id, grant_size(path, self._piece_min))
            served |= given > 0
            for one in path:
                one.take(given)
            if more:
                self._add(wire_id, path)
        return served

    def close(self, wire_id: int, job_id: int, unused: int) -> list[int]:
        """The attempt is over, of whose grants ``unused`` bytes were not sent; those that begin in its place."""
        for one in self._paths.get(wire_id, ()):
            one.give_back(unused)
        self._leave(wire_id)
        room = self._rooms.get(job_id)
        if room is not None:
            room.inside.pop(wire_id, None)
            room.waiting.pop(wire_id, None)
            if not room.inside and not room.waiting:
                del self._rooms[job_id]
        if job_id in self._jobs and job_id not in self._set.jobs and not self._jobs[job_id].weight:
            del self._jobs[job_id]
        return self.freed(job_id)

    def _most(self, wire_id: int) -> int | None:
        path = self._paths.get(wire_id)
        return max(HELD_FRAMES, min(one.rate for one in path)) if path else None

    def _add(self, wire_id: int, path: Path) -> None:
        # Turns are fair among those whom the same limit holds up most: what others get elsewhere is no claim of theirs.
        narrow = min(path, key=_width)
        queue = self._queues.setdefault(narrow, Turns())
        queue.add(wire_id, path, wire_id, self._weights[wire_id], grant_size(path, self._piece_min))
        self._waiting[wire_id] = narrow

    def _forget(self, wire_id: int) -> None:
        narrow = self._waiting.pop(wire_id, None)
        if narrow is not None:
            self._queues[narrow].discard(wire_id)

    def _leave(self, wire_id: int) -> None:
        self._forget(wire_id)
        weight = self._weights.pop(wire_id, 0)
        for one in self._paths.pop(wire_id, ()):
            one.weight -= weight
            if not one.weight:
                self._queues.pop(one, None)

    def _wake_after(self, wait: float, now: float, groups: int = 1) -> None:
        if wait == math.inf:
            return
        due = now + max(wait, SOON_S, groups * GROUP_S)
        if not now < self._wakes_at <= due:
            self._wakes_at = due
            self._wake(due - now)


def _width(one: Allowance) -> tuple[float, int]:
    """What one transfer of average weight gets of it; of equal ones that which more depend on counts as narrower."""
    return one.rate / max(1, one.weight), -one.weight


def _changed(one: Allowance | None, rate: int | None, now: float) -> Allowance | None:
    if rate is None:
        return None
    if one is None:
        return Allowance(rate, now)
    one.change(rate, now)
    return one
