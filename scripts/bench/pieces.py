"""The steps between two sockets, each beside a copy of the same bytes in the same run: frames, WebSocket frames, control messages, workers.

    python scripts/bench/pieces.py

MB/s of CPU in one thread; the workers: wall time of two, beside the same hashes in this process.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

from websockets.frames import Frame, Opcode

from fileflux.protocol import messages as m
from fileflux.protocol.codec import decode, encode
from fileflux.protocol.frames import ChunkAssembly, FrameHeader, Piece, encode_piece, iter_binary
from fileflux.protocol.limits import DEFAULT_LIMITS, HEADER_SIZE
from fileflux.protocol.websocket_frames import LargeFrame, binary_frame
from fileflux.workers.pool import WorkerPool
from fileflux.workers.slots import Arena

MIB = 2**20
CHUNK = 8 * MIB
ROUNDS = 200
ENTRIES = 500


def rate(work: Callable[[], object], size: int, rounds: int = ROUNDS) -> float:
    """MB/s of CPU."""
    work()
    began = time.process_time()
    for _ in range(rounds):
        work()
    return size * rounds / (time.process_time() - began) / 1e6


def frames(copy: float) -> None:
    data = memoryview(os.urandom(MIB))
    header = FrameHeader(1, 0, 1, bytes(32), CHUNK, CHUNK, 0)
    first = encode_piece(1, 0, 0, header.pack() + bytes(data[HEADER_SIZE:]))
    room = bytearray(CHUNK + HEADER_SIZE)

    def take() -> None:
        for piece in iter_binary(first, DEFAULT_LIMITS):
            if isinstance(piece, Piece):
                ChunkAssembly(room).add(piece)

    for name, work in (
        ("a piece is made", lambda: encode_piece(1, 0, 0, data)),
        ("a piece is read and put in its place", take),
    ):
        speed = rate(work, MIB)
        print(f"  {name:<42} {speed:8,.0f} MB/s, {speed / copy:.2f} of a copy")


def websocket(copy: float) -> None:
    data = os.urandom(MIB)
    masked = b"".join(bytes(part) for part in binary_frame(data, masked=True))
    body = memoryview(masked)

    def read() -> None:
        begun = LargeFrame.begin(body, masked=True, most=2 * MIB)
        if begun is not None:
            frame, head = begun
            frame.room[:] = body[head:]
            frame.filled(MIB)
            frame.data()

    works: tuple[tuple[str, Callable[[], object]], ...] = (
        ("a WebSocket frame, masked, is made", lambda: binary_frame(data, masked=True)),
        ("  by the library", lambda: Frame(Opcode.BINARY, data).serialize(mask=True)),
        ("a masked one is read", read),
    )
    for name, work in works:
        speed = rate(work, MIB)
        print(f"  {name:<42} {speed:8,.0f} MB/s, {speed / copy:.2f} of a copy")


def session() -> None:
    entries = tuple(
        m.Entry(f"some/folder/file-{n:05}.dat", "file", 4096, 1_700_000_000_000_000_000 + n, 0o644)
        for n in range(ENTRIES)
    )
    page = m.ListResult(1, 0, True, "/base", "directory", entries, ())
    text = encode(page, 1, 0)
    data = json.loads(text)
    ours = (
        rate(lambda: encode(page, 1, 0), len(text)),
        rate(lambda: decode(text, (m.ListResult,), DEFAULT_LIMITS), len(text)),
    )
    plain = rate(lambda: json.dumps(data), len(text)), rate(lambda: json.loads(text), len(text))
    for name, own, limit in zip(("written", "read and checked"), ours, plain, strict=True):
        seconds = len(text) / own / 1e6 / ENTRIES
        print(
            f"  a page of {ENTRIES} names, {name:<21} {own:8,.0f} MB/s, {own / limit:.2f} of json alone; {seconds * 1e6:.1f} us a name"
        )


def workers(folder: Path) -> None:
    source = folder / "source"
    source.mkdir()
    file = source / "data"
    file.write_bytes(os.urandom(32 * CHUNK))
    arena = Arena(4 * (CHUNK + 8192))
    init = {"read": [str(source)], "write": [], "protected": [], "program": []}
    pool = WorkerPool(2, "flux_agent.transfer.tasks:agent_tasks", init, arena)
    pool.start()
    try:
        handle = pool.run(
            "open",
            "source_open",
            {"wire": 1, "path": str(source), "name": "data", "chunk_size": CHUNK, "prefix": False},
        )["handle"]
        slots = [arena.alloc(HEADER_SIZE + CHUNK) for _ in range(2)]
        keys = [next(key for key in map(str, range(100)) if pool.shard(key) == number) for number in range(2)]

        def both(first: int) -> None:
            over = [Event(), Event()]
            for number, slot in enumerate(slots):
                assert slot is not None
                args = {
                    "wire": 1,
                    "handle": handle,
                    "index": first + number,
                    "have": None,
                    "compression": "none",
                    "effort": 0,
                    "slot": [slot.offset, slot.size],
                }
                pool.submit(keys[number], "source_chunk", args, lambda _result, one=over[number]: one.set())
            for one in over:
                one.wait()

        both(0)
        began = time.monotonic()
        for first in range(0, 32, 2):
            both(first)
        ours = 32 * CHUNK / (time.monotonic() - began) / 1e6
    finally:
        pool.stop()
        arena.close()
    data = file.read_bytes()
    began = time.monotonic()
    for at in range(0, len(data), CHUNK):
        hashlib.sha256(memoryview(data)[at : at + CHUNK])
    alone = len(data) / (time.monotonic() - began) / 1e6
    print(
        f"  two workers read and hash chunks            {ours:8,.0f} MB/s, {ours / alone:.2f} of one core that only hashes (limit 2)"
    )


def main() -> int:
    source, target = os.urandom(MIB), bytearray(MIB)

    def copy_once() -> None:
        target[:] = source

    copy = rate(copy_once, MIB)
    print(f"a copy of 1 MiB: {copy:,.0f} MB/s")
    frames(copy)
    websocket(copy)
    session()
    folder = Path(tempfile.mkdtemp())
    try:
        workers(folder)
    finally:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
