from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from flux_agent.files import kernel_calls

from .files.mounts import mounted
from .files.tasks_bench import CHUNK, PART, Bench, fails, frame_of, make_special, sha, text

CONTENT = text(CHUNK + 9)
MTIME = 1_000_000_000


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def existing(bench: Bench, name: str = "f", content: bytes = b"old", mtime_ns: int = MTIME) -> Path:
    path = bench.target / name
    path.write_bytes(content)
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return path


@pytest.mark.parametrize("conflict", ["overwrite", "skip", "newer", "rename", "fail"])
def test_equal_files_are_skipped_whatever_the_policy(bench: Bench, conflict: str) -> None:
    existing(bench, content=b"z" * len(CONTENT))
    opened = bench.open_sink("f", len(CONTENT), conflict=conflict)
    assert (opened["state"], opened["handle"], opened["final_path"]) == ("equal", None, f"{bench.target}/f")
    assert bench.names() == ["f"]


def test_policies_when_it_exists(bench: Bench) -> None:
    path = existing(bench)
    assert bench.open_sink("f", 5, conflict="skip")["state"] == "skipped"
    assert bench.open_sink("f", 5, conflict="newer")["state"] == "skipped"
    assert bench.open_sink("f", 5, conflict="newer", mtime_ns=MTIME - 1)["state"] == "skipped"
    with fails("exists"):
        bench.open_sink("f", 5, conflict="fail")
    assert bench.names() == ["f"]
    assert bench.deliver("f", b"newer", conflict="newer", mtime_ns=MTIME + 1)["delivered"] is False
    assert path.read_bytes() == b"newer"
    bench.deliver("f", CONTENT, wire=2)
    assert path.read_bytes() == CONTENT


def test_rename_takes_the_first_free_name_and_keeps_it(bench: Bench) -> None:
    existing(bench, "a.tar.gz")
    existing(bench, "a.tar (1).gz")
    opened = bench.open_sink("a.tar.gz", len(CONTENT), conflict="rename")
    assert opened["final_path"] == f"{bench.target}/a.tar (2).gz"
    bench("sink_close", wire=1, handle=opened["handle"], discard=False)
    again = bench.open_sink(
        "a.tar.gz", len(CONTENT), wire=2, conflict="rename", attempt=2, final_path=opened["final_path"]
    )
    assert again["final_path"] == opened["final_path"]
    bench.write_all(again["handle"], CONTENT, wire=2)
    bench.commit(again["handle"], CONTENT, wire=2, conflict="rename", attempt=2)
    assert (bench.target / "a.tar (2).gz").read_bytes() == CONTENT
    assert (bench.target / "a.tar.gz").read_bytes() == b"old"
    (bench.target / "dir").mkdir()
    assert bench.open_sink("dir", 1, wire=3, conflict="rename")["final_path"] == f"{bench.target}/dir (1)"
    long = "é" * 125 + ".txt"
    existing(bench, long)
    renamed = bench.open_sink(long, 1, wire=4, conflict="rename")["final_path"]
    assert renamed.endswith(" (1).txt")
    assert len(os.fsencode(os.path.basename(renamed))) <= 255


@pytest.mark.parametrize("conflict", ["skip", "fail", "rename", "newer"])
@pytest.mark.parametrize("renameat2", [True, False])
def test_a_name_that_appears_meanwhile(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, conflict: str, renameat2: bool
) -> None:
    if not renameat2:
        monkeypatch.setattr(kernel_calls, "_renameat2", None)
    handle = bench.open_sink("f", len(CONTENT), conflict=conflict)["handle"]
    bench.write_all(handle, CONTENT)
    path = existing(bench, content=b"made by another program")
    with fails("exists"):
        bench.commit(handle, CONTENT, conflict=conflict)
    assert path.read_bytes() == b"made by another program"
    path.unlink()
    assert bench.commit(handle, CONTENT, conflict=conflict)["sha256"] == sha(CONTENT)
    assert bench.names() == ["f"]
    assert path.stat().st_nlink == 1


def test_the_race_itself_is_the_systems(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from flux_agent.files.posix import PosixDirectory

    handle = bench.open_sink("f", len(CONTENT), conflict="fail")["handle"]
    bench.write_all(handle, CONTENT)
    real = PosixDirectory.rename_new

    def rename_new(self: PosixDirectory, old: str, new: str) -> None:
        existing(bench)
        real(self, old, new)

    monkeypatch.setattr(PosixDirectory, "rename_new", rename_new)
    with fails("exists"):
        bench.commit(handle, CONTENT, conflict="fail")
    assert (bench.target / "f").read_bytes() == b"old"


@pytest.mark.parametrize("conflict", ["overwrite", "newer", "fail"])
@pytest.mark.parametrize("kind", ["directory", "fifo", "socket", "device", "symlink", "read-only"])
def test_never_over_something_else(bench: Bench, kind: str, conflict: str) -> None:
    handle = bench.open_sink("f", len(CONTENT))["handle"]
    bench.write_all(handle, CONTENT)
    path = bench.target / "f"
    if kind == "symlink":
        path.symlink_to(bench.part)
    elif kind == "read-only":
        existing(bench).chmod(0o444)
    else:
        make_special(path, kind)
    before = path.lstat()
    with fails("exists" if kind == "read-only" and conflict != "overwrite" else "not_regular", "read_only"):
        bench.commit(handle, CONTENT, conflict=conflict)
    after = path.lstat()
    assert (after.st_ino, after.st_mode, after.st_rdev) == (before.st_ino, before.st_mode, before.st_rdev)
    assert kind != "read-only" or path.read_bytes() == b"old"


def test_never_over_a_mount_point(bench: Bench, tmp_path: Path) -> None:
    path = existing(bench)
    tmp = tmp_path / "tmpfs"
    tmp.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=1m", "none", on=tmp):
        (tmp / "other").write_bytes(b"other")
        with mounted("--bind", str(tmp / "other"), on=path), fails("not_regular"):
            bench.open_sink("f", 99)


def test_never_over_what_belongs_to_the_agent(bench: Bench) -> None:
    bench.token.write_bytes(b"secret")
    bench.program.mkdir()
    for name in ("token", "program/module", "program/new/x"):
        with fails("refused_path"):
            bench.open_sink(name, 6)
    with fails("refused_path"):
        bench.open_sink("token", 6, path=str(bench.program), landing="onto")
    assert bench("dir_apply", base=str(bench.target), items=[{"path": "program", "mode": 0o777, "mtime_ns": 1}])[
        "errors"
    ]
    with fails("refused_path"):
        bench("discard_part", directory=str(bench.program), part=PART)
    # By another name: before the transfer begins, and when the name appears in its course.
    os.link(bench.token, bench.target / "alias")
    with fails("refused_path"):
        bench.open_sink("alias", 99)
    handle = bench.open_sink("f", len(CONTENT))["handle"]
    bench.write_all(handle, CONTENT)
    os.link(bench.token, bench.target / "f")
    with fails("refused_path"):
        bench.commit(handle, CONTENT)
    assert bench.token.read_bytes() == b"secret"
    assert list(bench.program.iterdir()) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root may set the immutable flag")
def test_an_immutable_file(bench: Bench) -> None:
    path = existing(bench)
    if subprocess.run(["chattr", "+i", str(path)], check=False, capture_output=True).returncode:
        pytest.skip("this file system has no immutable flag")
    try:
        handle = bench.open_sink("f", len(CONTENT))["handle"]
        bench.write_all(handle, CONTENT)
        with fails("permission"):
            bench.commit(handle, CONTENT)
    finally:
        subprocess.run(["chattr", "-i", str(path)], check=True)
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("given", "expected"),
    [(0o0, 0o0), (0o400, 0o400), (0o755, 0o755), (0o4755, 0o755), (0o2755, 0o755), (0o1777, 0o777)],
)
def test_modes(bench: Bench, given: int, expected: int) -> None:
    bench.deliver("f", CONTENT, mode=given)
    assert (bench.target / "f").stat().st_mode & 0o7777 == expected


@pytest.mark.parametrize("seconds", [-2_177_452_800, -1, 0, 2**31, 2**32, 9_223_372_035])
def test_times(bench: Bench, seconds: int) -> None:
    probe = existing(bench, "probe", mtime_ns=seconds * 10**9 + 7)
    bench.deliver("f", CONTENT, mtime_ns=seconds * 10**9 + 7)
    # What the file system itself can hold is kept.
    assert (bench.target / "f").stat().st_mtime_ns == probe.stat().st_mtime_ns


def test_metadata_that_is_not_wanted(bench: Bench) -> None:
    handle = bench.open_sink("f", len(CONTENT), preserve_mtime=False)["handle"]
    bench.write_all(handle, CONTENT)
    bench.commit(handle, CONTENT, mode=0o777, preserve_mode=False, preserve_mtime=False)
    (bench.target / "plain").touch()
    status = (bench.target / "f").stat()
    assert status.st_mode == (bench.target / "plain").stat().st_mode
    assert status.st_mtime_ns != MTIME


def test_a_name_with_two_links_is_replaced_and_the_other_link_is_not(bench: Bench) -> None:
    path = existing(bench)
    os.link(path, bench.target / "other")
    bench.deliver("f", CONTENT)
    assert path.read_bytes() == CONTENT
    assert (bench.target / "other").read_bytes() == b"old"


def test_hashes_decide(bench: Bench) -> None:
    handle = bench.open_sink("f", len(CONTENT))["handle"]
    bench.write_all(handle, CONTENT)
    with fails("hash_mismatch"):
        bench.commit(handle, CONTENT, file_sha256="0" * 64)
    with fails("stale_have"):
        bench.commit(handle, CONTENT, size=len(CONTENT) - 1)
    with fails("hash_mismatch"):
        bench.commit(handle, CONTENT, reread=True, ours=sha(b"another"))
    assert bench.names() == [bench.part.name]
    bench.commit(handle, CONTENT, reread=True, file_sha256=sha(CONTENT))
    assert bench.names() == ["f"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    (folder / "target").mkdir(parents=True)
    with mounted("-t", "tmpfs", "-o", "size=16m", "none", on=folder / "target"):
        yield folder


def test_a_disk_that_really_fills_up(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = small_disk / "target"
    monkeypatch.setattr(Path, "mkdir", _mkdir_exist_ok)
    bench = Bench(small_disk)
    try:
        content = text(8 * CHUNK)
        with fails("no_space"):
            bench.open_sink("huge", 17 * 2**20)
        assert bench.names() == []
        handle = bench.open_sink("f", len(content))["handle"]
        bench.write_frame(handle, frame_of(content, 0))
        filler = target / "filler"
        with filler.open("wb", buffering=0) as file:
            os.posix_fallocate(
                file.fileno(), 0, os.fstatvfs(file.fileno()).f_bavail * os.fstatvfs(file.fileno()).f_frsize
            )
        with fails("no_space"):
            for index in range(1, 8):
                bench.write_frame(handle, frame_of(content, index))
        with fails("stale_have"):
            bench.commit(handle, content)
        assert not (target / "f").exists()
        filler.unlink()
        # Room was made: the same part goes on.
        bench.write_all(handle, content)
        bench("sink_sync", wire=1, handle=handle)
        bench.commit(handle, content)
        assert (target / "f").read_bytes() == content
    finally:
        bench.close()


def _mkdir_exist_ok(path: Path) -> None:
    os.makedirs(path, exist_ok=True)
