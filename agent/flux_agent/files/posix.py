"""Files on Linux and macOS: everything by directory handles, nothing through a symbolic link."""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from collections.abc import Collection, Iterator
from typing import Final, Self

from fileflux.protocol.messages import EntryKind
from flux_agent.files.handles import NANOSECONDS_MAX, Status
from flux_agent.files.kernel_calls import (
    SYNCS_FILE_SYSTEMS,
    is_kernel_file_system,
    punch_hole,
    rename_new,
    sync_file_system,
)

assert sys.platform != "win32"  # noqa: S101  # tells type checkers that the rest is for POSIX systems only
if sys.platform == "darwin":
    import fcntl

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO must not wait for its other end. It means nothing for a regular file.
_FILE: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_NO_COPY: Final = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.ETXTBSY})
"""The file systems cannot do it between these two files; an old kernel says EPERM for what it does not know."""
_NO_SYNC: Final = frozenset({errno.EINVAL, errno.ENOTSUP})


def own_user() -> int:
    """Who owns the files that this process makes."""
    return os.geteuid()


def default_mode() -> int:
    """The mode of a new file whose mode is not carried over."""
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask


def absolute_components(path: str) -> tuple[str, ...] | None:
    """The components of an absolute path, with ``..`` in it as it is; None for a relative one."""
    return tuple(name for name in path.split("/") if name not in ("", ".")) if path.startswith("/") else None


def join(components: tuple[str, ...]) -> str:
    """The inverse of ``absolute_components``."""
    return "/" + "/".join(components)


def open_root(path: str) -> PosixDirectory:
    """Open a directory by its path; only here symbolic links are followed, since the path comes from the agent's own configuration."""
    return PosixDirectory(os.open(path, _DIRECTORY))


def _mtime(seen: os.stat_result) -> int:
    return max(-NANOSECONDS_MAX, min(seen.st_mtime_ns, NANOSECONDS_MAX))


def _version(seen: os.stat_result) -> list[int]:
    """``Status.version_key``."""
    return [seen.st_dev, seen.st_ino, seen.st_size, seen.st_ctime_ns]


def _status(seen: os.stat_result) -> Status:
    kind: EntryKind = "other"
    if stat.S_ISREG(seen.st_mode):
        kind = "file"
    elif stat.S_ISDIR(seen.st_mode):
        kind = "directory"
    elif stat.S_ISLNK(seen.st_mode):
        kind = "symlink"
    return Status(
        kind,
        seen.st_dev,
        seen.st_ino,
        seen.st_size,
        _mtime(seen),
        seen.st_ctime_ns,
        stat.S_IMODE(seen.st_mode),
        seen.st_nlink,
        seen.st_uid,
        seen.st_blocks * 512,
    )


class _Handle:
    """What open files and directories have in common."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def status(self) -> Status:
        return _status(os.fstat(self._fd))

    def set_mode(self, mode: int) -> None:
        os.fchmod(self._fd, mode)

    def set_mtime(self, mtime_ns: int) -> None:
        os.utime(self._fd, ns=(os.fstat(self._fd).st_atime_ns, mtime_ns))

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class PosixFile(_Handle):
    """See ``handles.File``."""

    def read_into(self, view: memoryview, offset: int) -> int:
        done = 0
        while done < len(view):
            if sys.platform == "darwin":
                data = os.pread(self._fd, len(view) - done, offset + done)
                count = len(data)
                view[done : done + count] = data
            else:
                count = os.preadv(self._fd, [view[done:]], offset + done)
            if count == 0:
                break
            done += count
        return done

    def write(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        with memoryview(data) as view:
            done = 0
            while done < len(view):
                done += os.pwrite(self._fd, view[done:], offset + done)

    def copy_range(self, source: PosixFile, offset: int, length: int) -> bool:
        if sys.platform == "linux":
            done = 0
            try:
                while done < length:
                    count = os.copy_file_range(source._fd, self._fd, length - done, offset + done, offset + done)
                    if count == 0:
                        return False
                    done += count
            except OSError as error:
                if error.errno not in _NO_COPY:
                    raise
            return done == length
        else:
            return False

    def is_hole(self, offset: int, length: int) -> bool:
        if sys.platform == "linux":
            try:
                return os.lseek(self._fd, offset, os.SEEK_DATA) >= offset + length
            except OSError as error:
                # ENXIO: nothing but a hole up to the file's end, or that end is before ``offset``.
                return error.errno == errno.ENXIO and offset + length <= os.fstat(self._fd).st_size
        else:
            return False

    def make_hole(self, offset: int, length: int) -> bool:
        end = offset + length
        if os.fstat(self._fd).st_size < end:
            # Not truncate: another worker may have written behind it meanwhile.
            os.pwrite(self._fd, b"\0", end - 1)
        return punch_hole(self._fd, offset, length)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)

    def sync(self, *, content_only: bool = False) -> None:
        if sys.platform == "darwin":
            # Plain fsync there leaves the data in the drive's cache.
            fcntl.fcntl(self._fd, fcntl.F_FULLFSYNC)
        elif content_only:
            os.fdatasync(self._fd)
        else:
            os.fsync(self._fd)

    def forget_cache(self) -> None:
        if sys.platform == "linux":
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)


class PosixDirectory(_Handle):
    """See ``handles.Directory``."""

    @property
    def of_the_kernel(self) -> bool:
        return is_kernel_file_system(self._fd)

    def status_of(self, name: str) -> Status | None:
        try:
            return _status(os.stat(name, dir_fd=self._fd, follow_symlinks=False))
        except FileNotFoundError:
            return None

    def version_of(self, name: str) -> list[int] | None:
        try:
            seen = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        alone = stat.S_ISREG(seen.st_mode) and seen.st_nlink == 1
        return _version(seen) if alone else None

    def entries(self) -> Iterator[tuple[str, Status | OSError]]:
        with os.scandir(self._fd) as found:
            for entry in found:
                try:
                    yield entry.name, _status(entry.stat(follow_symlinks=False))
                except FileNotFoundError:
                    continue
                except OSError as error:
                    yield entry.name, error

    def names(self) -> Iterator[str]:
        with os.scandir(self._fd) as found:
            for entry in found:
                yield entry.name

    def space(self) -> tuple[int, int]:
        seen = os.fstatvfs(self._fd)
        return seen.f_blocks * seen.f_frsize, seen.f_bavail * seen.f_frsize

    def open_directory(self, name: str) -> PosixDirectory:
        return PosixDirectory(os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=self._fd))

    def open_file(self, name: str, *, write: bool = False) -> PosixFile:
        return PosixFile(os.open(name, _FILE | (os.O_RDWR if write else os.O_RDONLY), dir_fd=self._fd))

    def create_file(self, name: str) -> PosixFile:
        return PosixFile(os.open(name, _FILE | os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=self._fd))

    def make_file(self, name: str, content: memoryview, *, mode: int, mtime_ns: int | None, sync: bool) -> list[int]:
        fd = os.open(name, _FILE | os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=self._fd)
        try:
            done = os.pwrite(fd, content, 0)
            while done < len(content):
                done += os.pwrite(fd, content[done:], done)
            os.fchmod(fd, mode)
            if mtime_ns is not None:
                os.utime(fd, ns=(time.time_ns(), mtime_ns))
            if sync:
                PosixFile(fd).sync()
            seen = os.fstat(fd)
        finally:
            os.close(fd)
        return _version(seen)

    def read_listed(self, name: str, room: memoryview, mtime_ns: int, refused: Collection[tuple[int, int]]) -> bool:
        # Looked at before it is opened: opening a device can have effects.
        if not stat.S_ISREG(os.stat(name, dir_fd=self._fd, follow_symlinks=False).st_mode):
            return False
        fd = os.open(name, _FILE | os.O_RDONLY, dir_fd=self._fd)
        try:
            before = os.fstat(fd)
            listed = stat.S_ISREG(before.st_mode) and (before.st_size, _mtime(before)) == (len(room), mtime_ns)
            if not listed or (before.st_dev, before.st_ino) in refused:
                return False
            whole = PosixFile(fd).read_into(room, 0) == len(room)
            after = os.fstat(fd)
        finally:
            os.close(fd)
        unchanged = (after.st_size, after.st_mtime_ns, after.st_ctime_ns) == (
            before.st_size,
            before.st_mtime_ns,
            before.st_ctime_ns,
        )
        return whole and unchanged

    def make_directory(self, name: str) -> None:
        try:
            os.mkdir(name, 0o777, dir_fd=self._fd)
        except FileExistsError:
            # Whoever made it a moment ago may not have synced it yet.
            pass
        self.sync()

    def remove(self, name: str) -> None:
        os.unlink(name, dir_fd=self._fd)

    def remove_directory(self, name: str) -> None:
        os.rmdir(name, dir_fd=self._fd)

    def rename_over(self, old: str, new: str) -> None:
        os.rename(old, new, src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def rename_new(self, old: str, new: str) -> None:
        rename_new(self._fd, old, new)

    def move_new(self, old: str, to: Self, new: str) -> None:
        rename_new(self._fd, old, new, to._fd)

    def link(self, old: str, new: str) -> None:
        os.link(old, new, src_dir_fd=self._fd, dst_dir_fd=self._fd, follow_symlinks=False)

    def read_link(self, name: str) -> str:
        return os.readlink(name, dir_fd=self._fd)

    def make_link(self, target: str, name: str) -> None:
        os.symlink(target, name, dir_fd=self._fd)

    def set_link_mtime(self, name: str, mtime_ns: int) -> None:
        os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=self._fd, follow_symlinks=False)

    @property
    def syncs_together(self) -> bool:
        return SYNCS_FILE_SYSTEMS

    def sync_file_system(self) -> None:
        sync_file_system(self._fd)

    def sync(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError as error:
            # Some network file systems have nothing to sync for a directory; that is no failure to write.
            if error.errno not in _NO_SYNC:
                raise
