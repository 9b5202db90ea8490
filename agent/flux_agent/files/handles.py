"""What differs between systems, behind two small interfaces. ``posix.py`` and ``windows.py`` implement them.

Everything is reached from the handle of an open directory by the name of one component; a name is never followed if it is a symbolic
link. Whoever gets a ``Directory`` or a ``File`` closes it; both are context managers. All methods raise OSError as the system gives it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Protocol, Self

from fileflux.protocol.messages import EntryKind

NANOSECONDS_MAX = 2**63 - 1
"""The year 2262: times beyond it are taken for it, at both ends."""
_UNSIGNED = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Status:
    """What the system says of a file or directory, never of what a symbolic link points to. ``mode``: the permission bits."""

    kind: EntryKind
    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    mode: int
    links: int
    owner: int
    allocated: int
    """Bytes that it takes of the disk."""

    @property
    def identity(self) -> tuple[int, int]:
        """The same for every name and handle of this very file."""
        return self.device, self.inode

    @property
    def version_key(self) -> tuple[int, int, int, int]:
        """Device, inode, size and ctime: another one as soon as anything was done to the file, or another file has its inode."""
        return self.device, self.inode, self.size, self.ctime_ns

    @property
    def version(self) -> str:
        """For the hub: the same as long as nothing was done to the file."""
        return version_text(self.device, self.inode, self.size, self.mtime_ns, self.ctime_ns)


def version_text(*numbers: int) -> str:
    """Of device, inode, size, mtime and ctime."""
    return "-".join(f"{number & _UNSIGNED:x}" for number in numbers)


class File(Protocol):
    """An open regular file."""

    def status(self) -> Status: ...

    def read_into(self, view: memoryview, offset: int) -> int:
        """Fill ``view`` from ``offset`` on; fewer bytes only at the file's end."""
        ...

    def write(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        """All of ``data``."""

    def copy_range(self, source: Self, offset: int, length: int) -> bool:
        """Take these bytes over from another file, at the same place, without reading them: as a shared extent where the file system can.

        False when that cannot be done here; some of the bytes may have been written then.
        """
        ...

    def is_hole(self, offset: int, length: int) -> bool:
        """Whether the file system knows that these bytes are zeros and keeps nothing for them; False also where it does not say."""
        ...

    def make_hole(self, offset: int, length: int) -> bool:
        """Make these bytes zeros that take nothing of the disk; the file reaches at least to their end then. False where that cannot be done."""
        ...

    def truncate(self, size: int) -> None: ...

    def set_mode(self, mode: int) -> None: ...

    def set_mtime(self, mtime_ns: int) -> None: ...

    def sync(self, *, content_only: bool = False) -> None:
        """Return when it is on the disk. Must not be repeated after an error: the system may have dropped what it could not write."""

    def forget_cache(self) -> None:
        """Let the next read come from the disk, where the system can do so. Call ``sync`` first."""

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Directory(Protocol):
    """An open directory."""

    @property
    def of_the_kernel(self) -> bool:
        """It is part of /proc, /sys and the like, whose files are no data."""
        ...

    def status(self) -> Status: ...

    def status_of(self, name: str) -> Status | None:
        """None when there is nothing of that name."""
        ...

    def version_of(self, name: str) -> list[int] | None:
        """``Status.version_key`` of a regular file that has this name and no other; None for all else."""
        ...

    def entries(self) -> Iterator[tuple[str, Status | OSError]]:
        """Everything in it, in no order. Entries that vanish meanwhile are left out."""
        ...

    def names(self) -> Iterator[str]:
        """The names alone, in no order: nothing is looked at."""
        ...

    def space(self) -> tuple[int, int]:
        """Bytes of its file system, and those of them that this user may still fill. (0, 0) when the system does not say."""
        ...

    def open_directory(self, name: str) -> Directory: ...

    def open_file(self, name: str, *, write: bool = False) -> File:
        """Open what is there; never waits for the other end of a FIFO. The caller checks ``status().kind``."""
        ...

    def create_file(self, name: str) -> File:
        """A new file with mode 0600, open for reading and writing. Raises FileExistsError for whatever has the name."""
        ...

    def make_file(self, name: str, content: memoryview, *, mode: int, mtime_ns: int | None, sync: bool) -> list[int]:
        """A new file with this content and metadata, closed again; on the disk if ``sync``. Raises FileExistsError for whatever has the name.

        Returns what ``version_of`` it is from now on.
        """
        ...

    def read_listed(self, name: str, room: memoryview, mtime_ns: int, refused: Collection[tuple[int, int]]) -> bool:
        """Whether ``room`` is filled with a regular file that had just this size and mtime, before it was read and afterwards.

        False for one whose identity is among ``refused``, and for what is no regular file, which is not opened.
        """
        ...

    def make_directory(self, name: str) -> None:
        """Make it and have its name on the disk. One that is there already is no error."""

    def remove(self, name: str) -> None:
        """Remove a name that is no directory."""

    def remove_directory(self, name: str) -> None:
        """Remove a directory. Raises OSError unless it is empty."""

    def rename_over(self, old: str, new: str) -> None:
        """Rename, replacing a file that has the new name."""

    def rename_new(self, old: str, new: str) -> None:
        """Rename. Raises FileExistsError if anything has the new name, without a moment between looking and renaming."""

    def move_new(self, old: str, to: Self, new: str) -> None:
        """As ``rename_new``, into another directory. An error of its own, EXDEV, when that is on another file system."""

    def link(self, old: str, new: str) -> None:
        """Give a file a second name. Raises FileExistsError; not every file system can do it."""

    def read_link(self, name: str) -> str:
        """The text of a symbolic link."""
        ...

    def make_link(self, target: str, name: str) -> None:
        """A new symbolic link with this text."""

    def set_link_mtime(self, name: str, mtime_ns: int) -> None:
        """Of a symbolic link itself."""

    def set_mode(self, mode: int) -> None: ...

    def set_mtime(self, mtime_ns: int) -> None: ...

    def sync(self) -> None:
        """Return when its names are on the disk."""

    @property
    def syncs_together(self) -> bool:
        """Whether ``sync_file_system`` works here; otherwise each file has to be synced."""
        ...

    def sync_file_system(self) -> None:
        """Return when all that was written to its file system is on the disk. Must not be repeated after an error, as ``File.sync``."""

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
