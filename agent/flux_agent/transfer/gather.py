"""Items of control messages on their way out: gathered for a moment so that many small files share one message.

Bounded by what is alive: acks and progress of one transfer melt into one item, everything else is a few items a transfer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fileflux.protocol import messages as m
from fileflux.protocol.limits import HAVE_PAGE_MAX, MAX_ITEMS, Limits
from fileflux.protocol.ranges import RangeSet

RANGES_MAX = 10_000
"""Ranges in one message, and in one item (docs/protocol.md)."""


class Outgoing:
    """``add`` items, then ``messages`` while the session takes them."""

    def __init__(self, limits: Limits) -> None:
        # Half of the bound: the estimate of an item's size below is rough.
        self._bytes_max = limits.max_text_bytes // 2
        self._items: dict[type[m.Message], list[Any]] = {}
        self._chunks: dict[type[m.Message], dict[int, RangeSet]] = {}
        self._progress: dict[int, m.TransferProgressItem] = {}

    def __bool__(self) -> bool:
        return bool(self._items or self._chunks or self._progress)

    def add(self, message: type[m.Message], item: Any) -> None:
        """``item`` of the ``items`` of a message of this class."""
        if isinstance(item, m.ChunksItem):
            known = self._chunks.setdefault(message, {}).setdefault(item.transfer_id, RangeSet())
            for first, last in item.chunks:
                known.add(first, last)
        elif isinstance(item, m.TransferProgressItem):
            self._progress[item.transfer_id] = item
        else:
            self._items.setdefault(message, []).append(item)

    def clear(self) -> None:
        self._items.clear()
        self._chunks.clear()
        self._progress.clear()

    def messages(self) -> Iterator[m.Message]:
        """One message after the other; what was yielded is gone from here. Stop to iterate when the session is full."""
        while self._chunks:
            message = next(iter(self._chunks))
            yield _build(message, self._take_chunks(message))
        while self._items:
            message = next(iter(self._items))
            yield _build(message, self._take_items(message))
        while self._progress:
            ids = list(self._progress)[:MAX_ITEMS]
            yield m.TransferProgress(tuple(self._progress.pop(wire_id) for wire_id in ids))

    def _take_chunks(self, message: type[m.Message]) -> list[Any]:
        by_wire = self._chunks[message]
        items: list[m.ChunksItem] = []
        left = RANGES_MAX
        while by_wire and left and len(items) < MAX_ITEMS:
            wire_id = next(iter(by_wire))
            ranges = by_wire.pop(wire_id).to_tuple(2**32)
            now, later = _split(ranges, left)
            left -= len(now)
            items.append(m.ChunksItem(wire_id, now))
            if later:
                by_wire[wire_id] = RangeSet.from_ranges(later)
                break
        if not by_wire:
            del self._chunks[message]
        return items

    def _take_items(self, message: type[m.Message]) -> list[Any]:
        waiting = self._items[message]
        size = count = 0
        for item in waiting[:MAX_ITEMS]:
            size += _estimate(item)
            if count and size > self._bytes_max:
                break
            count += 1
        items, rest = waiting[:count], waiting[count:]
        if rest:
            self._items[message] = rest
        else:
            del self._items[message]
        return items


def _split(ranges: m.Ranges, count: int) -> tuple[m.Ranges, m.Ranges]:
    """The first ranges, at most ``count`` and none longer than the hub walks through at once, and the rest."""
    now: list[tuple[int, int]] = []
    for position, (first, last) in enumerate(ranges):
        if len(now) == count:
            return tuple(now), ranges[position:]
        if last - first >= HAVE_PAGE_MAX:
            # Touching ranges are not allowed in one item: what is behind the cut goes into the next one.
            now.append((first, first + HAVE_PAGE_MAX - 1))
            return tuple(now), ((first + HAVE_PAGE_MAX, last), *ranges[position + 1 :])
        now.append((first, last))
    return tuple(now), ()


def _estimate(item: Any) -> int:
    """Bytes of JSON at most: six for a character that is escaped."""
    texts = (getattr(item, name) for name in item.__dataclass_fields__)
    return 400 + sum(6 * len(value) for value in texts if isinstance(value, str))


def _build(message: type[m.Message], items: list[Any]) -> m.Message:
    build: Any = message
    built: m.Message = build(tuple(items))
    return built
