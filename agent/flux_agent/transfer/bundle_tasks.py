"""Tasks of both ends of a bundle. They run in workers; ``tasks.py`` lists their arguments and values.

What is done once for a file elsewhere is done once for a directory here, or once for the bundle: opening the way to a file, looking up the
agent's own files, syncing.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from fileflux.clock import Clock
from fileflux.errors import FluxError, LocalProtocolError, RefusedPathError, RemoteProtocolError
from fileflux.protocol.compression import CODE_NAMES, NONE, compress, decompress
from fileflux.protocol.frames import FrameHeader, check_geometry, parse_frame_header
from fileflux.protocol.limits import BUNDLE_BYTES, HEADER_SIZE
from fileflux.protocol.names import check_relative
from fileflux.protocol.ranges import RangeSet
from fileflux.workers.slots import ArenaView
from flux_agent.files import publish
from flux_agent.files.faults import naming, shown, transfer_error
from flux_agent.files.guard import is_part_name, part_name
from flux_agent.files.handles import Directory, Status
from flux_agent.files.roots import Roots
from flux_agent.files.system import default_mode

_MANY: Final = 16
"""As many names as one reading of a directory costs."""


@dataclass(frozen=True, slots=True)
class _Folder:
    """A directory that files of the bundle are in."""

    handle: Directory
    own: frozenset[str]
    auto_run: frozenset[str]


class _Folders:
    """The directories of one task's files, each resolved and opened once."""

    def __init__(self, roots: Roots, stack: ExitStack, path: str, *, write: bool, create: bool = False) -> None:
        self._roots = roots
        self._stack = stack
        self._path = path
        self._write = write
        self._create = create
        self._known: dict[str, _Folder] = {}

    def of(self, name: str) -> tuple[Directory, str]:
        """In which directory the file ``name`` below the path stands, and what it is called there. Raises TransferError and RefusedPathError."""
        parent, _, leaf = name.rpartition("/")
        folder = self._known.get(parent)
        if folder is None:
            place = self._roots.resolve(self._path, parent, write=self._write)
            handle = self._stack.enter_context(self._roots.open_directory(place, create=self._create))
            folder = self._known[parent] = _Folder(handle, *self._roots.refused_in(place, write=self._write))
        check_relative(leaf)
        if leaf in folder.own or leaf.casefold() in folder.auto_run:
            raise RefusedPathError(f"{shown(name)} is not for agents")
        return folder.handle, leaf

    def all(self) -> list[Directory]:
        return [folder.handle for folder in self._known.values()]


class _Taken:
    """The names that stand in a directory: read at once where many are asked for, one by one in a directory of many others."""

    def __init__(self, asked: Counter[str]) -> None:
        self._asked = asked
        self._names: dict[str, set[str] | None] = {}

    def status_of(self, directory: Directory, parent: str, leaf: str) -> Status | None:
        """As ``Directory.status_of``. A name that comes up meanwhile, or that is the same to the file system only, is seen by the rename."""
        if parent not in self._names:
            limit = 2 * self._asked[parent]
            names = set(islice(directory.names(), limit)) if limit >= _MANY else None
            self._names[parent] = names if names is not None and len(names) < limit else None
        names = self._names[parent]
        return None if names is not None and leaf not in names else directory.status_of(leaf)


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
                directory, leaf = folders.of(name)
                whole = directory.read_listed(leaf, raw[begin:end], mtime_ns, own)
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
            taken = _Taken(Counter(name.rpartition("/")[0] for name in args["names"]))
            states: list[str] = []
            for name, size, mtime_ns in zip(args["names"], args["sizes"], args["mtimes"], strict=True):
                try:
                    directory, leaf = _final(folders, name)
                    existing = taken.status_of(directory, name.rpartition("/")[0], leaf)
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
    ) -> tuple[list[list[int]], list[str]]:
        """Make every part as it is to be published, then have all of them on the disk."""
        identities: list[list[int]] = []
        digests: list[str] = []
        together: list[Directory] = []
        modes, mtimes = args["modes"], args["mtimes"]
        end = 0
        for index, (name, size) in enumerate(zip(args["names"], args["sizes"], strict=True)):
            begin, end = end, end + size
            directory = _final(folders, name)[0]
            sync = not directory.syncs_together
            mode = modes[index] & publish.PERMISSIONS if args["preserve_mode"] else self._default_mode
            mtime_ns = mtimes[index] if args["preserve_mtime"] else None
            part = part_name(args["parts"][index])
            with data[begin:end] as content:
                try:
                    made = _make_part(directory, part, content, mode=mode, mtime_ns=mtime_ns, sync=sync)
                except OSError as error:
                    raise transfer_error(error, name) from None
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
                    directory, leaf = _final(folders, name)
                    if alone.contains(index) or not self._publish(directory, leaf, part, index, own, args):
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
                    publish.remove_part(_final(folders, name)[0], part_name(part))
                except (FluxError, OSError):
                    # A later attempt takes it over; the hub has it swept if there is none.
                    continue
        return {}

    def _publish(
        self,
        directory: Directory,
        leaf: str,
        part: str,
        index: int,
        own: set[tuple[int, int]],
        args: dict[str, Any],
    ) -> bool:
        # The rename goes by the name, so that has to be what was written to.
        if directory.version_of(part) != args["identities"][index]:
            return False
        try:
            directory.rename_new(part, leaf)
        except FileExistsError:
            existing = directory.status_of(leaf)
            if existing is None or self._verdict(existing, -1, args["mtimes"][index], own, args) != "new":
                return False
            directory.rename_over(part, leaf)
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


def _final(folders: _Folders, name: str) -> tuple[Directory, str]:
    """Where a file is to stand. Raises RefusedPathError for the name of a part."""
    directory, leaf = folders.of(name)
    if is_part_name(leaf):
        raise RefusedPathError(f"{shown(name)} has the name of a part file")
    return directory, leaf


def _make_part(
    directory: Directory, part: str, content: memoryview, *, mode: int, mtime_ns: int | None, sync: bool
) -> list[int]:
    try:
        return directory.make_file(part, content, mode=mode, mtime_ns=mtime_ns, sync=sync)
    except FileExistsError:
        # Of an earlier attempt; nothing of it is believed.
        publish.remove_part(directory, part)
        return directory.make_file(part, content, mode=mode, mtime_ns=mtime_ns, sync=sync)


def _one_of_each_file_system(directories: list[Directory]) -> list[Directory]:
    return list({directory.status().device: directory for directory in directories}.values())
