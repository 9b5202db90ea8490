"""Real tasks on real files: two roots, shared memory and as many workers' worth of tasks as a test wants, all in this process.

Arguments and values pass through JSON, as they do between processes.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from fileflux.errors import TransferError
from fileflux.protocol.compression import compress
from fileflux.protocol.frames import FrameHeader, chunk_length, total_chunks
from fileflux.protocol.limits import HEADER_SIZE, KIB
from fileflux.workers.slots import Arena, ArenaView
from flux_agent.transfer.tasks import agent_tasks

CHUNK = 256 * KIB
PART = "0123456789abcdef" * 2


def make_special(path: Path, kind: str) -> None:
    """What a file system holds besides files: ``directory``, ``fifo``, ``socket``, ``device``."""
    match kind:
        case "directory":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "socket":
            os.mknod(path, 0o600 | stat.S_IFSOCK)
        case "device":
            if os.getuid() != 0:
                pytest.skip("only root may make device files")
            try:
                # Never opened here; if it were, writing to /dev/zero harms nobody.
                os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))
            except PermissionError:
                pytest.skip("this system does not let root make device files")


@contextmanager
def fails(*codes: str) -> Iterator[None]:
    """The block raises a TransferError with one of the codes."""
    with pytest.raises(TransferError) as caught:
        yield
    assert caught.value.code in codes, caught.value


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Bench:
    """``source`` and ``target`` are the roots; ``self(task, **args)`` runs a task in the first worker.

    ``own``, ``token`` and ``program`` are the agent's own, once a test makes them.
    """

    def __init__(self, folder: Path, workers: int = 3) -> None:
        self.source = folder / "source"
        self.target = folder / "target"
        self.own = folder / "source" / "own"
        for path in (self.source, self.target):
            path.mkdir()
        self._arena = Arena(4 * CHUNK)
        self._view = ArenaView(self._arena.fd, self._arena.size)
        self.token = self.target / "token"
        self.program = self.target / "program"
        init = {
            "read": [str(self.source)],
            "write": [str(self.target)],
            "protected": [str(self.own), str(self.token)],
            "program": [str(self.program)],
        }
        self.workers = [agent_tasks(json.loads(json.dumps(init)), self._view) for _ in range(workers)]
        self._wires: set[int] = set()

    def __call__(self, task: str, *, worker: int = 0, **args: Any) -> dict[str, Any]:
        if "wire" in args:
            self._wires.add(args["wire"])
        value = self.workers[worker][task](json.loads(json.dumps(args)))
        parsed: dict[str, Any] = json.loads(json.dumps(value))
        return parsed

    def close(self) -> None:
        for wire in self._wires:
            for worker in range(len(self.workers)):
                self("source_close", worker=worker, wire=wire)
                self("sink_close", worker=worker, wire=wire, handle=None, discard=False)
        with suppress(BufferError):
            # The traceback of an injected fault may still hold a view.
            self._view.close()
        self._arena.close()

    # Sources

    def open_source(self, name: str, wire: int = 1, chunk_size: int = CHUNK, prefix: bool = False) -> dict[str, Any]:
        return self("source_open", wire=wire, path=str(self.source), name=name, chunk_size=chunk_size, prefix=prefix)

    def read(
        self,
        handle: Any,
        index: int,
        wire: int = 1,
        have: str | None = None,
        compression: str = "auto",
        worker: int = 0,
    ) -> tuple[dict[str, Any], bytes]:
        """The value of source_chunk and the frame that it left in its slot."""
        slot = self._arena.alloc(HEADER_SIZE + CHUNK)
        assert slot is not None
        value = self(
            "source_chunk",
            worker=worker,
            wire=wire,
            handle=handle,
            index=index,
            have=have,
            compression=compression,
            slot=[slot.offset, slot.size],
        )
        frame = bytes(slot.view[: value["frame"]])
        slot.release()
        return value, frame

    # Sinks

    def open_sink(self, name: str, size: int, wire: int = 1, **changes: Any) -> dict[str, Any]:
        args: dict[str, Any] = {
            "path": str(self.target),
            "landing": "below",
            "part": PART,
            "mtime_ns": 1_000_000_000,
            "mode": 0o644,
            "chunk_size": CHUNK,
            "conflict": "overwrite",
            "preserve_mtime": True,
            "attempt": 1,
            "final_path": None,
            "have": True,
        }
        return self("sink_open", wire=wire, name=name, size=size, **(args | changes))

    def write_frame(self, handle: Any, frame: bytes, wire: int = 1, worker: int = 0) -> dict[str, Any]:
        slot = self._arena.alloc(max(1, len(frame)))
        assert slot is not None
        slot.view[: len(frame)] = frame
        try:
            return self("sink_write", worker=worker, wire=wire, handle=handle, slot=[slot.offset, slot.size])
        finally:
            slot.release()

    def write_all(self, handle: Any, content: bytes, wire: int = 1) -> None:
        """All chunks, last first, each in another worker."""
        for index in reversed(range(total_chunks(len(content), CHUNK))):
            value = self.write_frame(handle, frame_of(content, index, wire), wire, worker=index % len(self.workers))
            assert value["index"] == index

    def commit(self, handle: Any, content: bytes, wire: int = 1, worker: int = 0, **changes: Any) -> dict[str, Any]:
        args: dict[str, Any] = {
            "size": len(content),
            "file_sha256": None,
            "ours": sha(content),
            "mtime_ns": 1_000_000_000,
            "mode": 0o644,
            "preserve_mtime": True,
            "preserve_mode": True,
            "conflict": "overwrite",
            "attempt": 1,
            "reread": False,
        }
        return self("sink_commit", worker=worker, wire=wire, handle=handle, **(args | changes))

    def deliver(self, name: str, content: bytes, wire: int = 1, **changes: Any) -> dict[str, Any]:
        """A whole transfer, the commit with the same values as the open."""
        opened = self.open_sink(name, len(content), wire, **changes)
        if opened["handle"] is None:
            return opened
        self.write_all(opened["handle"], content, wire)
        self("sink_sync", wire=wire, handle=opened["handle"])
        common = {key: changes[key] for key in ("mtime_ns", "mode", "conflict", "attempt") if key in changes}
        return self.commit(opened["handle"], content, wire, **common)

    @property
    def part(self) -> Path:
        return self.target / f".{PART}.fluxpart"

    def names(self) -> list[str]:
        return sorted(os.listdir(self.target))


def frame_of(content: bytes, chunk: int, wire: int = 1, **changes: Any) -> bytes:
    """The frame of a chunk; ``changes`` to its header's fields."""
    length = chunk_length(chunk, len(content), CHUNK)
    data = content[chunk * CHUNK : chunk * CHUNK + length]
    code, payload = compress(data, "auto")
    fields: dict[str, Any] = {
        "transfer_id": wire,
        "index": chunk,
        "total": total_chunks(len(content), CHUNK),
        "sha256": hashlib.sha256(data).digest(),
        "size": length,
        "payload_size": len(payload),
        "compression": code,
    }
    return FrameHeader(**(fields | changes)).pack() + bytes(payload)


def text(size: int, seed: int = 0) -> bytes:
    """Bytes that compress a little and differ everywhere."""
    block = hashlib.sha256(str(seed).encode()).hexdigest().encode()
    return b"".join(b"%s%08d" % (block, number) for number in range(size // 72 + 1))[:size]
