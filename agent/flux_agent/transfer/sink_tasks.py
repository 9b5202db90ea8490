"""Tasks of the receiving end. They run in workers; ``tasks.py`` lists their arguments and values."""

from __future__ import annotations

import hashlib
from typing import Any

from xxhash import xxh3_128

from fileflux.errors import LocalProtocolError, RemoteProtocolError, TransferError
from fileflux.protocol.compression import decompress, stands_for_zeros, zeros
from fileflux.protocol.frames import check_geometry, chunk_length, parse_frame_header
from fileflux.protocol.limits import HEADER_SIZE
from fileflux.workers.slots import ArenaView
from flux_agent.files import publish
from flux_agent.files.faults import naming, shown, transfer_error
from flux_agent.files.handles import Directory, File
from flux_agent.files.roots import Place, Roots
from flux_agent.files.system import default_mode
from flux_agent.transfer.open_files import FileHashes, Key, OpenFiles
from flux_agent.transfer.sink_commit import Commit
from flux_agent.transfer.sink_open import OpenSink, SinkHandle, old_identity, open_sink


class SinkTasks:
    """State is only what ``open_files`` remembers."""

    def __init__(self, roots: Roots, arena: ArenaView | None) -> None:
        self._roots = roots
        self._arena = arena
        self._default_mode = default_mode()
        self._files: OpenFiles[OpenSink] = OpenFiles()
        self._hashes = FileHashes()

    def open(self, args: dict[str, Any]) -> dict[str, Any]:
        value, opened = open_sink(self._roots, self._default_mode, args)
        if opened is not None:
            self._files.put((args["wire"], value["handle"]["token"]), opened)
        return value

    def have(self, args: dict[str, Any]) -> dict[str, Any]:
        handle, place = self._handle(args)
        sink = self._sink(args["wire"], handle, place)
        first: int = args["first"]
        hashes, quick = bytearray(), bytearray()
        with naming(place.path):
            file = self._old(sink, handle, place) if handle.basis == "final" else sink.part
            for index in range(first, first + args["count"]):
                length = chunk_length(index, handle.size, handle.chunk_size)
                pair = self._hashes.fingerprints(file, index * handle.chunk_size, length, "stale_have")
                hashes += pair[0]
                quick += pair[1]
        return {"hashes": hashes.hex(), "quick": quick.hex()}

    def write(self, args: dict[str, Any]) -> dict[str, Any]:
        handle, place = self._handle(args)
        if self._arena is None:
            raise LocalProtocolError("sink_write needs shared memory")
        index = -1
        with self._arena.view(*args["slot"]) as frame, frame[HEADER_SIZE:] as payload:
            try:
                header = parse_frame_header(frame)
                index = header.index
                if header.transfer_id != args["wire"] or header.frame_size != len(frame):
                    return {"nack": "bad_geometry", "index": index}
                check_geometry(header, handle.size, handle.chunk_size)
                hole = stands_for_zeros(header.compression, payload, header.size)
                data = b"" if hole else decompress(header.compression, payload, header.size)
            except RemoteProtocolError as error:
                return {"nack": error.code, "index": index}
            sha = zeros(header.size).sha256 if hole else hashlib.sha256(data).digest()
            if sha != header.sha256:
                return {"nack": "bad_hash", "index": index}
            offset = index * handle.chunk_size
            with naming(place.path):
                part = self._sink(args["wire"], handle, place).part
                if not (hole and part.make_hole(offset, header.size)):
                    part.write(bytes(header.size) if hole else data, offset)
        return {"index": index, "size": header.size, "sha": header.sha256.hex()}

    def copy(self, args: dict[str, Any]) -> dict[str, Any]:
        handle, place = self._handle(args)
        if handle.basis != "final":
            return {}
        index: int = args["index"]
        sink = self._sink(args["wire"], handle, place)
        length = chunk_length(index, handle.size, handle.chunk_size)
        copied = xxh3_128()
        with naming(place.path):
            old, start = self._old(sink, handle, place), index * handle.chunk_size
            if sink.part.copy_range(old, start, length):
                # What counts is what the part holds now, whatever became of the old file meanwhile.
                self._hashes.feed(copied, sink.part, start, length, "stale_have")
            else:
                self._hashes.feed(copied, old, start, length, "stale_have", sink.part.write)
        if copied.hexdigest() != args["quick"]:
            raise TransferError(f"{shown(place.path)}: chunk {index} is not what it was", code="stale_have")
        return {}

    def sync(self, args: dict[str, Any]) -> dict[str, Any]:
        handle, place = self._handle(args)
        sink = self._sink(args["wire"], handle, place)
        try:
            sink.part.sync(content_only=True)
        except OSError as error:
            self._void(args["wire"], handle, sink.directory)
            raise transfer_error(error, place.path) from None
        return {}

    def hash(self, args: dict[str, Any]) -> dict[str, Any]:
        handle, place = self._handle(args)
        sink = self._sink(args["wire"], handle, place)
        with naming(place.path):
            position, sha256 = self._hashes.advance(
                self._key(args["wire"], handle), sink.part, handle.size, handle.chunk_size, args["upto"], "stale_have"
            )
        return {"position": position, "sha256": sha256}

    def commit(self, args: dict[str, Any]) -> dict[str, Any]:
        handle, place = self._handle(args)
        with naming(place.path), self._open_directory(handle, place) as directory:
            commit = Commit(self._roots, directory, place, self._hashes, self._default_mode, handle.kind, args)
            if args["attempt"] > 1 and commit.is_delivered():
                publish.remove_part(directory, handle.part)
                directory.sync()
                commit.prune()
                return commit.value(delivered=True)
            sink = self._sink(args["wire"], handle, place)
            replace = commit.prepare(sink.part, handle.part)
            try:
                sink.part.sync()
            except OSError:
                self._void(args["wire"], handle, directory)
                raise
            commit.publish(sink.part, handle.part, replace=replace)
            return commit.value(delivered=False)

    def close(self, args: dict[str, Any]) -> dict[str, Any]:
        self._files.close(args["wire"])
        self._hashes.forget(args["wire"])
        if args["discard"] and args["handle"] is not None:
            handle, place = self._handle(args)
            directory = self._roots.find_directory(place.parent)
            if directory is not None:
                with directory, naming(place.path):
                    publish.remove_part(directory, handle.part)
        return {}

    def _handle(self, args: dict[str, Any]) -> tuple[SinkHandle, Place]:
        handle = SinkHandle(**args["handle"])
        return handle, self._roots.place(handle.root, handle.components)

    @staticmethod
    def _key(wire: int, handle: SinkHandle) -> Key:
        return wire, handle.token

    def _sink(self, wire: int, handle: SinkHandle, place: Place) -> OpenSink:
        return self._files.get(self._key(wire, handle), lambda: self._reopen(handle, place))

    def _open_directory(self, handle: SinkHandle, place: Place) -> Directory:
        directory = self._roots.open_directory(place.parent)
        if list(directory.status().identity) != handle.directory:
            directory.close()
            raise TransferError(f"the directory of {shown(place.path)} was replaced during the transfer", code="io")
        return directory

    def _reopen(self, handle: SinkHandle, place: Place) -> OpenSink:
        directory = self._open_directory(handle, place)
        part: File | None = None
        try:
            with naming(place.path):
                part = _open_known_part(directory, handle)
            if part is None:
                raise TransferError(f"the part of {shown(place.path)} was removed during the transfer", code="io")
            return OpenSink(directory, part)
        except BaseException:
            directory.close()
            raise

    def _old(self, sink: OpenSink, handle: SinkHandle, place: Place) -> File:
        """The file at the final name, if it is still the one that was compared."""
        if sink.old is None:
            try:
                sink.old, _ = self._roots.open_file(sink.directory, place)
            except TransferError as error:
                raise TransferError(error.message, code="stale_have") from None
        if old_identity(sink.old.status()) != handle.old:
            raise TransferError(f"{shown(place.path)} changed during the transfer", code="stale_have")
        return sink.old

    def _void(self, wire: int, handle: SinkHandle, directory: Directory) -> None:
        """The disk may have less than its cache shows, and a second sync would not tell: the part must not be believed again."""
        try:
            publish.remove_part(directory, handle.part)
        except OSError:
            # Then the close that follows the error removes it, or finds out that it cannot.
            pass
        self._files.close(wire)


def _open_known_part(directory: Directory, handle: SinkHandle) -> File | None:
    """The part of the handle; None when another file, or none, has its name."""
    try:
        try:
            part = directory.open_file(handle.part, write=True)
        except PermissionError:
            # A commit that was cut short had set its final mode already; what is left to do needs no writing.
            part = directory.open_file(handle.part)
    except FileNotFoundError:
        return None
    if list(part.status().identity) == handle.part_identity:
        return part
    part.close()
    return None
