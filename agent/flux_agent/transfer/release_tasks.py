"""What becomes of the source's files when they have arrived: deleted or archived. ``tasks.py`` lists arguments and values.

A request may come again after any crash, so a file that is gone is as it should be. One that is not the file that was sent stays.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import groupby
from typing import Any, Final

from fileflux.errors import FluxError, RefusedPathError, TransferError
from flux_agent.files import publish
from flux_agent.files.archive import Release, other_file_system, writable
from flux_agent.files.faults import naming, shown, transfer_error
from flux_agent.files.handles import Directory
from flux_agent.files.roots import Place, Roots

_NAMES_MAX: Final = 1000
"""Names of the archive that are looked at for one that is gone from its source."""
Answer = dict[str, str]


class ReleaseTasks:
    """No state."""

    def __init__(self, roots: Roots) -> None:
        self._roots = roots

    def release(self, args: dict[str, Any]) -> dict[str, Any]:
        answers: list[Answer] = []
        # Each directory is opened and synced once for the files of it that stand together in the request.
        for _, group in groupby(args["items"], key=lambda item: item["name"].rpartition("/")[0]):
            items = list(group)
            try:
                answers += self._group(args, items)
            except OSError as error:
                answers += [_failed(transfer_error(error, args["path"]))] * len(items)
            except FluxError as error:
                answers += [_failed(error)] * len(items)
        return {"answers": answers}

    def _group(self, args: dict[str, Any], items: Sequence[dict[str, Any]]) -> list[Answer]:
        """Files of one directory."""
        release = Release(items[0]["on_success"], args["archive"])
        first = writable(self._roots, args["path"], items[0]["name"], release.on_success)
        with ExitStack() as stack:
            archive: Directory | None = None
            if release.on_success == "archive":
                kept = writable(self._roots, release.archive_path(args["path"]), items[0]["name"], release.on_success)
                archive = stack.enter_context(self._roots.open_directory(kept.parent, create=True))
            directory = self._roots.find_directory(first.parent)
            if directory is not None:
                stack.enter_context(directory)
            answers = [self._one(args, item, directory, archive) for item in items]
            # Nothing is answered before it is on the disk, the new name before the old one is gone.
            for changed in (archive, directory):
                if changed is not None:
                    changed.sync()
        return answers

    def _one(
        self, args: dict[str, Any], item: dict[str, Any], directory: Directory | None, archive: Directory | None
    ) -> Answer:
        again: bool = args["again"]
        try:
            place = writable(self._roots, args["path"], item["name"], item["on_success"])
            with naming(place.path):
                there = directory is not None and _is_there(directory, place, item["identity"], again=again)
                if archive is None:
                    if directory is not None and there:
                        directory.remove(place.name)
                elif directory is not None and there:
                    _move(directory, place, archive)
                elif not _holds(archive, place.name, item["identity"]):
                    raise TransferError(f"{shown(place.path)} was gone before it could be archived", code="not_found")
        except FluxError as error:
            return _failed(error)
        return {"code": "ok", "message": ""}


def _move(directory: Directory, place: Place, archive: Directory) -> None:
    new = place.name
    while True:
        if archive.status_of(new) is not None:
            new = publish.free_name(archive, place.name, place.path)
        try:
            directory.move_new(place.name, archive, new)
        except FileExistsError:
            continue
        except OSError as error:
            if error.errno == errno.EXDEV:
                raise other_file_system(place.path) from None
            raise
        return


def _is_there(directory: Directory, place: Place, identity: str, *, again: bool) -> bool:
    """Whether the file that was sent still stands there. Raises TransferError for any other, which is to stay."""
    status = directory.status_of(place.name)
    if status is None:
        return False
    if status.version == identity:
        return True
    if again and status.version.split("-")[:2] != identity.split("-")[:2]:
        # The file that was sent is gone, as an earlier request may have had it. This one is new, and the next run's.
        return False
    if status.kind == "symlink":
        raise RefusedPathError(
            f"{shown(place.path)} is a symbolic link that was followed: neither it nor its target is touched"
        )
    raise TransferError(f"{shown(place.path)} changed after it was sent, so it stays", code="source_changed")


def _holds(archive: Directory, name: str, identity: str) -> bool:
    """Whether the archive has this very file, by its inode, size and time: a rename may change its ctime."""
    candidate = name
    for number in range(1, _NAMES_MAX):
        status = archive.status_of(candidate)
        if status is None:
            return False
        if status.version.split("-")[:4] == identity.split("-")[:4]:
            return True
        candidate = publish.numbered(name, number)
    return False


def _failed(error: FluxError) -> Answer:
    return {"code": error.code, "message": error.message}
