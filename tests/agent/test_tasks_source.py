from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fileflux.errors import LocalProtocolError, TransferError
from fileflux.protocol.compression import decompress
from fileflux.protocol.frames import check_geometry, parse_frame_header
from fileflux.protocol.limits import HEADER_SIZE, MAX_CHUNKS
from flux_agent.transfer import open_files

from .files.tasks_bench import CHUNK, Bench, fails, sha, text


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7])
@pytest.mark.parametrize("compression", ["auto", "none", "lz4", "zstd"])
def test_every_byte_once(bench: Bench, size: int, compression: str) -> None:
    content = text(size)
    (bench.source / "f").write_bytes(content)
    opened = bench.open_source("f")
    assert opened["size"] == size
    handle = opened["handle"]
    read = b""
    total = max(1, -(-size // CHUNK))
    for index in range(total):
        value, frame = bench.read(handle, index, compression=compression, worker=index % 3)
        header = parse_frame_header(frame)
        check_geometry(header, size, CHUNK)
        assert (header.transfer_id, header.index, header.frame_size) == (1, index, len(frame))
        data = bytes(decompress(header.compression, frame[HEADER_SIZE:], header.size))
        assert sha(data) == value["sha"] == header.sha256.hex()
        assert value["compression"] == ("none", "zstd", "lz4")[header.compression]
        assert set(value["times"]) == {"read", "hash", "compress"}
        assert not value["same"]
        read += data
    assert read == content
    assert bench("source_hash", wire=1, handle=handle, upto=total) == {"position": total, "sha256": sha(content)}
    assert bench("source_check", wire=1, handle=handle) == {}


def test_a_chunk_that_the_destination_has_is_not_packed(bench: Bench) -> None:
    content = text(2 * CHUNK)
    (bench.source / "f").write_bytes(content)
    handle = bench.open_source("f")["handle"]
    value, frame = bench.read(handle, 1, have=sha(content[CHUNK:]))
    assert (value["same"], value["frame"], frame) == (True, 0, b"")
    assert not bench.read(handle, 0, have=sha(content[CHUNK:]))[0]["same"]


def test_chunks_are_compared_without_a_slot(bench: Bench) -> None:
    content = text(3 * CHUNK + 7)
    (bench.source / "f").write_bytes(content)
    handle = bench.open_source("f")["handle"]
    value = bench("source_compare", wire=1, handle=handle, first=1, count=3)
    chunks = (content[start : start + CHUNK] for start in range(CHUNK, len(content), CHUNK))
    assert value["hashes"] == "".join(sha(chunk) for chunk in chunks)
    assert set(value["times"]) == {"read", "hash"}
    (bench.source / "f").write_bytes(content[::-1])
    with fails("source_changed"):
        bench("source_compare", wire=1, handle=handle, first=0, count=1)


def test_what_the_source_says(bench: Bench) -> None:
    path = bench.source / "f"
    path.write_bytes(b"x")
    path.chmod(0o640)
    os.utime(path, ns=(5, 1_600_000_000_123_456_789))
    opened = bench.open_source("f")
    assert (opened["mtime_ns"], opened["mode"]) == (1_600_000_000_123_456_789, 0o640)
    assert opened["identity"] == bench.open_source("f", wire=2)["identity"]
    assert len(opened["identity"]) < 200
    path.write_bytes(b"y")
    assert opened["identity"] != bench.open_source("f", wire=3)["identity"]


@pytest.mark.parametrize("seconds", [-2_177_452_800, -1, 0, 2**31, 2**32, 9_300_000_000])
def test_times_far_away(bench: Bench, seconds: int) -> None:
    path = bench.source / "f"
    path.write_bytes(b"x")
    os.utime(path, ns=(0, seconds * 10**9 + 7))
    opened = bench.open_source("f")
    assert -(2**63) < opened["mtime_ns"] < 2**63
    assert bench.read(opened["handle"], 0)[0]["size"] == 1


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("missing", "not_found"),
        ("no/such/folder", "not_found"),
        ("directory", "not_regular"),
        ("fifo", "not_regular"),
        ("link", "refused_path"),
        ("dirlink/f", "refused_path"),
        ("f/below", "not_regular"),
        ("../x", "refused_path"),
        ("a\0", "refused_path"),
        ("/etc/passwd", "refused_path"),
        ("own/token", "refused_path"),
        ("n" * 256, "refused_path"),
    ],
)
def test_what_is_no_source(bench: Bench, name: str, code: str) -> None:
    (bench.source / "f").write_bytes(b"x")
    (bench.source / "directory").mkdir()
    (bench.source / "link").symlink_to("f")
    (bench.source / "dirlink").symlink_to(".")
    bench.own.mkdir()
    (bench.own / "token").write_bytes(b"secret")
    os.mkfifo(bench.source / "fifo")
    before = len(os.listdir("/proc/self/fd"))
    with fails(code):
        bench.open_source(name)
    assert len(os.listdir("/proc/self/fd")) == before


def test_other_paths(bench: Bench) -> None:
    for path, name in (("/etc", "passwd"), (str(bench.target), "f"), ("/proc/self", "environ"), ("/dev", "zero")):
        with fails("outside_roots"):
            bench("source_open", wire=1, path=path, name=name, chunk_size=CHUNK, prefix=False)


def test_more_chunks_than_possible(bench: Bench) -> None:
    with (bench.source / "f").open("wb") as file:
        try:
            file.truncate(MAX_CHUNKS * CHUNK + 1)
        except OSError:
            pytest.skip("this file system has no files of that size")
    before = len(os.listdir("/proc/self/fd"))
    with fails("too_large"):
        bench.open_source("f")
    assert len(os.listdir("/proc/self/fd")) == before
    assert bench.open_source("f", chunk_size=2 * CHUNK)["size"] == MAX_CHUNKS * CHUNK + 1


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _rewrite(path: Path) -> None:
    status = path.stat()
    path.write_bytes(b"z" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.rename(path)


def _link(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


CHANGES = {
    "grows": _append,
    "shrinks": lambda path: os.truncate(path, 5),
    "same size and time": _rewrite,
    "replaced": _replace,
    "removed": Path.unlink,
    "becomes a link": _link,
    "becomes a directory": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("how", CHANGES)
@pytest.mark.parametrize("worker", [0, 1])
def test_a_changed_source_is_noticed(bench: Bench, how: str, worker: int) -> None:
    path = bench.source / "f"
    path.write_bytes(text(2 * CHUNK))
    handle = bench.open_source("f")["handle"]
    bench.read(handle, 0)
    CHANGES[how](path)
    for task in (
        lambda: bench.read(handle, 1, worker=worker),
        lambda: bench("source_hash", worker=worker, wire=1, handle=handle, upto=2),
        lambda: bench("source_check", worker=worker, wire=1, handle=handle),
    ):
        with fails("source_changed"):
            task()


def test_a_change_in_the_middle_of_a_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bench.source / "f"
    path.write_bytes(text(CHUNK))
    handle = bench.open_source("f")["handle"]
    real = os.preadv

    def preadv(fd: int, buffers: list[memoryview], offset: int) -> int:
        count = real(fd, buffers, offset)
        path.write_bytes(text(CHUNK, seed=1))
        return count

    monkeypatch.setattr(os, "preadv", preadv)
    with fails("source_changed"):
        bench.read(handle, 0)


def test_prefix_takes_the_size_at_the_start(bench: Bench) -> None:
    path = bench.source / "log"
    content = text(CHUNK + 10)
    path.write_bytes(content)
    handle = bench.open_source("log", prefix=True)["handle"]
    _append(path)
    value, frame = bench.read(handle, 1, worker=1)
    assert value["size"] == 10
    assert parse_frame_header(frame).total == 2
    assert bench("source_hash", wire=1, handle=handle, upto=2)["sha256"] == sha(content)
    bench("source_check", wire=1, handle=handle)
    os.truncate(path, CHUNK)
    with fails("source_changed"):
        bench.read(handle, 0)
    path.write_bytes(content + b"x")
    _replace(path)
    with fails("source_changed"):
        bench("source_check", wire=1, handle=handle)


def test_the_whole_hash_goes_on_and_starts_over_where_it_is_lost(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    content = text(5 * CHUNK + 1)
    (bench.source / "f").write_bytes(content)
    handle = bench.open_source("f")["handle"]
    assert bench("source_hash", wire=1, handle=handle, upto=2) == {"position": 2, "sha256": None}
    assert bench("source_hash", wire=1, handle=handle, upto=1) == {"position": 2, "sha256": None}
    assert bench("source_hash", worker=1, wire=1, handle=handle, upto=6)["sha256"] == sha(content)
    monkeypatch.setattr(open_files, "HASH_TASK_MAX", 2 * CHUNK)
    assert bench("source_hash", wire=1, handle=handle, upto=6) == {"position": 4, "sha256": None}
    assert bench("source_hash", wire=1, handle=handle, upto=6) == {"position": 6, "sha256": sha(content)}
    assert bench("source_hash", wire=1, handle=handle, upto=6) == {"position": 6, "sha256": sha(content)}


def test_a_read_error_is_io_and_names_the_file(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (bench.source / "f").write_bytes(text(CHUNK))
    handle = bench.open_source("f")["handle"]

    def preadv(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", preadv)
    with pytest.raises(TransferError, match="source/f: Input/output error") as caught:
        bench.read(handle, 0)
    assert caught.value.code == "io"


def test_no_room_for_descriptors(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (bench.source / "f").write_bytes(b"x")

    def refuse(*_: object, **__: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "open", refuse)
    with fails("overloaded"):
        bench.open_source("f")


def test_misuse_by_our_own_program(bench: Bench) -> None:
    (bench.source / "f").write_bytes(text(CHUNK))
    handle = bench.open_source("f")["handle"]
    with pytest.raises(LocalProtocolError):
        bench.read(handle, 1)
    with pytest.raises(LocalProtocolError):
        bench("source_chunk", wire=1, handle=handle, index=0, have=None, compression="auto", slot=[0, CHUNK])
    with pytest.raises(LocalProtocolError):
        bench(
            "source_chunk",
            wire=1,
            handle=handle,
            index=0,
            have=None,
            compression="auto",
            slot=[2**30, HEADER_SIZE + CHUNK],
        )


def test_few_files_stay_open(bench: Bench) -> None:
    before = len(os.listdir("/proc/self/fd"))
    handles = []
    for number in range(open_files.OPEN_MAX + 20):
        (bench.source / f"f{number}").write_bytes(b"%d" % number)
        handles.append(bench.open_source(f"f{number}", wire=number + 1)["handle"])
    assert len(os.listdir("/proc/self/fd")) <= before + open_files.OPEN_MAX
    for number, handle in enumerate(handles):
        value, _ = bench.read(handle, 0, wire=number + 1)
        assert value["sha"] == hashlib.sha256(b"%d" % number).hexdigest()
    for number in range(len(handles)):
        bench("source_close", wire=number + 1)
    assert len(os.listdir("/proc/self/fd")) == before


def test_sparse_file(bench: Bench) -> None:
    with (bench.source / "f").open("wb") as file:
        file.truncate(3 * CHUNK)
    opened = bench.open_source("f")
    value, frame = bench.read(opened["handle"], 1)
    assert value["compression"] == "zstd"
    assert len(frame) < 1000
