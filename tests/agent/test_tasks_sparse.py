"""Holes of a file: not read, hardly sent, and holes again where they arrive."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fileflux.protocol.compression import decompress, zeros
from fileflux.protocol.frames import parse_frame_header
from fileflux.protocol.limits import HEADER_SIZE
from flux_agent.files import posix

from .files.tasks_bench import CHUNK, Bench, fails, frame_of, sha, text

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="holes are known on Linux only")

TOTAL = 5


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.fixture
def sparse(bench: Bench) -> bytes:
    """Chunks 0, 2 and the last are holes; the last is not whole."""
    content = bytearray((TOTAL - 1) * CHUNK + 1000)
    with (bench.source / "f").open("wb") as file:
        for index in (1, 3):
            file.seek(index * CHUNK)
            data = text(CHUNK, index)
            file.write(data)
            content[index * CHUNK : (index + 1) * CHUNK] = data
        file.truncate(len(content))
    if (bench.source / "f").stat().st_blocks * 512 > 3 * CHUNK:
        pytest.skip("this file system has no holes")
    return bytes(content)


def move(bench: Bench, content: bytes, name: str = "f") -> list[int]:
    """Read all and write all; the sizes of the frames."""
    handle = bench.open_source(name)["handle"]
    sink = bench.open_sink(name, len(content))["handle"]
    sizes = []
    for index in reversed(range(TOTAL)):
        value, frame = bench.read(handle, index, compression="none", worker=index % 2)
        header = parse_frame_header(frame)
        assert header.payload_size <= header.size
        assert sha(bytes(decompress(header.compression, frame[HEADER_SIZE:], header.size))) == value["sha"]
        assert bench.write_frame(sink, frame, worker=index % 3)["sha"] == value["sha"]
        sizes.append(len(frame))
    hashed = bench("sink_hash", wire=1, handle=sink, upto=TOTAL)
    assert hashed == {"position": TOTAL, "sha256": sha(content)}
    bench("sink_sync", wire=1, handle=sink)
    bench.commit(sink, content)
    return sizes[::-1]


def test_holes_stay_holes(bench: Bench, sparse: bytes) -> None:
    sizes = move(bench, sparse)
    assert max(sizes[0], sizes[2]) < 512
    assert min(sizes[1], sizes[3]) > CHUNK // 2
    final = bench.target / "f"
    assert final.read_bytes() == sparse
    assert final.stat().st_blocks * 512 <= 2 * CHUNK + 16 * 1024


def test_nothing_but_a_hole(bench: Bench) -> None:
    content = bytes((TOTAL - 1) * CHUNK + 1)
    with (bench.source / "f").open("wb") as file:
        file.truncate(len(content))
    move(bench, content)
    assert (bench.target / "f").read_bytes() == content
    assert (bench.target / "f").stat().st_blocks * 512 <= 16 * 1024


def test_where_there_are_no_holes_zeros_are_written(
    bench: Bench, sparse: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posix, "punch_hole", lambda *_: False)
    move(bench, sparse)
    assert (bench.target / "f").read_bytes() == sparse


def test_a_hole_replaces_what_an_earlier_attempt_wrote(bench: Bench, sparse: bytes) -> None:
    old = text(len(sparse), 9)
    handle = bench.open_sink("f", len(old))["handle"]
    bench.write_all(handle, old)
    bench("sink_close", wire=1, handle=None, discard=False)
    move(bench, sparse)
    assert (bench.target / "f").read_bytes() == sparse


def test_a_hole_that_the_destination_has_is_not_sent(bench: Bench, sparse: bytes) -> None:
    handle = bench.open_source("f")["handle"]
    value, frame = bench.read(handle, 0, have=zeros(CHUNK).sha256.hex())
    assert (value["same"], value["frame"], frame) == (True, 0, b"")
    compared = bench("source_compare", wire=1, handle=handle, first=0, count=-(-len(sparse) // CHUNK))
    chunks = (sparse[start : start + CHUNK] for start in range(0, len(sparse), CHUNK))
    assert compared["hashes"] == "".join(sha(chunk) for chunk in chunks)


def test_a_hole_that_is_filled_is_a_change(bench: Bench, sparse: bytes) -> None:
    handle = bench.open_source("f")["handle"]
    with (bench.source / "f").open("r+b") as file:
        file.write(b"x")
    with fails("source_changed"):
        bench.read(handle, 0)


def test_a_frame_of_zeros_with_another_hash_is_refused(bench: Bench) -> None:
    handle = bench.open_sink("f", 2 * CHUNK)["handle"]
    frame = bytearray(frame_of(bytes(2 * CHUNK), 0))
    at = frame.index(zeros(CHUNK).sha256)
    frame[at] ^= 1
    assert bench.write_frame(handle, bytes(frame))["nack"] == "bad_hash"


def test_room_is_needed_for_what_is_no_hole(bench: Bench) -> None:
    size = shutil.disk_usage(bench.target).total + CHUNK
    size -= size % CHUNK
    with fails("no_space"):
        bench.open_sink("f", size, chunk_size=64 * 2**20)
    assert bench.open_sink("f", size, chunk_size=64 * 2**20, allocated=CHUNK)["state"] == "new"
    with (bench.source / "g").open("wb") as file:
        file.truncate(CHUNK * 4)
    assert bench.open_source("g", wire=2)["allocated"] == 0
    (bench.source / "h").write_bytes(os.urandom(CHUNK))
    assert bench.open_source("h", wire=3)["allocated"] is None
