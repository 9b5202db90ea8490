"""One page of a directory for people who look for a path: in the order of names, nothing kept between pages.

Each page reads the directory's names anew and keeps those that follow the last one shown, so memory is that of a page however many there
are; only what is shown is looked at. Reached by handles from a root, like everything here; links are shown and not followed.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from fileflux.errors import FluxError, TransferError
from fileflux.protocol.messages import EntryKind
from flux_agent.files.faults import shown, transfer_error
from flux_agent.files.guard import is_part_name
from flux_agent.files.handles import Directory
from flux_agent.files.roots import Place, Roots
from flux_agent.files.system import join
from flux_agent.files.walk import PAGE_BYTES

PAGE_MAX: Final = 500
"""Names of one page: each costs a look at its file, which on a network's file system may take a millisecond."""
NAMES_MAX: Final = 1_000_000
"""Names of one directory, about a second of a worker: nobody finds anything among more."""
_ITEM_BYTES: Final = 120
_SIZE_MAX: Final = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Shown:
    """One name. ``read`` and ``write`` are set for roots only, and ``mtime_ns`` and ``mode`` for everything else."""

    name: str
    kind: EntryKind
    size: int = 0
    mtime_ns: int | None = None
    mode: int | None = None
    read: bool | None = None
    write: bool | None = None


@dataclass(slots=True)
class BrowsePage:
    """``path`` is absolute; ``parent`` is what leads one level up, "" for the list of roots. ``following``: ask for what is after it."""

    path: str
    parent: str | None
    items: list[Shown] = field(default_factory=list)
    following: str | None = None


def browse(roots: Roots, path: str, after: str | None, limit: int) -> BrowsePage:
    """The names in ``path`` behind ``after``, at most ``limit``; without ``path`` the roots, readable or writable.

    Raises TransferError and RefusedPathError: not_found, outside_roots, refused_path, not_regular for what is no directory, too_large, and
    what the system says.
    """
    limit = max(1, min(limit, PAGE_MAX))
    if not path:
        return _roots(roots, after, limit)
    place = _resolve(roots, path)
    page = BrowsePage(place.path, _above(roots, place))
    with roots.open_directory(place) as directory:
        own = roots.own_identities(write=False)
        try:
            names = heapq.nsmallest(limit + 1, _names(directory, place, after))
            room = PAGE_BYTES
            for name in names[:limit]:
                page.following = name
                room -= _ITEM_BYTES + len(json.dumps(name))
                if (item := _look_at(directory, name, own)) is not None:
                    page.items.append(item)
                if room < 0:
                    return page
        except OSError as error:
            raise transfer_error(error, place.path) from None
    if len(names) <= limit:
        page.following = None
    return page


def _roots(roots: Roots, after: str | None, limit: int) -> BrowsePage:
    lines = sorted(roots.listed(), key=lambda line: line.path)
    wanted = [line for line in lines if after is None or line.path > after]
    page = BrowsePage("", None)
    room = PAGE_BYTES
    for line in wanted[:limit]:
        page.items.append(Shown(line.path, "directory", read=line.read, write=line.write))
        room -= _ITEM_BYTES + len(json.dumps(line.path))
        if room < 0:
            break
    if len(page.items) < len(wanted):
        page.following = page.items[-1].name
    return page


def _resolve(roots: Roots, path: str) -> Place:
    try:
        return roots.resolve(path, write=False)
    except TransferError as error:
        if error.code != "outside_roots":
            raise
    try:
        return roots.resolve(path, write=True)
    except TransferError as error:
        if error.code != "outside_roots":
            raise
        raise TransferError(f"{shown(path)} is not below one of this agent's roots", code="outside_roots") from None


def _above(roots: Roots, place: Place) -> str:
    if place.components:
        return place.parent.path
    above = place.root.components[:-1]
    try:
        return _resolve(roots, join(above)).path
    except FluxError:
        return ""


def _names(directory: Directory, place: Place, after: str | None) -> Iterator[str]:
    for count, name in enumerate(directory.names()):
        if count >= NAMES_MAX:
            raise TransferError(f"{shown(place.path)} has more than {NAMES_MAX} names", code="too_large")
        if (after is None or name > after) and not is_part_name(name):
            yield name


def _look_at(directory: Directory, name: str, own: set[tuple[int, int]]) -> Shown | None:
    """None for what has vanished since its name was read."""
    try:
        status = directory.status_of(name)
    except OSError:
        # Its name is there to be seen, as in a listing by `ls`.
        return Shown(name, "other")
    if status is None:
        return None
    kind: EntryKind = "other" if status.identity in own else status.kind
    return Shown(name, kind, min(status.size, _SIZE_MAX), status.mtime_ns, status.mode)
