"""What a worker does for a watch: one scan after the other, and looks at single names, by the rules of the job's listing."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any, Final

from fileflux.errors import FluxError
from fileflux.jobs.selection import Selection
from fileflux.protocol.messages import Symlinks
from fileflux.protocol.names import check_relative
from fileflux.protocol.versions import is_version_name
from flux_agent.files.handles import Directory, Status
from flux_agent.files.links import follow, look
from flux_agent.files.roots import Place, Roots
from flux_agent.files.walk import Listing
from flux_agent.watch.candidates import Sight

DIRECTORIES_MAX: Final = 4096
"""That are watched by events: each takes one of the system's watches, of which a user has some ten thousand to share."""
_SIZE_MAX: Final = 2**53 - 1


class Scan(Listing):
    """A listing that also says which directories it entered: those in which events are to be heard of."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.directories: list[str] = []
        """Absolute, at most DIRECTORIES_MAX and one more."""
        super().__init__(*args, **options)
        if self.path_type == "file":
            self.directories.append(self.base.path)

    def leaves_out(self, parts: tuple[str, ...]) -> bool:
        """Whether it is the job's destination or its archive, or stands there."""
        return any(way is not None and parts[: len(way)] == way for _, way in self._left_out)

    def _read(self, path: tuple[str, ...], *rest: Any) -> Generator[Any, None, tuple[int, int] | None]:
        if len(self.directories) <= DIRECTORIES_MAX:
            self.directories.append(self.base.below(path).path)
        return (yield from super()._read(path, *rest))


class Looker:
    """Looks at single names below the base of a scan, through the roots as a listing does."""

    def __init__(
        self,
        roots: Roots,
        scan: Scan,
        selection: Selection,
        *,
        marker: str,
        symlinks: Symlinks,
        min_age_s: float,
        only: str | None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """``only``: of a source that is one file, its name."""
        self._roots = roots
        self._scan = scan
        self._selection = selection
        self._marker = marker
        self._symlinks = symlinks
        self._min_age_s = min_age_s
        self._only = only
        self._now = now
        self._base = scan.base

    def wants(self, path: str) -> bool:
        """Whether a file of this name would be in a listing."""
        if self._only is not None:
            return path == self._only
        try:
            parts = check_relative(path)
        except FluxError:
            return False
        if is_version_name(path) or self._scan.leaves_out(tuple(parts)):
            return False
        return self._selection.choose(path).wanted

    def look(self, path: str) -> Sight | None:
        """None: there is nothing of that name that the job could move. A directory is reported whatever the job's patterns say of it."""
        wanted = self.wants(path)
        try:
            place = self._base.below(tuple(check_relative(path)))
            following = self._symlinks == "follow"
            with self._roots.open_directory(
                follow(self._roots, place.parent) if following else place.parent
            ) as directory:
                status = directory.status_of(place.name)
                if status is not None and status.kind == "symlink" and following:
                    status = look(self._roots, place)[1]
                return self._sight(place, directory, status) if self._counts(status, wanted=wanted) else None
        except (FluxError, OSError):
            return None

    def _counts(self, status: Status | None, *, wanted: bool) -> bool:
        if status is None or status.size > _SIZE_MAX:
            return False
        if status.kind == "directory":
            return True
        movable = status.kind == "file" or (status.kind == "symlink" and self._symlinks == "copy")
        return wanted and movable and status.identity not in self._roots.own_identities(write=False)

    def _sight(self, place: Place, directory: Directory, status: Status | None) -> Sight | None:
        if status is None:
            return None
        marked = True
        if self._marker and status.kind != "directory":
            beside = directory.status_of(place.name + self._marker)
            marked = beside is not None and beside.kind == "file"
        age = self._now() - status.mtime_ns / 1e9
        young = max(0.0, self._min_age_s - age) if self._min_age_s else 0.0
        return Sight(status.kind, status.size, status.mtime_ns, status.ctime_ns, status.mode, young, marked)
