"""Tasks of the sending end. They run in workers; ``tasks.py`` lists their arguments and values."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import asdict, dataclass
from typing import Any, Final

from fileflux.clock import Clock
from fileflux.errors import LocalProtocolError, TransferError
from fileflux.protocol.compression import CODE_NAMES, NONE, ZSTD, compress, zeros
from fileflux.protocol.frames import FrameHeader, chunk_length, total_chunks
from fileflux.protocol.limits import HEADER_SIZE
from fileflux.protocol.messages import MovedKind
from fileflux.workers.slots import ArenaView
from flux_agent.files.faults import naming, shown
from flux_agent.files.handles import Status, version_text
from flux_agent.files.links import OpenLink, SourceFile, follow
from flux_agent.files.roots import Place, Roots
from flux_agent.transfer.open_files import FileHashes, Key, OpenFiles

HOLE_MIN: Final = 4096
"""A frame of fewer zeros would be longer than they are, which no frame may be; and no file system has smaller holes."""


@dataclass(frozen=True, slots=True)
class SourceHandle:
    """An opened source for the other workers: where it is and what it was when it was opened.

    ``prefix``: it may grow. ``kind: symlink``: the link itself; its content is the text of its target.
    """

    root: int
    components: list[str]
    token: str
    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    chunk_size: int
    prefix: bool
    kind: MovedKind = "file"

    def is_same(self, status: Status) -> bool:
        """Whether the file is still what it was."""
        if status.identity != (self.device, self.inode):
            return False
        if self.prefix:
            return status.size >= self.size
        return (status.size, status.mtime_ns, status.ctime_ns) == (self.size, self.mtime_ns, self.ctime_ns)

    @property
    def identity(self) -> str:
        """For the hub: the same as long as the file is."""
        return version_text(self.device, self.inode, self.size, self.mtime_ns, self.ctime_ns)


class SourceTasks:
    """State is only what ``open_files`` remembers."""

    def __init__(self, roots: Roots, arena: ArenaView | None, clock: Clock) -> None:
        self._roots = roots
        self._arena = arena
        self._clock = clock
        self._files: OpenFiles[SourceFile] = OpenFiles()
        self._hashes = FileHashes()

    def open(self, args: dict[str, Any]) -> dict[str, Any]:
        place = self._roots.resolve(args["path"], args["name"], write=False)
        if args.get("follow"):
            place = follow(self._roots, place)
        if not place.components:
            raise TransferError(f"{shown(place.path)} is a directory", code="not_regular")
        kind: MovedKind = args.get("kind", "file")
        file, status = self._open(place, kind)
        try:
            total_chunks(status.size, args["chunk_size"])
        except TransferError:
            file.close()
            raise
        handle = SourceHandle(
            place.root.index,
            list(place.components),
            secrets.token_hex(8),
            status.device,
            status.inode,
            status.size,
            status.mtime_ns,
            status.ctime_ns,
            args["chunk_size"],
            args.get("prefix", False),
            kind,
        )
        self._files.put((args["wire"], handle.token), file)
        return {
            "handle": asdict(handle),
            "size": status.size,
            "mtime_ns": status.mtime_ns,
            "mode": status.mode,
            "identity": handle.identity,
            "allocated": status.allocated if status.allocated < status.size else None,
        }

    def chunk(self, args: dict[str, Any]) -> dict[str, Any]:
        handle, place = self._handle(args)
        index: int = args["index"]
        length = chunk_length(index, handle.size, handle.chunk_size)
        offset, room = args["slot"]
        if self._arena is None or room < HEADER_SIZE + length:
            raise LocalProtocolError(f"a slot of {room} bytes is too small for a chunk of {length}")
        file = self._file(args["wire"], handle)
        now = self._clock.monotonic
        with (
            naming(place.path),
            self._arena.view(offset, room) as slot,
            slot[HEADER_SIZE : HEADER_SIZE + length] as raw,
        ):
            began = now()
            status = file.status()
            self._check(handle, place, status)
            if self._is_hole(file, status, index * handle.chunk_size, length):
                # Checked again: a hole that was filled in the meantime has another content.
                self._check(handle, place, file.status())
                return self._hole(args, handle, slot)
            whole = file.read_into(raw, index * handle.chunk_size) == length
            # Looked at before the bytes are used: what was read while the file changed may be a mixture.
            self._check(handle, place, file.status())
            if not whole:
                raise self._changed(place, "it became shorter")
            read = now()
            sha = hashlib.sha256(raw).digest()
            hashed = now()
            same = args["have"] == sha.hex()
            code, frame_size = NONE, 0
            if not same:
                code, payload = compress(raw, args["compression"], args.get("effort", 2))
                header = FrameHeader(
                    args["wire"],
                    index,
                    total_chunks(handle.size, handle.chunk_size),
                    sha,
                    length,
                    len(payload),
                    code,
                )
                if code != NONE:
                    raw[: len(payload)] = payload
                slot[:HEADER_SIZE] = header.pack()
                frame_size = header.frame_size
            compressed = now()
        return {
            "sha": sha.hex(),
            "size": length,
            "same": same,
            "frame": frame_size,
            "compression": CODE_NAMES[code],
            "times": {
                "read": _microseconds(read - began),
                "hash": _microseconds(hashed - read),
                "compress": _microseconds(compressed - hashed),
            },
        }

    def compare(self, args: dict[str, Any]) -> dict[str, Any]:
        handle, place = self._handle(args)
        file = self._file(args["wire"], handle)
        hashes = bytearray()
        began = self._clock.monotonic()
        hashing = 0.0
        with naming(place.path):
            status = file.status()
            self._check(handle, place, status)
            for index in range(args["first"], args["first"] + args["count"]):
                offset, length = index * handle.chunk_size, chunk_length(index, handle.size, handle.chunk_size)
                if self._is_hole(file, status, offset, length):
                    hashes += zeros(length).sha256
                    continue
                timed = _TimedHash(self._clock)
                self._hashes.feed(timed, file, offset, length, "source_changed")
                hashes += timed.digest()
                hashing += timed.seconds
            self._check(handle, place, file.status())
        read = self._clock.monotonic() - began - hashing
        times = {"read": _microseconds(read), "hash": _microseconds(hashing)}
        return {"hashes": hashes.hex(), "times": times}

    @staticmethod
    def _is_hole(file: SourceFile, status: Status, offset: int, length: int) -> bool:
        return status.allocated < status.size and length >= HOLE_MIN and file.is_hole(offset, length)

    @staticmethod
    def _hole(args: dict[str, Any], handle: SourceHandle, slot: memoryview) -> dict[str, Any]:
        """As ``chunk``, of zeros that need not be read."""
        index: int = args["index"]
        length = chunk_length(index, handle.size, handle.chunk_size)
        known = zeros(length)
        same = args["have"] == known.sha256.hex()
        chunks = total_chunks(handle.size, handle.chunk_size)
        header = FrameHeader(args["wire"], index, chunks, known.sha256, length, len(known.payload), ZSTD)
        if not same:
            slot[: header.frame_size] = header.pack() + known.payload
        return {
            "sha": known.sha256.hex(),
            "size": length,
            "same": same,
            "frame": 0 if same else header.frame_size,
            "compression": CODE_NAMES[NONE if same else ZSTD],
            "times": {"read": 0, "hash": 0, "compress": 0},
        }

    def hash(self, args: dict[str, Any]) -> dict[str, Any]:
        handle, place = self._handle(args)
        file = self._file(args["wire"], handle)
        with naming(place.path):
            self._check(handle, place, file.status())
            position, sha256 = self._hashes.advance(
                self._key(args["wire"], handle), file, handle.size, handle.chunk_size, args["upto"], "source_changed"
            )
            self._check(handle, place, file.status())
        return {"position": position, "sha256": sha256}

    def check(self, args: dict[str, Any]) -> dict[str, Any]:
        handle, place = self._handle(args)
        with naming(place.path):
            self._check(handle, place, self._file(args["wire"], handle).status())
        # Also by its name, which may belong to another file by now.
        self._reopen(handle, place).close()
        return {}

    def close(self, args: dict[str, Any]) -> dict[str, Any]:
        self._files.close(args["wire"])
        self._hashes.forget(args["wire"])
        return {}

    def _handle(self, args: dict[str, Any]) -> tuple[SourceHandle, Place]:
        handle = SourceHandle(**args["handle"])
        return handle, self._roots.place(handle.root, handle.components)

    @staticmethod
    def _key(wire: int, handle: SourceHandle) -> Key:
        return wire, handle.token

    def _file(self, wire: int, handle: SourceHandle) -> SourceFile:
        place = self._roots.place(handle.root, handle.components)
        return self._files.get(self._key(wire, handle), lambda: self._reopen(handle, place))

    def _open(self, place: Place, kind: MovedKind) -> tuple[SourceFile, Status]:
        with self._roots.open_directory(place.parent) as directory:
            if kind == "symlink":
                link = OpenLink(self._roots, place)
                return link, link.status()
            return self._roots.open_file(directory, place)

    def _reopen(self, handle: SourceHandle, place: Place) -> SourceFile:
        try:
            file, status = self._open(place, handle.kind)
        except TransferError as error:
            if error.code in ("not_found", "not_regular", "refused_path"):
                raise self._changed(place, "it was removed or replaced") from None
            raise
        try:
            self._check(handle, place, status)
        except BaseException:
            file.close()
            raise
        return file

    def _check(self, handle: SourceHandle, place: Place, status: Status) -> None:
        if not handle.is_same(status):
            raise self._changed(place, "it was written to" if status.inode == handle.inode else "it was replaced")

    @staticmethod
    def _changed(place: Place, how: str) -> TransferError:
        return TransferError(f"{shown(place.path)} changed while it was read: {how}", code="source_changed")


class _TimedHash:
    """A SHA-256 that knows how long it took, so that the rest is reading."""

    def __init__(self, clock: Clock) -> None:
        self.seconds = 0.0
        self._clock = clock
        self._sha = hashlib.sha256()

    def update(self, data: memoryview, /) -> None:
        began = self._clock.monotonic()
        self._sha.update(data)
        self.seconds += self._clock.monotonic() - began

    def digest(self) -> bytes:
        return self._sha.digest()


def _microseconds(seconds: float) -> int:
    return int(seconds * 1e6)
