"""Part files, and how they become final ones.

A part stands in the directory of the final name, so that publishing is a rename. The order is what the promises rest on: metadata, sync of
the part, rename, sync of the directory. All functions raise TransferError.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection
from pathlib import PurePath
from typing import Final

from fileflux.errors import TransferError
from fileflux.protocol.limits import MAX_NAME_BYTES
from fileflux.protocol.messages import MovedKind
from flux_agent.files.faults import shown, transfer_error
from flux_agent.files.handles import Directory, File, Status
from flux_agent.files.system import own_user

PERMISSIONS: Final = 0o777
"""Setuid, setgid and sticky bits are never carried over."""
_PRIVATE: Final = 0o600
_NO_FILE: Final = frozenset({errno.ENOENT, errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENODEV})
_FREE_NAMES_MAX: Final = 10_000


def check_space(directory: Directory, size: int, held: int, path: str) -> None:
    """Raises TransferError(no_space) if ``size`` bytes cannot fit, ``held`` of which the part takes already."""
    try:
        total, free = directory.space()
    except OSError as error:
        raise transfer_error(error, path) from None
    if total and size - held > free:
        raise TransferError(f"{shown(path)}: {size} bytes are needed, {free} are free", code="no_space")


def open_part(directory: Directory, name: str, modes: Collection[int], path: str) -> tuple[File, bool]:
    """The part to write into, and whether it is one that an earlier attempt left.

    A part is taken over only if it is a regular file of this user with one name and mode 0600, or with one of ``modes``: those that a
    commit gives it just before the rename. Anything else of that name is removed; a directory is an error.
    """
    try:
        file = _take_over(directory, name, modes)
        if file is not None:
            return file, True
        if directory.status_of(name) is not None:
            directory.remove(name)
        return directory.create_file(name), False
    except OSError as error:
        raise transfer_error(error, f"{path} (part)") from None


def _take_over(directory: Directory, name: str, modes: Collection[int]) -> File | None:
    for write in (True, False, True):
        try:
            file = directory.open_file(name, write=write)
        except PermissionError:
            # Not writable to its owner: the commit had set its mode. The handle that may read can set it back.
            continue
        except OSError as error:
            if error.errno in _NO_FILE:
                return None
            # Out of descriptors, a bad disk: no reason to give up what is there.
            raise
        try:
            status = file.status()
            if not _is_own(status) or (status.mode != _PRIVATE and status.mode not in modes):
                file.close()
                return None
            if status.mode != _PRIVATE:
                file.set_mode(_PRIVATE)
        except BaseException:
            file.close()
            raise
        if write:
            return file
        file.close()
    return None


def _is_own(status: Status) -> bool:
    return status.kind == "file" and status.owner == own_user() and status.links == 1


def remove_part(directory: Directory, name: str) -> None:
    """Remove a part of this user, or the link that it was made; anything else of that name, or nothing, is left as it is."""
    seen = directory.status_of(name)
    if seen is not None and seen.kind in ("file", "symlink") and seen.owner == own_user():
        directory.remove(name)


def check_replaceable(existing: Status, directory: Status, path: str, kind: MovedKind = "file") -> None:
    """Raises TransferError unless what stands at the final name is of this kind and a rename may replace it."""
    if existing.kind != kind:
        names = {"file": "a file", "directory": "a directory", "symlink": "a symbolic link"}
        what = names.get(existing.kind, "not a regular file")
        raise TransferError(f"{shown(path)} is {what}; nothing was overwritten", code="not_regular")
    if existing.device != directory.device:
        raise TransferError(f"{shown(path)} is a mount point; nothing was overwritten", code="not_regular")


def check_not_read_only(existing: Status, path: str) -> None:
    """Raises TransferError(read_only) for a file that nobody may write. A rename would not mind; its owner would."""
    if existing.mode & 0o222 == 0:
        raise TransferError(f"{shown(path)} is read-only; nothing was overwritten", code="read_only")


def free_name(directory: Directory, name: str, path: str) -> str:
    """``name (1).ext``, or the first higher number that is free."""
    for number in range(1, _FREE_NAMES_MAX):
        candidate = numbered(name, number)
        if directory.status_of(candidate) is None:
            return candidate
    raise TransferError(f"{shown(path)}: no free name up to number {_FREE_NAMES_MAX}", code="exists")


def numbered(name: str, number: int) -> str:
    """``name (number).ext``, cut to what a name may have."""
    suffix = PurePath(name).suffix
    mark = f" ({number})"
    room = MAX_NAME_BYTES - len(os.fsencode(mark + suffix))
    return os.fsdecode(_cut(os.fsencode(name.removesuffix(suffix)), room)) + mark + suffix


def _cut(text: bytes, room: int) -> bytes:
    """At most ``room`` bytes, never in the middle of a UTF-8 character."""
    if len(text) <= room:
        return text
    while room > 0 and text[room] & 0xC0 == 0x80:
        room -= 1
    return text[:room]


def apply_metadata(file: File, *, mode: int, mtime_ns: int | None) -> None:
    """Set what is to be carried over; the sync is the caller's next step."""
    file.set_mode(mode & PERMISSIONS)
    if mtime_ns is not None:
        file.set_mtime(mtime_ns)


def publish(
    directory: Directory,
    part: str,
    final: str,
    *,
    replace: bool,
    path: str,
    kind: MovedKind = "file",
    keep: Callable[[], None] | None = None,
) -> None:
    """Rename the synced part to its final name and sync the directory.

    Without ``replace`` the name must be new: TransferError(exists) if it is not. What is not of ``kind`` is never replaced. ``keep`` is called
    right before something is.
    """
    try:
        if replace:
            existing = directory.status_of(final)
            if existing is not None:
                check_replaceable(existing, directory.status(), path, kind)
                if keep is not None:
                    keep()
            directory.rename_over(part, final)
        else:
            directory.rename_new(part, final)
        directory.sync()
    except FileExistsError:
        raise TransferError(f"{shown(path)} exists already", code="exists") from None
    except OSError as error:
        raise transfer_error(error, path) from None
