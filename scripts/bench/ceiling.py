"""What two cores could move at most: the sum of what cannot be left out, each measured here and now, in CPU seconds.

    python scripts/bench/ceiling.py

A gigabyte is read once, hashed ``passes`` times, masked and unmasked, carried over two TCP connections and written once. Nothing else counts:
no frame, no message, no copy between these steps, no row and no sync.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
import time
from pathlib import Path

from websockets.frames import apply_mask

MIB = 2**20
SIZE = 256 * MIB
PIECE = MIB
CHUNK = 8 * MIB


def sha256() -> float:
    data = os.urandom(CHUNK)
    began = time.process_time()
    for _ in range(SIZE // CHUNK):
        hashlib.sha256(data)
    return time.process_time() - began


def mask() -> float:
    data, key = os.urandom(PIECE), os.urandom(4)
    began = time.process_time()
    for _ in range(SIZE // PIECE):
        apply_mask(data, key)
    return time.process_time() - began


def hop() -> float:
    """Both ends of a loopback connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        child = os.fork()
        if not child:
            with socket.create_connection(listener.getsockname()) as sock:
                room = memoryview(bytearray(PIECE))
                while sock.recv_into(room):
                    pass
            os._exit(0)
        sock, _ = listener.accept()
    data = os.urandom(PIECE)
    before = os.times()
    for _ in range(SIZE // PIECE):
        sock.sendall(data)
    sock.close()
    os.waitpid(child, 0)
    after = os.times()
    return sum(after[index] - before[index] for index in range(4))


def read_and_write(folder: Path) -> float:
    source, target = folder / "ceiling.source", folder / "ceiling.target"
    room = memoryview(bytearray(CHUNK))
    try:
        source.write_bytes(os.urandom(SIZE))
        before = os.times()
        with source.open("rb", buffering=0) as reader, target.open("wb", buffering=0) as writer:
            while count := reader.readinto(room):
                writer.write(room[:count])
        after = os.times()
    finally:
        for path in (source, target):
            path.unlink(missing_ok=True)
    return sum(after[index] - before[index] for index in range(2))


def ceiling(folder: Path, passes: int) -> float:
    """MB/s of two cores that do nothing else, for a file on the file system of ``folder``."""
    seconds = passes * sha256() + 2 * mask() + 2 * hop() + read_and_write(folder)
    return 2 * SIZE / seconds / 1e6


def main() -> int:
    folder = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path()
    for passes in (3, 4):
        print(f"{passes} passes of SHA-256, two hops, read, write, two cores: {ceiling(folder, passes):.0f} MB/s")
    for name, seconds in (
        ("SHA-256", sha256()),
        ("mask", mask()),
        ("hop", hop()),
        ("read and write", read_and_write(folder)),
    ):
        print(f"  {name}: {seconds * 1e9 / SIZE:.2f} CPU s a GB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
