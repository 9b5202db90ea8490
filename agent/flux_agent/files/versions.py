"""Older versions of a file that is replaced, beside it: ``name.~1~``, ``name.~2~`` … The highest number is the newest.

Before the rename the old file gets its second name by a hard link, so its own name never is without a file. After a crash in between, the
version that is the same file already is found and no second one is made.
"""

from __future__ import annotations

import errno
from typing import Final

from fileflux.errors import TransferError
from fileflux.protocol.versions import is_version_name, version_name, version_of
from flux_agent.files.faults import shown
from flux_agent.files.handles import Directory

__all__ = ["is_version_name", "keep", "prune"]

_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS, errno.EINVAL})
_RACES_MAX: Final = 100


def keep(directory: Directory, name: str, path: str) -> None:
    """Give the file ``name`` the name of its newest version, too, in the directory that is open.

    Where there are no hard links it is renamed, so that until the new file stands there is none of that name. Raises OSError, and
    TransferError when the version's name is too long.
    """
    current = directory.status_of(name)
    if current is None:
        return
    numbers = _numbers(directory, name)
    newest = numbers[-1] if numbers else 0
    if newest and current.links > 1:
        seen = directory.status_of(version_name(name, newest))
        if seen is not None and seen.identity == current.identity:
            return
    for number in range(newest + 1, newest + 1 + _RACES_MAX):
        try:
            _second_name(directory, name, version_name(name, number))
        except FileExistsError:
            continue
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            message = f"{shown(path)}: its name is too long for a version of it to be kept; nothing was overwritten"
            raise TransferError(message, code="refused_path") from None
        return
    raise TransferError(f"{shown(path)}: no free name for its old version; nothing was overwritten", code="exists")


def prune(directory: Directory, name: str, count: int) -> None:
    """Remove all but the newest ``count`` versions. Raises OSError."""
    old = _numbers(directory, name)[: -count or None]
    for number in old:
        seen = directory.status_of(version_name(name, number))
        if seen is not None and seen.kind in ("file", "symlink"):
            directory.remove(version_name(name, number))
    if old:
        directory.sync()


def _second_name(directory: Directory, name: str, version: str) -> None:
    try:
        directory.link(name, version)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        directory.rename_new(name, version)


def _numbers(directory: Directory, name: str) -> list[int]:
    found = (version_of(other) for other in directory.names())
    return sorted(version[1] for version in found if version is not None and version[0] == name)
