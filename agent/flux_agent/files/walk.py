"""What a job's path holds: a file, a directory's contents or what a glob matches, in pages.

Nothing is sorted, and nothing is followed unless the job says so, so memory stays flat: kept are, for the directory that is read and each
one above it, the names of sub-directories still to be read. Directories are opened anew from the root, one component at a time, so no handles pile up however
deep a tree is; the length of paths bounds its depth.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from fileflux.errors import FluxError, TransferError
from fileflux.jobs.filters import Glob, Rules, compile_glob, is_glob
from fileflux.protocol.limits import KIB, MAX_ITEMS, MAX_PATH_BYTES
from fileflux.protocol.messages import EntryKind, PathType, Symlinks
from flux_agent.files.archive import ARCHIVE, Release
from flux_agent.files.faults import shown, transfer_error
from flux_agent.files.guard import is_part_name
from flux_agent.files.handles import Status
from flux_agent.files.links import LinkError, follow, look
from flux_agent.files.roots import Place, Roots
from flux_agent.files.target import Target

PAGE_BYTES: Final = 384 * KIB
"""Of JSON, estimated: well under ``max_text_bytes`` when every name is as long as it can be."""
SCAN_MAX: Final = 20_000
"""Entries looked at for one page, about 0.3 s of a worker: where filters leave little, pages may be short or empty."""
_ITEM_BYTES: Final = 150
_SIZE_MAX: Final = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Found:
    """One entry; ``path`` is relative to the listing's base. ``code``: why it is not to be moved (``messages.Entry``)."""

    path: str
    kind: EntryKind
    size: int
    mtime_ns: int
    mode: int
    code: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that could not be listed."""

    path: str
    code: str
    message: str


@dataclass(slots=True)
class Page:
    entries: list[Found] = field(default_factory=list)
    errors: list[Trouble] = field(default_factory=list)
    last: bool = False


_Item = Found | Trouble | None
"""None: something was looked at and left out."""


@dataclass(slots=True)
class _Level:
    """A directory whose sub-directories are being listed."""

    path: tuple[str, ...]
    identity: tuple[int, int]
    names: list[str]


class Listing:
    """One listing in progress. Raises FluxError when the path cannot be listed at all; afterwards troubles are part of the pages.

    A path that exists is taken as it is, also with ``*`` in its name; otherwise it is a glob if it has a character of one.
    """

    def __init__(
        self,
        roots: Roots,
        path: str,
        rules: Rules,
        *,
        recursive: bool,
        destination: Target | None = None,
        symlinks: Symlinks = "skip",
        min_age_s: float = 0.0,
        release: Release | None = None,
        write: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        """``destination``: where the job writes, if that is at this agent too; it is left out, as the archive of ``release`` is.

        ``write``: ``path`` is where a job writes, so it is to be below a write root.
        """
        self._roots = roots
        self._destination = destination
        self._symlinks = symlinks
        self._min_age_ns = int(min_age_s * 1e9)
        self._release = release or Release()
        self._write = write
        self._now = now
        # What is left out: a place, and the way to it from the base if it is below.
        self._left_out: list[tuple[Target, tuple[str, ...] | None]] = []
        self._rules = rules
        self._recursive = recursive
        self._globs: tuple[Glob, ...] = ()
        self.base: Place
        self.path_type: PathType
        self._items: Iterator[_Item] = iter(())
        self._ahead: _Item = None
        self._open(path)

    def page(self, size: int) -> Page:
        """The next entries, at most ``size`` of them and as many errors. Not after the last page."""
        page = Page()
        room = PAGE_BYTES
        size = max(1, min(size, MAX_ITEMS))
        looked_at = 0
        item = self._ahead
        self._ahead = None
        while True:
            match item:
                case Found():
                    page.entries.append(item)
                case Trouble():
                    page.errors.append(item)
            if item is not None:
                room -= _ITEM_BYTES + len(json.dumps(item.path))
            looked_at += 1
            if room < 0 or looked_at > SCAN_MAX or max(len(page.entries), len(page.errors)) == size:
                break
            try:
                item = next(self._items)
            except StopIteration:
                page.last = True
                return page
        # Whether this was the last page is known only by looking ahead.
        try:
            self._ahead = next(self._items)
        except StopIteration:
            page.last = True
        return page

    def close(self) -> None:
        """Forget it; no page may be asked for afterwards."""
        if isinstance(self._items, Generator):
            self._items.close()

    def _open(self, path: str) -> None:
        roots = self._roots
        place = roots.resolve(path, write=self._write)
        if not place.components:
            roots.open_directory(place).close()
            self._begin(place, "directory")
            return
        parent = roots.find_directory(place.parent)
        seen: Status | None = None
        if parent is not None:
            with parent:
                try:
                    seen = parent.status_of(place.name)
                except OSError as error:
                    raise transfer_error(error, place.path) from None
        if seen is None:
            if not is_glob("/".join(place.components)):
                raise TransferError(f"{shown(place.path)} does not exist", code="not_found")
            self._list_glob(place)
        elif seen.kind == "directory":
            roots.open_directory(place).close()
            self._begin(place, "directory")
        else:
            roots.check_file(seen, place)
            self._refuse_destination(place)
            self._refuse_destination(place.parent)
            self._release.check(roots, place.parent)
            self.base, self.path_type = place.parent, "file"
            self._items = iter((self._aged(_found(place.name, seen)),))

    def _refuse_destination(self, place: Place) -> None:
        if self._destination is not None and self._destination.is_at(place):
            raise TransferError(
                f"{shown(place.path)} would be copied onto itself: choose another destination", code="refused_path"
            )

    def _list_glob(self, place: Place) -> None:
        names = place.components
        fixed = next(position for position, name in enumerate(names) if is_glob(name))
        self._globs = compile_glob("/".join(names[fixed:]))
        base = Place(place.root, names[:fixed])
        self._roots.open_directory(base).close()
        self._begin(base, "glob")

    def _begin(self, base: Place, path_type: PathType) -> None:
        self.base, self.path_type = base, path_type
        self._refuse_destination(base)
        self._release.check(self._roots, base)
        if self._destination is not None:
            self._left_out.append((self._destination, self._destination.below(base)))
        if self._release.on_success == "archive":
            archive = Target(self._roots, self._release.archive_path(base.path))
            self._left_out.append((archive, archive.below(base)))
        self._items = self._walk()

    def _walk(self) -> Iterator[_Item]:
        stack: list[_Level] = []
        path: tuple[str, ...] = ()
        while True:
            names: list[str] = []
            identity = yield from self._read(path, [level.identity for level in stack], names)
            if identity is not None and names:
                stack.append(_Level(path, identity, names))
            while stack and not stack[-1].names:
                stack.pop()
            if not stack:
                return
            path = (*stack[-1].path, stack[-1].names.pop())

    def _read(
        self, path: tuple[str, ...], above: list[tuple[int, int]], names: list[str]
    ) -> Generator[_Item, None, tuple[int, int] | None]:
        """Yield what stands in one directory and put the sub-directories to be read into ``names``; its identity, if it could be read."""
        shown_path = "/".join(path)
        try:
            place = self.base.below(path)
            directory = self._roots.open_directory(follow(self._roots, place) if self._symlinks == "follow" else place)
        except FluxError as error:
            # What vanished since its name was read was not there.
            yield None if path and error.code == "not_found" else Trouble(shown_path, error.code, error.message)
            return None
        with directory:
            identity = directory.status().identity
            if identity in above:
                yield Trouble(shown_path, "refused_path", "this directory contains itself; it is listed once")
                return None
            inside = any(self._is_matched(path[:depth], is_dir=True) for depth in range(1, len(path) + 1))
            own = self._roots.own_identities(write=False)
            left_out = [(way, target.identity()) for target, way in self._left_out]
            try:
                for name, status in directory.entries():
                    if not _is_any((*path, name), status, left_out):
                        yield self._sort_in((*path, name), status, names, inside=inside, own=own)
            except OSError as error:
                failure = transfer_error(error, shown_path)
                yield Trouble(shown_path, failure.code, failure.message)
        return identity

    def _sort_in(
        self,
        parts: tuple[str, ...],
        status: Status | OSError,
        names: list[str],
        *,
        inside: bool,
        own: set[tuple[int, int]],
    ) -> _Item:
        path = "/".join(parts)
        if is_part_name(parts[-1]):
            return None
        if len(os.fsencode(path)) > MAX_PATH_BYTES:
            return Trouble("/".join(parts[:-1]), "refused_path", f"a path below is longer than {MAX_PATH_BYTES} bytes")
        if isinstance(status, OSError):
            failure = transfer_error(status, path)
            return Trouble(path, failure.code, failure.message)
        code = ""
        if status.kind == "symlink" and self._symlinks == "follow":
            try:
                status = look(self._roots, self.base.below(parts))[1]
            except LinkError as error:
                code = error.why
            except FluxError as error:
                return Trouble(path, error.code, error.message)
        if status.size > _SIZE_MAX:
            return Trouble(path, "too_large", f"{shown(path)} has {status.size} bytes")
        if status.identity in own:
            # The agent's own folder: reported, as a link is, and left alone.
            return _found(path, status, "other")
        is_dir = status.kind == "directory"
        if is_dir and parts[-1] == ARCHIVE:
            return None
        matched = inside or not self._globs or self._is_matched(parts, is_dir=is_dir)
        if is_dir:
            if self._enters(path, parts, matched=matched):
                names.append(parts[-1])
            matched = matched and self._recursive
        return self._aged(_found(path, status, code=code)) if matched and self._rules(path, is_dir) else None

    def _aged(self, found: Found) -> Found:
        """By this machine's clock, which gave the file its time as well."""
        young = self._min_age_ns and self._now() * 1e9 - found.mtime_ns < self._min_age_ns
        return replace(found, code="young") if young and not found.code and found.kind != "directory" else found

    def _enters(self, path: str, parts: tuple[str, ...], *, matched: bool) -> bool:
        if not self._rules.enters(path):
            return False
        if self._recursive and matched:
            return True
        return any(glob.may_match_below(parts) for glob in self._globs)

    def _is_matched(self, parts: tuple[str, ...], *, is_dir: bool) -> bool:
        return any((is_dir or not glob.directories_only) and glob.matches(parts) for glob in self._globs)


def _found(path: str, status: Status, kind: EntryKind | None = None, code: str = "") -> Found:
    return Found(path, kind or status.kind, status.size, status.mtime_ns, status.mode, code)


def _is_any(
    parts: tuple[str, ...],
    status: Status | OSError,
    places: list[tuple[tuple[str, ...] | None, tuple[int, int] | None]],
) -> bool:
    """Whether an entry is one of these places, by its way or by what it is."""
    return any(
        parts == way or (not isinstance(status, OSError) and status.identity == identity) for way, identity in places
    )
