"""Calls of the C library that Python does not have."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import re
import sys
from typing import Any, Final

_RENAME_NOREPLACE: Final = 1
_KEEP_SIZE_PUNCH_HOLE: Final = 1 | 2
_UNSUPPORTED: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP})
_KERNEL_FILE_SYSTEMS: Final = frozenset(
    {
        0x9FA0,  # proc
        0x62656572,  # sysfs
        0x64626720,  # debugfs
        0x74726163,  # tracefs
        0x73636673,  # securityfs
        0x27E0EB,  # cgroup
        0x63677270,  # cgroup2
        0xCAFE4A11,  # bpf
        0x62656570,  # configfs
        0x6165676C,  # pstore
        0xDE5E81E4,  # efivarfs
        0x1CD1,  # devpts
        0xF97CFF8C,  # selinuxfs
        0x43415D53,  # smackfs
        0x42494E4D,  # binfmt_misc
        0x65735543,  # fusectl
        0x67596969,  # rpc_pipefs
        0x19800202,  # mqueue
        0x6E736673,  # nsfs
    }
)
"""``f_type`` of file systems that show objects of the kernel (linux/magic.h)."""


class _StatFs(ctypes.Structure):
    """The first field is all that is needed; the rest is room for what the call writes."""

    _fields_ = (("f_type", ctypes.c_long), ("rest", ctypes.c_byte * 512))


def _function(name: str) -> Any:
    if sys.platform == "linux":
        return getattr(ctypes.CDLL(None, use_errno=True), name, None)
    else:
        return None


_renameat2: Final = _function("renameat2")
_fstatfs: Final = _function("fstatfs")
_syncfs: Final = _function("syncfs")
_fallocate: Final = _function("fallocate")


def is_kernel_file_system(fd: int) -> bool:
    """Whether the open file or directory is part of /proc, /sys or the like. Always False where the system does not say."""
    if _fstatfs is None:
        return False
    answer = _StatFs()
    if _fstatfs(fd, ctypes.byref(answer)) != 0:
        raise _os_error()
    return (answer.f_type & 0xFFFFFFFF) in _KERNEL_FILE_SYSTEMS


def _reports_errors() -> bool:
    """Before Linux 5.8 syncfs did not say that something could not be written."""
    release = platform.release() if sys.platform == "linux" else "0"
    numbers = re.findall(r"\d+", release)[:2]
    return tuple(map(int, numbers)) >= (5, 8)


SYNCS_FILE_SYSTEMS: Final = _syncfs is not None and _reports_errors()
"""Whether ``sync_file_system`` can be had here."""


def sync_file_system(fd: int) -> None:
    """Write everything of the file system of an open file or directory to its disk. One call costs about as much as one fsync."""
    if _syncfs(fd) != 0:
        raise _os_error()


def punch_hole(fd: int, offset: int, length: int) -> bool:
    """Give these bytes of a file back to the file system, so that they read as zeros; False where that cannot be done. The size stays."""
    if _fallocate is None:
        return False
    if _fallocate(fd, _KEEP_SIZE_PUNCH_HOLE, ctypes.c_int64(offset), ctypes.c_int64(length)) == 0:
        return True
    error = _os_error()
    if error.errno in _UNSUPPORTED:
        return False
    raise error


def rename_new(directory: int, old: str, new: str, target: int | None = None) -> None:
    """Rename inside an open directory, or into ``target``. Raises FileExistsError if anything has the new name."""
    target = directory if target is None else target
    if _renameat2 is not None:
        names = os.fsencode(old), os.fsencode(new)
        if _renameat2(directory, names[0], target, names[1], _RENAME_NOREPLACE) == 0:
            return
        error = _os_error(new)
        if error.errno not in _UNSUPPORTED:
            raise error
    # Only one of two links to a name succeeds, too. A crash in between leaves a second name, which the next attempt removes.
    os.link(old, new, src_dir_fd=directory, dst_dir_fd=target, follow_symlinks=False)
    os.unlink(old, dir_fd=directory)


def _os_error(name: str | None = None) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), name)
