"""Removing what the source of a job has not (``delete_extra``). ``tasks.py`` lists arguments and values.

Whatever is not what the hub's listing showed stays: a file that was written since then, a name that became a link or a directory.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

from fileflux.errors import FluxError, RefusedPathError, TransferError
from fileflux.protocol.names import check_relative
from flux_agent.files.faults import naming, shown, transfer_error
from flux_agent.files.guard import is_part_name
from flux_agent.files.handles import Directory
from flux_agent.files.roots import Place, Roots

_REMOVED_KINDS: Final = ("file", "symlink")
_IN_USE: Final = frozenset({errno.ENOTEMPTY, errno.EEXIST})


class DeleteTasks:
    """No state."""

    def __init__(self, roots: Roots) -> None:
        self._roots = roots

    def delete_paths(self, args: dict[str, Any]) -> dict[str, Any]:
        errors: dict[str, FluxError] = {}
        # Each directory is opened and synced once for what stands together in the request.
        for _, group in groupby(args["items"], key=lambda item: item["path"].rpartition("/")[0]):
            items = list(group)
            try:
                self._in_one_directory(args["base"], items, errors)
            except OSError as error:
                failure = transfer_error(error, args["base"])
                errors |= {item["path"]: failure for item in items}
            except FluxError as error:
                errors |= {item["path"]: error for item in items}
        return {
            "errors": [{"path": path, "code": error.code, "message": error.message} for path, error in errors.items()]
        }

    def _in_one_directory(self, base: str, items: Sequence[dict[str, Any]], errors: dict[str, FluxError]) -> None:
        check_relative(items[0]["path"])
        first = self._roots.resolve(base, items[0]["path"], write=True)
        parent = self._roots.find_directory(first.parent)
        if parent is None:
            return
        removed = False
        with parent, naming(first.path):
            for item in items:
                try:
                    check_relative(item["path"])
                    place = self._roots.resolve(base, item["path"], write=True)
                    removed = self._remove(parent, place, item) or removed
                except OSError as error:
                    errors[item["path"]] = _kept(error, place)
                except FluxError as error:
                    errors[item["path"]] = error
            if removed:
                parent.sync()

    def _remove(self, parent: Directory, place: Place, item: dict[str, Any]) -> bool:
        seen = parent.status_of(place.name)
        if seen is None:
            return False
        self._roots.refuse_own(seen, place)
        if is_part_name(place.name):
            raise RefusedPathError(f"{shown(place.path)} is a part of a transfer")
        if item["directory"]:
            if seen.kind != "directory":
                raise _changed(place)
            parent.remove_directory(place.name)
            return True
        if seen.kind not in _REMOVED_KINDS or (seen.size, seen.mtime_ns) != (item["size"], item["mtime_ns"]):
            raise _changed(place)
        parent.remove(place.name)
        return True


def _changed(place: Place) -> TransferError:
    return TransferError(f"{shown(place.path)} changed since it was listed, so it stays", code="source_changed")


def _kept(error: OSError, place: Place) -> FluxError:
    if error.errno in _IN_USE:
        return TransferError(f"{shown(place.path)} is not empty, so it stays", code="exists")
    return transfer_error(error, place.path)
