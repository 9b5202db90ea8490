from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fileflux.protocol.limits import HEADER_SIZE

from .files.tasks_bench import CHUNK, PART, Bench, fails, frame_of, make_special, sha, text


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7])
def test_a_file_arrives(bench: Bench, size: int) -> None:
    content = text(size)
    opened = bench.open_sink("f", size, mode=0o640)
    assert (opened["state"], opened["basis"], opened["have_count"]) == ("new", None, 0)
    assert opened["final_path"] == f"{bench.target}/f"
    handle = opened["handle"]
    assert bench.names() == [bench.part.name]
    assert bench.part.stat().st_mode & 0o7777 == 0o600
    bench.write_all(handle, content)
    assert bench("sink_sync", worker=1, wire=1, handle=handle) == {}
    total = max(1, -(-size // CHUNK))
    assert bench("sink_hash", worker=2, wire=1, handle=handle, upto=total) == {
        "position": total,
        "sha256": sha(content),
    }
    assert bench.names() == [bench.part.name]
    done = bench.commit(handle, content, worker=1, mode=0o640)
    assert done == {"sha256": sha(content), "size": size, "final_path": f"{bench.target}/f", "delivered": False}
    assert bench.names() == ["f"]
    final = bench.target / "f"
    assert final.read_bytes() == content
    status = final.stat()
    assert (status.st_mode & 0o7777, status.st_mtime_ns) == (0o640, 1_000_000_000)


def test_descriptors_come_back(bench: Bench) -> None:
    before = len(os.listdir("/proc/self/fd"))
    content = text(2 * CHUNK)
    bench.deliver("f", content)
    bench.deliver("f", text(2 * CHUNK, 1), mtime_ns=2_000_000_000)
    for worker in range(3):
        bench("sink_close", worker=worker, wire=1, handle=None, discard=False)
    assert len(os.listdir("/proc/self/fd")) == before


def test_missing_parents_are_made(bench: Bench) -> None:
    bench.deliver("a/b/c.txt", b"x")
    assert (bench.target / "a/b/c.txt").read_bytes() == b"x"
    bench.deliver("d.txt", b"y", path=f"{bench.target}/new/place")
    assert (bench.target / "new/place/d.txt").read_bytes() == b"y"


def test_where_a_single_file_lands(bench: Bench) -> None:
    (bench.target / "folder").mkdir()
    for path, expected in (
        ("folder", "folder/n"),
        ("folder/", "folder/n"),
        ("absent/", "absent/n"),
        ("absent2", "absent2"),
        ("", "n"),
        ("x/y", "x/y"),
    ):
        for form in (path, f"{bench.target}/{path}"):
            opened = bench.open_sink("n", 1, path=form, landing="onto")
            assert opened["final_path"] == f"{bench.target}/{expected}"
            bench("sink_close", wire=1, handle=opened["handle"], discard=True)
    assert bench.open_sink("n", 1, path="folder")["final_path"] == f"{bench.target}/folder/n"


# What may be refused


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("../x", "refused_path"),
        ("..\\x", "refused_path"),
        ("C:\\x", "refused_path"),
        ("/etc/x", "refused_path"),
        ("a\0", "refused_path"),
        ("link/x", "refused_path"),
        ("link", "not_regular"),
        ("dangling", "not_regular"),
        ("directory", "not_regular"),
        ("fifo", "not_regular"),
        ("socket", "not_regular"),
        ("device", "not_regular"),
        ("file/x", "not_regular"),
        ("read-only", "read_only"),
        (".ssh/authorized_keys", "refused_path"),
        (".bashrc", "refused_path"),
        (f".{PART}.fluxpart", "refused_path"),
        ("n" * 256, "refused_path"),
    ],
)
def test_names_that_are_refused(bench: Bench, tmp_path: Path, name: str, code: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (bench.target / "link").symlink_to(outside)
    (bench.target / "dangling").symlink_to(outside / "later")
    (bench.target / "file").write_text("file")
    (bench.target / "read-only").write_text("precious")
    (bench.target / "read-only").chmod(0o444)
    for kind in ("directory", "fifo", "socket", *(["device"] if name == "device" else [])):
        make_special(bench.target / kind, kind)
    before = bench.names()
    with fails(code):
        bench.open_sink(name, 10)
    assert bench.names() == before
    assert os.listdir(outside) == []
    assert (bench.target / "read-only").read_text() == "precious"


def test_other_roots_and_parts_are_refused(bench: Bench) -> None:
    with fails("outside_roots"):
        bench.open_sink("f", 1, path=str(bench.source))
    with fails("outside_roots"):
        bench.open_sink("f", 1, path="/etc")
    with fails("outside_roots"):
        bench.open_sink("f", 1, final_path="/etc/passwd")
    for part in ("../" + "0" * 29, "x", PART.upper()):
        with fails("refused_path"):
            bench.open_sink("f", 1, part=part)
    with fails("too_large"):
        bench.open_sink("f", CHUNK * 1_048_576 + 1)
    assert bench.names() == []


def test_no_space_is_said_before_the_first_byte(bench: Bench) -> None:
    free = os.statvfs(bench.target)
    with fails("no_space"):
        bench.open_sink("f", free.f_bavail * free.f_frsize + 2**30, chunk_size=64 * 2**20)
    assert bench.names() == []


# Frames


def test_bad_frames_are_nacked_and_leave_nothing(bench: Bench) -> None:
    content = text(2 * CHUNK + 5)
    handle = bench.open_sink("f", len(content))["handle"]
    good = frame_of(content, 1)
    raw = bytearray(frame_of(content, 2, compression=0))
    raw[-1] ^= 1
    lies = [
        (good[:56], "short_header"),
        (b"XXXX" + good[4:], "bad_magic"),
        (good[:-1], "bad_geometry"),
        (good + b"x", "bad_geometry"),
        (frame_of(content, 1, wire=2), "bad_geometry"),
        (frame_of(content, 1, sha256=bytes(32)), "bad_hash"),
        (bytes(raw), "bad_hash"),
        (frame_of(content, 1, total=4), "bad_geometry"),
        (frame_of(content, 1, index=2), "bad_geometry"),
        (frame_of(content, 1, size=CHUNK - 1), "bad_geometry"),
        (frame_of(text(9 * CHUNK), 8), "bad_geometry"),
        (good[:HEADER_SIZE] + bytes(len(good) - HEADER_SIZE), "bad_payload"),
        (frame_of(content, 1, compression=2), "bad_payload"),
    ]
    for frame, reason in lies:
        value = bench.write_frame(handle, frame)
        assert value["nack"] == reason, frame[:60]
        assert set(value) == {"nack", "index"}
    assert bench.part.stat().st_size == 0
    assert bench.write_frame(handle, good) == {"index": 1, "size": CHUNK, "sha": sha(content[CHUNK : 2 * CHUNK])}
    assert bench.write_frame(handle, good)["index"] == 1


def test_a_full_disk(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    content = text(CHUNK)
    handle = bench.open_sink("f", CHUNK)["handle"]
    real = os.pwrite
    answers = iter([7, OSError(28, "No space left on device")])

    def pwrite(fd: int, data: memoryview, offset: int) -> int:
        answer = next(answers, None)
        if isinstance(answer, OSError):
            raise answer
        return real(fd, data if answer is None else data[:answer], offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    with fails("no_space"):
        bench.write_frame(handle, frame_of(content, 0))
    # Short writes go on where they ended.
    answers = iter([1, 2, 3])
    bench.write_frame(handle, frame_of(content, 0))
    assert bench.part.read_bytes() == content


@pytest.mark.parametrize("error", [5, 28])
def test_a_failed_sync_voids_the_part(bench: Bench, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    content = text(2 * CHUNK)
    handle = bench.open_sink("f", len(content))["handle"]
    bench.write_all(handle, content)
    calls: list[int] = []

    def fdatasync(fd: int) -> None:
        calls.append(fd)
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    with fails("io", "no_space"):
        bench("sink_sync", wire=1, handle=handle)
    assert len(calls) == 1
    assert bench.names() == []
    # Nobody can go on with it, neither here nor in another worker.
    for worker in (0, 1):
        with fails("io", "stale_have"):
            bench.commit(handle, content, worker=worker)
    assert bench.names() == []
    assert bench.open_sink("f", len(content), wire=2, attempt=2)["have_count"] == 0


def test_a_failed_sync_at_the_commit_voids_the_part(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    content = text(CHUNK)
    handle = bench.open_sink("f", len(content))["handle"]
    bench.write_all(handle, content)

    def fsync(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with fails("io"):
        bench.commit(handle, content)
    assert bench.names() == []


def test_the_order_of_the_last_steps(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    content = text(CHUNK)
    handle = bench.open_sink("f", len(content))["handle"]
    bench.write_all(handle, content)
    calls: list[str] = []

    def record(name: str) -> None:
        real = getattr(os, name)

        def call(*args: object, **kwargs: object) -> object:
            target = Path(os.readlink(f"/proc/self/fd/{args[0]}")).name if isinstance(args[0], int) else str(args[0])
            calls.append(f"{name} {target}")
            return real(*args, **kwargs)

        monkeypatch.setattr(os, name, call)

    for name in ("fchmod", "utime", "fsync", "fdatasync", "rename", "unlink", "link"):
        record(name)
    bench.commit(handle, content)
    part = bench.part.name
    assert calls == [f"fchmod {part}", f"utime {part}", f"fsync {part}", f"rename {part}", "fsync target"]


# Closing and cleaning up


def test_close_keeps_or_removes_the_part(bench: Bench) -> None:
    handle = bench.open_sink("f", 10)["handle"]
    bench("sink_close", wire=1, handle=handle, discard=False)
    assert bench.names() == [bench.part.name]
    bench("sink_close", worker=1, wire=1, handle=handle, discard=True)
    assert bench.names() == []
    bench("sink_close", wire=1, handle=handle, discard=True)
    bench("sink_close", wire=1, handle=None, discard=True)


def test_discard_removes_only_parts(bench: Bench, tmp_path: Path) -> None:
    folder = bench.target / "d"
    folder.mkdir()
    bench("discard_part", directory=f"{bench.target}/none", part=PART)
    bench("discard_part", directory="d", part=PART)
    (folder / bench.part.name).write_bytes(b"x")
    bench("discard_part", directory=str(folder), part=PART)
    assert os.listdir(folder) == []
    outside = tmp_path / "precious"
    outside.write_text("x")
    (folder / bench.part.name).symlink_to(outside)
    bench("discard_part", directory="d", part=PART)
    assert outside.exists()
    with fails("outside_roots"):
        bench("discard_part", directory="/tmp", part=PART)
    with fails("refused_path"):
        bench("discard_part", directory="d", part="../../precious")


def test_the_directory_is_replaced_meanwhile(bench: Bench, tmp_path: Path) -> None:
    content = text(2 * CHUNK)
    handle = bench.open_sink("d/f", len(content))["handle"]
    bench.write_all(handle, content)
    (bench.target / "d").rename(tmp_path / "elsewhere")
    for prepare in (
        lambda: None,
        (bench.target / "d").mkdir,
        lambda: ((bench.target / "d").rmdir(), (bench.target / "d").symlink_to(tmp_path / "elsewhere")),
    ):
        prepare()
        for worker in (0, 1):
            with fails("io", "not_found", "refused_path"):
                bench.commit(handle, content, worker=worker)
    assert os.listdir(tmp_path / "elsewhere") == [bench.part.name]


def test_the_part_is_replaced_meanwhile(bench: Bench) -> None:
    content = text(CHUNK)
    handle = bench.open_sink("f", len(content))["handle"]
    bench.write_all(handle, content)
    bench.part.unlink()
    bench.part.write_bytes(b"z" * CHUNK)
    for worker in (0, 2):
        with fails("io", "stale_have"):
            bench.commit(handle, content, worker=worker)
    assert not (bench.target / "f").exists()


def test_a_second_name_of_the_part_is_noticed(bench: Bench) -> None:
    content = text(CHUNK)
    handle = bench.open_sink("f", len(content))["handle"]
    bench.write_all(handle, content)
    os.link(bench.part, bench.target / "second")
    with fails("stale_have"):
        bench.commit(handle, content)
    assert not (bench.target / "f").exists()
