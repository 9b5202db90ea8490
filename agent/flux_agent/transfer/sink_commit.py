"""The last step of a transfer: everything that is to be true before the rename."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from functools import partial
from typing import Any

from fileflux.errors import TransferError
from fileflux.protocol.messages import MovedKind
from flux_agent.files import publish, versions
from flux_agent.files.faults import shown
from flux_agent.files.handles import Directory, File, Status
from flux_agent.files.links import check_target
from flux_agent.files.roots import Place, Roots
from flux_agent.transfer.open_files import FileHashes


class Commit:
    """One ``sink_commit``. Call ``is_delivered`` on repeated attempts, then ``prepare``, then sync the part and ``publish``."""

    def __init__(
        self,
        roots: Roots,
        directory: Directory,
        place: Place,
        hashes: FileHashes,
        default_mode: int,
        kind: MovedKind,
        args: dict[str, Any],
    ) -> None:
        self._roots = roots
        self._directory = directory
        self._place = place
        self._hashes = hashes
        self._kind: MovedKind = kind
        self._keep_versions: int = args.get("keep_versions", 0)
        self._size: int = args["size"]
        self._ours: str = args["ours"]
        self._conflict: str = args["conflict"]
        self._reread: bool = args["reread"]
        self._given_mtime_ns: int = args["mtime_ns"]
        self._mtime_ns: int | None = args["mtime_ns"] if args["preserve_mtime"] else None
        self._mode: int = args["mode"] & publish.PERMISSIONS if args["preserve_mode"] else default_mode
        if args["file_sha256"] not in (None, self._ours):
            raise TransferError(
                f"{shown(place.path)}: every chunk agreed and the whole file's SHA-256 does not", code="hash_mismatch"
            )

    def value(self, *, delivered: bool) -> dict[str, Any]:
        """The value of ``sink_commit``."""
        return {"sha256": self._ours, "size": self._size, "final_path": self._place.path, "delivered": delivered}

    def is_delivered(self) -> bool:
        """Whether an earlier attempt had renamed already: the file at the final name has this content.

        Its mode and mtime are then made right, too, since it may also be an older file that happens to be equal.
        """
        existing = self._directory.status_of(self._place.name)
        if existing is None or existing.kind != self._kind or existing.size != self._size:
            return False
        if self._kind == "symlink":
            text = os.fsencode(self._directory.read_link(self._place.name))
            return hashlib.sha256(text).hexdigest() == self._ours
        try:
            file, status = self._roots.open_file(self._directory, self._place)
        except TransferError:
            # Not readable: it cannot be compared, so it counts as another file.
            return False
        with file:
            if self._hashes.digest(file, 0, self._size, "stale_have").hex() != self._ours:
                return False
            if status.mode == self._mode and self._mtime_ns in (None, status.mtime_ns):
                return True
            try:
                publish.apply_metadata(file, mode=self._mode, mtime_ns=self._mtime_ns)
                file.sync()
            except PermissionError:
                # Somebody else's file: replace it where that is allowed, else it is good as it is.
                return self._conflict != "overwrite"
        return True

    def prepare(self, part: File, part_name: str) -> bool:
        """Check the part and the final name, set metadata. True if the rename may replace a file. Sync the part after this."""
        place = self._place
        status = part.status()
        named = self._directory.status_of(part_name)
        if named is None or named.identity != status.identity:
            # The rename goes by the name, so that has to be what was written to.
            raise TransferError(f"the part of {shown(place.path)} was removed or replaced", code="stale_have")
        if status.size != self._size or status.links != 1:
            raise TransferError(f"the part of {shown(place.path)} is not what was written", code="stale_have")
        existing = self._directory.status_of(place.name)
        replace = self._conflict == "overwrite" or (self._conflict == "newer" and existing is not None)
        if existing is not None:
            self._roots.refuse_own(existing, place)
            self._check_existing(existing, replace=replace)
        if self._reread:
            part.sync()
            part.forget_cache()
            if self._hashes.digest(part, 0, self._size, "stale_have").hex() != self._ours:
                raise TransferError(f"{shown(place.path)} reads back differently from the disk", code="hash_mismatch")
        if self._kind == "file":
            publish.apply_metadata(part, mode=self._mode, mtime_ns=self._mtime_ns)
        return replace

    def publish(self, part: File, part_name: str, *, replace: bool) -> None:
        """Give the synced part its final name; what stood there becomes a version of it if the job keeps some."""
        directory, place = self._directory, self._place
        if self._kind == "symlink":
            self._make_link(part, part_name)
        keep = partial(versions.keep, directory, place.name, place.path) if self._keep_versions else None
        publish.publish(directory, part_name, place.name, replace=replace, path=place.path, kind=self._kind, keep=keep)
        self.prune()

    def prune(self) -> None:
        """Remove versions that are too many. They can wait: a disk that does not let them go is no reason to fail."""
        if self._keep_versions:
            with suppress(OSError):
                versions.prune(self._directory, self._place.name, self._keep_versions)

    def _make_link(self, part: File, part_name: str) -> None:
        """Put a link in the place of the part that holds its text. A crash in between leaves nothing under the final name."""
        text = bytearray(self._size)
        part.read_into(memoryview(text), 0)
        target = os.fsdecode(bytes(text))
        check_target(self._place, target)
        self._directory.remove(part_name)
        self._directory.make_link(target, part_name)
        if self._mtime_ns is not None:
            self._directory.set_link_mtime(part_name, self._mtime_ns)

    def _check_existing(self, existing: Status, *, replace: bool) -> None:
        path = self._place.path
        publish.check_replaceable(existing, self._directory.status(), path, self._kind)
        if not replace or (self._conflict == "newer" and existing.mtime_ns >= self._given_mtime_ns):
            raise TransferError(f"{shown(path)} exists already", code="exists")
        if self._kind == "file":
            publish.check_not_read_only(existing, path)
