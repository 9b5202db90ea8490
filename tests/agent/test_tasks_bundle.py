"""Tasks of both ends of a bundle on real files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from fileflux.protocol.limits import HEADER_SIZE
from flux_agent.files import kernel_calls, posix

from .files.tasks_bench import Bench, make_special

NAMES = ["a.txt", "d/b.txt", "d/e/c.txt", "empty"]
CONTENTS = [b"one", b"two two", b"three" * 100, b""]
PARTS = [f"{number:032x}" for number in range(len(NAMES))]
MTIME = 1_700_000_000_000_000_000


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    for name, content in zip(NAMES, CONTENTS, strict=True):
        path = bench.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, ns=(MTIME, MTIME))
    yield bench
    bench.close()


FILES: dict[str, Any] = {"names": NAMES, "sizes": [len(one) for one in CONTENTS], "mtimes": [MTIME] * len(NAMES)}


class Slot:
    """What a frame travels in."""

    def __init__(self, bench: Bench, size: int) -> None:
        self._slot = bench._arena.alloc(size)
        assert self._slot is not None
        self.place = [self._slot.offset, self._slot.size]
        self.view = self._slot.view

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._slot.release()  # type: ignore[union-attr]  # checked when it was made


def read(bench: Bench, **changes: Any) -> tuple[dict[str, Any], bytes]:
    args = {**FILES, "path": str(bench.source), "compression": "none", **changes}
    with Slot(bench, HEADER_SIZE + max(1, sum(args["sizes"]))) as slot:
        value = bench("bundle_read", wire=1, slot=slot.place, **args)
        return value, bytes(slot.view[: value["frame"]])


def sink(bench: Bench, **changes: Any) -> dict[str, Any]:
    return {
        **FILES,
        "path": str(bench.target),
        "parts": PARTS,
        "modes": [0o640] * len(NAMES),
        "conflict": "overwrite",
        "repeated": False,
        "preserve_mtime": True,
        "preserve_mode": True,
        **changes,
    }


def write(bench: Bench, frame: bytes, **changes: Any) -> dict[str, Any]:
    with Slot(bench, len(frame)) as slot:
        slot.view[:] = frame
        return bench("bundle_write", wire=1, slot=slot.place, **sink(bench, **changes))


def deliver(bench: Bench, **changes: Any) -> list[int]:
    written = write(bench, read(bench)[1], **changes)
    args = sink(bench, identities=written["identities"], alone=[], **changes)
    left: list[int] = bench("bundle_commit", **args)["alone"]
    return left


def found(bench: Bench) -> dict[str, bytes]:
    return {
        str(path.relative_to(bench.target)): path.read_bytes() for path in bench.target.rglob("*") if path.is_file()
    }


def test_files_arrive_as_they_were(bench: Bench) -> None:
    value, frame = read(bench)
    assert (value["alone"], value["size"], value["same"]) == ([], sum(FILES["sizes"]), False)
    assert value["sha"] == hashlib.sha256(b"".join(CONTENTS)).hexdigest()
    opened = bench("bundle_open", **sink(bench))
    assert opened == {"path": f"{bench.target}/", "states": ["new"] * 4}
    written = write(bench, frame)
    assert written["sha"] == value["sha"]
    assert written["digests"] == [hashlib.sha256(one).hexdigest() for one in CONTENTS]
    assert set(found(bench)) == {
        f"{Path(name).parent}/.{part}.fluxpart".removeprefix("./") for name, part in zip(NAMES, PARTS, strict=True)
    }
    assert bench("bundle_commit", **sink(bench, identities=written["identities"], alone=[])) == {"alone": []}
    assert found(bench) == dict(zip(NAMES, CONTENTS, strict=True))
    status = (bench.target / "d/b.txt").stat()
    assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o640, MTIME)
    assert bench("bundle_open", **sink(bench))["states"] == ["equal"] * 4


@pytest.mark.parametrize("codec", ["zstd", "lz4", "auto"])
def test_compressed(bench: Bench, codec: str) -> None:
    _, frame = read(bench, compression=codec)
    assert write(bench, frame)["digests"][2] == hashlib.sha256(CONTENTS[2]).hexdigest()


def test_what_is_not_as_it_was_listed_is_left(bench: Bench) -> None:
    (bench.source / "a.txt").write_bytes(b"ONE")
    (bench.source / "d/b.txt").unlink()
    (bench.source / "d/e/c.txt").write_bytes(b"longer than it was" * 100)
    (bench.source / "empty").unlink()
    (bench.source / "empty").symlink_to(bench.source / "a.txt")
    value, frame = read(bench)
    assert value["alone"] == [0, 1, 2, 3]
    assert frame[HEADER_SIZE:] == bytes(sum(FILES["sizes"]))
    written = write(bench, frame)
    answer = bench("bundle_commit", **sink(bench, identities=written["identities"], alone=[[0, 3]]))
    assert answer == {"alone": [0, 1, 2, 3]}
    assert found(bench) == {}


@pytest.mark.parametrize("kind", ["directory", "fifo", "socket", "device"])
def test_nothing_but_files_is_read_or_replaced(bench: Bench, kind: str) -> None:
    (bench.source / "a.txt").unlink()
    make_special(bench.source / "a.txt", kind)
    assert read(bench)[0]["alone"] == [0]
    make_special(bench.target / "empty", kind)
    assert bench("bundle_open", **sink(bench))["states"] == ["new", "new", "new", "alone"]


def test_the_agents_own_files_are_left(bench: Bench) -> None:
    bench.own.mkdir()
    secret = bench.own / "key"
    secret.write_bytes(b"key")
    os.link(secret, bench.source / "hard")
    for name in ("own/key", "../escape"):
        value, _ = read(bench, names=[name, *NAMES[1:]])
        assert value["alone"] == [0]
    bench.token.write_bytes(b"token")
    for name in ("token", ".ssh/authorized_keys", f".{PARTS[0]}.fluxpart", "../a"):
        assert bench("bundle_open", **sink(bench, names=[name, *NAMES[1:]]))["states"][0] == "alone"


@pytest.mark.parametrize(
    ("conflict", "states"),
    [
        ("overwrite", ["new", "new", "alone", "new"]),
        ("newer", ["new", "skipped", "skipped", "new"]),
        ("skip", ["skipped", "skipped", "skipped", "new"]),
        ("fail", ["alone", "alone", "alone", "new"]),
    ],
)
def test_the_policy(bench: Bench, conflict: str, states: list[str]) -> None:
    for name, age, mode in (("a.txt", -1, 0o644), ("d/b.txt", 1, 0o644), ("d/e/c.txt", 1, 0o444)):
        path = bench.target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"old")
        path.chmod(mode)
        os.utime(path, ns=(MTIME + age, MTIME + age))
    assert bench("bundle_open", **sink(bench, conflict=conflict))["states"] == states
    left = deliver(bench, conflict=conflict)
    assert left == [index for index, state in enumerate(states) if state != "new"]
    assert found(bench) == {
        name: content if state == "new" else b"old"
        for name, content, state in zip(NAMES, CONTENTS, states, strict=True)
    }


def test_what_may_have_been_delivered_is_left(bench: Bench) -> None:
    deliver(bench)
    os.utime(bench.target / "a.txt", ns=(5, 5))
    (bench.target / "d/b.txt").write_bytes(b"another size")
    (bench.target / "empty").unlink()
    states = bench("bundle_open", **sink(bench, repeated=True))["states"]
    assert states == ["alone", "new", "alone", "new"]


def test_a_part_that_is_not_what_was_written_is_left(bench: Bench) -> None:
    written = write(bench, read(bench)[1])
    part = bench.target / f".{PARTS[0]}.fluxpart"
    part.unlink()
    part.write_bytes(b"one")
    os.link(bench.target / f"d/.{PARTS[1]}.fluxpart", bench.target / "second-name")
    (bench.target / f"d/e/.{PARTS[2]}.fluxpart").unlink()
    answer = bench("bundle_commit", **sink(bench, identities=written["identities"], alone=[]))
    assert answer == {"alone": [0, 1, 2]}
    assert set(found(bench)) == {"empty", "second-name"}


def test_parts_of_before_are_replaced_and_discarded(bench: Bench) -> None:
    (bench.target / f".{PARTS[0]}.fluxpart").write_bytes(b"of before")
    written = write(bench, read(bench)[1])
    assert len(written["identities"]) == 4
    bench("bundle_discard", **{key: sink(bench)[key] for key in ("path", "names", "parts")})
    assert found(bench) == {}
    bench("bundle_discard", path=str(bench.target), names=["gone/x"], parts=[PARTS[0]])


def test_a_frame_that_is_not_right_is_refused(bench: Bench) -> None:
    _, frame = read(bench)
    spoiled = frame[:-1] + bytes([frame[-1] ^ 1])
    assert write(bench, spoiled) == {"nack": "bad_hash"}
    assert write(bench, frame, sizes=[1, 2, 3, 4]) == {"nack": "bad_geometry"}
    assert write(bench, frame[:-1]) == {"nack": "bad_geometry"}
    assert found(bench) == {}


def test_where_nothing_syncs_together_each_part_is_synced(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fsync
    monkeypatch.setattr(posix, "SYNCS_FILE_SYSTEMS", False)
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.fstat(fd).st_ino), real(fd))[1])
    written = write(bench, read(bench)[1])
    assert {inode for _, inode, *_ in written["identities"]} <= set(synced)
    monkeypatch.setattr(posix, "SYNCS_FILE_SYSTEMS", True)
    together: list[int] = []
    monkeypatch.setattr(posix, "sync_file_system", together.append)
    synced.clear()
    written = write(bench, read(bench)[1])
    assert together
    assert not {inode for _, inode, *_ in written["identities"]} & set(synced)


def test_syncing_a_file_system(tmp_path: Path) -> None:
    assert kernel_calls.SYNCS_FILE_SYSTEMS, "tests run on Linux from 5.8 on"
    descriptor = os.open(tmp_path, os.O_RDONLY)
    kernel_calls.sync_file_system(descriptor)
    os.close(descriptor)
    with pytest.raises(OSError, match="descriptor"):
        kernel_calls.sync_file_system(descriptor)
