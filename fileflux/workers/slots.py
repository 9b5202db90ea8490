"""Shared memory between a process and its workers, handed out in slots.

One file without a name is mapped by both sides, so a chunk crosses the process boundary without a copy and nothing is left behind when
either side is killed. Allocation is first fit in units of 4 KiB: the low addresses are used again and again, and what was never needed
is never touched. All of it works from any thread.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from typing import Any, Final

from fileflux.errors import LocalProtocolError

UNIT: Final = 4096


def _log() -> Any:
    # Only the parent has something to say. Each worker would pay 65 ms and 9 MiB for what it never uses.
    import structlog

    return structlog.get_logger("fileflux.arena")


class Slot:
    """A part of the arena that belongs to its holder until ``release``."""

    __slots__ = ("_arena", "_units", "_view", "offset", "size")

    def __init__(self, arena: Arena, offset: int, size: int, units: int, view: memoryview) -> None:
        self.offset = offset
        self.size = size
        self._arena: Arena | None = arena
        self._units = units
        self._view = view

    @property
    def view(self) -> memoryview:
        """Writable, exactly ``size`` bytes, with whatever its last holder left in it. Not to be used after ``release``."""
        return self._view

    def release(self) -> None:
        """Give it back. Only the first call counts. Callbacks of ``Arena.on_free`` may run before this returns."""
        arena = self._arena
        if arena is not None and arena.take_back(self, self.offset // UNIT, self._units):
            self._arena = None
            arena.notify()


class Arena:
    """``size`` bytes, rounded up to whole units. Pass ``fd`` and ``size`` to the workers; ``close`` after they have ended."""

    def __init__(self, size: int) -> None:
        self.size = -(-size // UNIT) * UNIT
        self.fd = _anonymous_file(self.size)
        self._memory = mmap.mmap(self.fd, self.size)
        self._whole = memoryview(self._memory)
        self._free: list[tuple[int, int]] = [(0, self.size // UNIT)]
        """(first unit, units) of every gap, in order, never adjacent."""
        self._in_use = 0
        self._held: set[Slot] = set()
        self._waiting: dict[Callable[[], object], None] = {}
        self._lock = threading.Lock()
        self._closed = False

    @property
    def in_use(self) -> int:
        """Bytes that are handed out, in whole units."""
        return self._in_use * UNIT

    def alloc(self, size: int) -> Slot | None:
        """A slot of ``size`` bytes (at least 1); None when there is no gap of that size now: call ``on_free`` and try again then.

        Raises LocalProtocolError for a size that can never be had.
        """
        if not 0 < size <= self.size:
            raise LocalProtocolError(f"no slot can have {size} bytes; the arena has {self.size}")
        units = -(-size // UNIT)
        with self._lock:
            if self._closed:
                return None
            for position, (first, gap) in enumerate(self._free):
                if gap >= units:
                    if gap == units:
                        del self._free[position]
                    else:
                        self._free[position] = (first + units, gap - units)
                    self._in_use += units
                    offset = first * UNIT
                    slot = Slot(self, offset, size, units, self._whole[offset : offset + size])
                    self._held.add(slot)
                    return slot
        return None

    def on_free(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` once after the next release, in the order of registration; registered twice, it is called once.

        It runs in whoever releases and must not block. It usually tries ``alloc`` and registers again if that fails.
        """
        with self._lock:
            self._waiting.setdefault(callback)

    def close(self) -> None:
        """Give the memory back. Views of slots become invalid; ``alloc`` gives None from now on."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._waiting.clear()
            held, self._held = self._held, set()
        for slot in held:
            _invalidate(slot.view)
        self._whole.release()
        try:
            self._memory.close()
        except BufferError:
            # Somebody still holds a part of a view; the mapping goes when that does.
            _log().warning("shared memory is still in use at its end", bytes=self.in_use)
        os.close(self.fd)

    def take_back(self, slot: Slot, first: int, units: int) -> bool:
        """For slots: False if it was back already."""
        with self._lock:
            if slot not in self._held:
                return False
            self._held.remove(slot)
            self._in_use -= units
            self._insert_gap(first, units)
        _invalidate(slot.view)
        return True

    def notify(self) -> None:
        """For slots: something was released."""
        with self._lock:
            # Those that register again while they are called wait for the next release.
            waiting, self._waiting = self._waiting, {}
        for callback in waiting:
            try:
                callback()
            except Exception:  # noqa: BLE001  # logged, and the next one has its turn
                _log().exception("a callback for free shared memory failed")

    def _insert_gap(self, first: int, units: int) -> None:
        gaps = self._free
        low, high = 0, len(gaps)
        while low < high:
            middle = (low + high) // 2
            if gaps[middle][0] < first:
                low = middle + 1
            else:
                high = middle
        if low < len(gaps) and first + units == gaps[low][0]:
            units += gaps.pop(low)[1]
        if low > 0 and sum(gaps[low - 1]) == first:
            first, before = gaps[low - 1]
            gaps[low - 1] = (first, before + units)
        else:
            gaps.insert(low, (first, units))


class ArenaView:
    """The arena as a worker sees it."""

    def __init__(self, fd: int, size: int) -> None:
        if os.fstat(fd).st_size < size:
            raise LocalProtocolError("the shared memory is smaller than announced")
        self.size = size
        self._memory = mmap.mmap(fd, size)
        self._whole = memoryview(self._memory)

    def view(self, offset: int, length: int) -> memoryview:
        """Writable view of a slot. Raises LocalProtocolError when it is not inside the arena."""
        if (
            not (isinstance(offset, int) and isinstance(length, int))
            or offset < 0
            or not 0 < length <= self.size - offset
        ):
            raise LocalProtocolError(f"slot {offset}+{length} is outside the shared memory")
        return self._whole[offset : offset + length]

    def close(self) -> None:
        """Unmap it; views that were given out must be gone."""
        self._whole.release()
        self._memory.close()


def _anonymous_file(size: int) -> int:
    if sys.platform == "linux":
        fd = os.memfd_create("fileflux-arena", os.MFD_CLOEXEC)
    else:
        fd, path = tempfile.mkstemp(prefix="fileflux-arena-")
        os.unlink(path)  # noqa: PTH108  # the descriptor is all that is left of it, no Path is involved
    os.ftruncate(fd, size)
    return fd


def _invalidate(view: memoryview) -> None:
    try:
        view.release()
    except BufferError:
        # A consumer of the buffer interface still looks at it; whoever released the slot too early sees wrong bytes, never wrong memory.
        _log().warning("a slot was released while it was in use")
