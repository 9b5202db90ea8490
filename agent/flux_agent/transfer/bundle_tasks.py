"""Tasks of both ends of a bundle. They run in workers; ``tasks.py`` lists their arguments and values.

What is done once for a file elsewhere is done once for a directory here, or once for the bundle: opening the way to a file, looking up the
agent's own files, syncing.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from fileflux.clock import Clock
from fileflux.errors import FluxError, LocalProtocolError, RefusedPathError, RemoteProtocolError
from fileflux.protocol.compression import CODE_NAMES, NONE, compress, decompress
from fileflux.protocol.frames import FrameHeader, check_geometry, parse_frame_header
from fileflux.protocol.limits import BUNDLE_BYTES, HEADER_SIZE
from fileflux.protocol.ranges import RangeSet
from fileflux.workers.slots import ArenaView
from flux_agent.files import publish
from flux_agent.files.faults import naming, shown, transfer_error
from flux_agent.files.guard import is_part_name, part_name
from flux_agent.files.handles import Directory, Status
from flux_agent.files.roots import Place, Roots
from flux_agent.files.system import default_mode


@dataclass(frozen=True, slots=True)
class _Folder:
    """A directory that files of the bundle are in."""

    place: Place
    handle: Directory
    own: frozenset[str]


class _Folders:
    """The directories of one task's files, each resolved and opened once."""

    def __init__(self, roots: Roots, stack: ExitStack, path: str, *, write: bool, create: bool = False) -> None:
        self._roots = roots
        self._stack = stack
        self._path = path
        self._write = write
        self._create = create
        self._known: dict[str, _Folder] = {}

    def of(self, name: str) -> tuple[Place, Directory]:
        """Where the file ``name`` below the path stands, and in which directory. Raises TransferError and RefusedPathError."""
        parent, _, leaf = name.rpartition("/")
        folder = self._known.get(parent)
        if folder is None:
            place = self._roots.resolve(self._path, parent, write=self._write)
            handle = self._stack.enter_context(self._roots.open_directory(place, create=self._create))
            own = self._roots.own_names(place, write=self._write)
            folder = self._known[parent] = _Folder(place, handle, own)
        return self._roots.resolve_in(folder.place, leaf, folder.own, write=self._write), folder.handle

    def all(self) -> list[Directory]:
        return [folder.handle for folder in self._known.values()]


class BundleTasks:
    """Keeps nothing between two tasks."""

    def __init__(self, roots: Roots, arena: ArenaView | None, clock: Clock) -> None:
        self._roots = roots
        self._arena = arena
        self._clock = clock
        self._default_mode = default_mode()

    # The source

    def read(self, args: dict[str, Any]) -> dict[str, Any]:
        sizes: list[int] = args["sizes"]
        length = sum(sizes)
        offset, room = args["slot"]
        if self._arena is None or room < HEADER_SIZE + length:
            raise LocalProtocolError(f"a slot of {room} bytes is too small for a bundle of {length}")
        now = self._clock.monotonic
        with (
            ExitStack() as stack,
            self._arena.view(offset, room) as slot,
            slot[HEADER_SIZE : HEADER_SIZE + length] as raw,
        ):
            began = now()
            alone = self._read_all(_Folders(self._roots, stack, args["path"], write=False), args, raw)
            read = now()
            sha = hashlib.sha256(raw).digest()
            hashed = now()
            code, payload = compress(raw, args["compression"], args.get("effort", 2))
            header = FrameHeader(args["wire"], 0, 1, sha, length, len(payload), code)
            if code != NONE:
                raw[: len(payload)] = payload
            slot[:HEADER_SIZE] = header.pack()
            compressed = now()
        times = {"read": read - began, "hash": hashed - read, "compress": compressed - hashed}
        return {
            "sha": sha.hex(),
            "size": length,
            "same": False,
            "frame": header.frame_size,
            "compression": CODE_NAMES[code],
            "times": {name: int(seconds * 1e6) for name, seconds in times.items()},
            "alone": alone,
        }

    def _read_all(self, folders: _Folders, args: dict[str, Any], raw: memoryview) -> list[int]:
        """Put every file at its place; the indexes of those that are not what was listed, with zeros there."""
        own = self._roots.own_identities(write=False)
        alone: list[int] = []
        end = 0
        for index, (name, size, mtime_ns) in enumerate(zip(args["names"], args["sizes"], args["mtimes"], strict=True)):
            begin, end = end, end + size
            try:
                place, directory = folders.of(name)
                whole = directory.read_listed(place.name, raw[begin:end], mtime_ns, own)
            except (FluxError, OSError):
                # Why is found out, and said, by the transfer that it gets of its own.
                whole = False
            if not whole:
                raw[begin:end] = bytes(size)
                alone.append(index)
        return alone

    # The destination

    def open(self, args: dict[str, Any]) -> dict[str, Any]:
        base = self._roots.resolve(args["path"], write=True)
        with ExitStack() as stack:
            folders = _Folders(self._roots, stack, args["path"], write=True, create=True)
            own = self._roots.own_identities(write=True)
            states: list[str] = []
            for name, size, mtime_ns in zip(args["names"], args["sizes"], args["mtimes"], strict=True):
                try:
                    place, directory = _final(folders, name)
                    existing = directory.status_of(place.name)
                    states.append("new" if existing is None else self._verdict(existing, size, mtime_ns, own, args))
                except (FluxError, OSError):
                    states.append("alone")
            for first in folders.all()[:1]:
                with naming(base.path):
                    publish.check_space(first, sum(args["sizes"]), 0, base.path)
        return {"path": base.path.rstrip(os.sep) + os.sep, "states": states}

    def write(self, args: dict[str, Any]) -> dict[str, Any]:
        if self._arena is None:
            raise LocalProtocolError("bundle_write needs shared memory")
        with self._arena.view(*args["slot"]) as frame, frame[HEADER_SIZE:] as payload:
            try:
                header = parse_frame_header(frame)
                if header.transfer_id != args["wire"] or header.frame_size != len(frame):
                    return {"nack": "bad_geometry"}
                check_geometry(header, sum(args["sizes"]), BUNDLE_BYTES)
                data = decompress(header.compression, payload, header.size)
            except RemoteProtocolError as error:
                return {"nack": error.code}
            if hashlib.sha256(data).digest() != header.sha256:
                return {"nack": "bad_hash"}
            with memoryview(data) as view, ExitStack() as stack:
                folders = _Folders(self._roots, stack, args["path"], write=True, create=True)
                identities, digests = self._write_all(folders, args, view)
        return {"sha": header.sha256.hex(), "digests": digests, "identities": identities}

    def _write_all(
        self, folders: _Folders, args: dict[str, Any], data: memoryview
    ) -> tuple[list[tuple[int, int, int, int]], list[str]]:
        """Make every part as it is to be published, then have all of them on the disk."""
        identities: list[tuple[int, int, int, int]] = []
        digests: list[str] = []
        together: list[Directory] = []
        end = 0
        for index, (name, size) in enumerate(zip(args["names"], args["sizes"], strict=True)):
            begin, end = end, end + size
            place, directory = _final(folders, name)
            sync = not directory.syncs_together
            mode = args["modes"][index] & publish.PERMISSIONS if args["preserve_mode"] else self._default_mode
            mtime_ns = args["mtimes"][index] if args["preserve_mtime"] else None
            part = part_name(args["parts"][index])
            with data[begin:end] as content:
                try:
                    made = _make_part(directory, part, content, mode=mode, mtime_ns=mtime_ns, sync=sync)
                except OSError as error:
                    raise transfer_error(error, place.path) from None
                digests.append(hashlib.sha256(content).hexdigest())
            identities.append(made)
            if not sync and directory not in together[-1:]:
                together.append(directory)
        for directory in _one_of_each_file_system(together):
            with naming(args["path"]):
                directory.sync_file_system()
        return identities, digests

    def commit(self, args: dict[str, Any]) -> dict[str, Any]:
        """Rename what may be renamed. A part that is not there any more may have been renamed before: such a file is alone, too."""
        own = self._roots.own_identities(write=True)
        alone = RangeSet.from_ranges([tuple(pair) for pair in args["alone"]])
        left: list[int] = []
        with ExitStack() as stack:
            folders = _Folders(self._roots, stack, args["path"], write=True)
            for index, name in enumerate(args["names"]):
                part = part_name(args["parts"][index])
                try:
                    place, directory = _final(folders, name)
                    if alone.contains(index) or not self._publish(directory, place, part, index, own, args):
                        publish.remove_part(directory, part)
                        left.append(index)
                except (FluxError, OSError):
                    left.append(index)
            for changed in folders.all():
                with naming(args["path"]):
                    changed.sync()
        return {"alone": left}

    def discard(self, args: dict[str, Any]) -> dict[str, Any]:
        with ExitStack() as stack:
            folders = _Folders(self._roots, stack, args["path"], write=True)
            for name, part in zip(args["names"], args["parts"], strict=True):
                try:
                    publish.remove_part(_final(folders, name)[1], part_name(part))
                except (FluxError, OSError):
                    # A later attempt takes it over; the hub has it swept if there is none.
                    continue
        return {}

    def _publish(
        self,
        directory: Directory,
        place: Place,
        part: str,
        index: int,
        own: set[tuple[int, int]],
        args: dict[str, Any],
    ) -> bool:
        named = directory.status_of(part)
        # The rename goes by the name, so that has to be what was written to.
        if named is None or list(named.version_key) != args["identities"][index] or named.links != 1:
            return False
        try:
            directory.rename_new(part, place.name)
        except FileExistsError:
            existing = directory.status_of(place.name)
            if existing is None or self._verdict(existing, -1, args["mtimes"][index], own, args) != "new":
                return False
            directory.rename_over(part, place.name)
        return True

    @staticmethod
    def _verdict(existing: Status, size: int, mtime_ns: int, own: set[tuple[int, int]], args: dict[str, Any]) -> str:
        """What stands at the final name and the job's policy; whatever is not plain is alone."""
        conflict: str = args["conflict"]
        if existing.kind != "file" or existing.identity in own:
            return "alone"
        if args["repeated"] and existing.size == size:
            return "alone"
        if (existing.size, existing.mtime_ns) == (size, mtime_ns):
            return "equal"
        if conflict == "skip" or (conflict == "newer" and existing.mtime_ns >= mtime_ns):
            return "skipped"
        if conflict not in ("overwrite", "newer") or existing.mode & 0o222 == 0:
            return "alone"
        return "new"


def _final(folders: _Folders, name: str) -> tuple[Place, Directory]:
    """Where a file is to stand. Raises RefusedPathError for the name of a part."""
    place, directory = folders.of(name)
    if is_part_name(place.name):
        raise RefusedPathError(f"{shown(place.path)} has the name of a part file")
    return place, directory


def _make_part(
    directory: Directory, part: str, content: memoryview, *, mode: int, mtime_ns: int | None, sync: bool
) -> tuple[int, int, int, int]:
    try:
        return directory.make_file(part, content, mode=mode, mtime_ns=mtime_ns, sync=sync)
    except FileExistsError:
        # Of an earlier attempt; nothing of it is believed.
        publish.remove_part(directory, part)
        return directory.make_file(part, content, mode=mode, mtime_ns=mtime_ns, sync=sync)


def _one_of_each_file_system(directories: list[Directory]) -> list[Directory]:
    return list({directory.status().device: directory for directory in directories}.values())
