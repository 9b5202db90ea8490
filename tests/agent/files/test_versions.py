"""What is replaced stays under another name: ``name.~N~``."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fileflux.protocol.versions import is_version_name, version_name, version_of
from flux_agent.files.posix import PosixDirectory
from tests.agent.files.tasks_bench import PART, Bench, fails, sha, text


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_names() -> None:
    assert version_name("a", 3) == "a.~3~"
    assert version_of("a.~3~") == ("a", 3)
    assert version_of("a.~3~.~12~") == ("a.~3~", 12)
    assert is_version_name("d/a.txt.~1~")
    for name in ("a", "a~", "a.~~", "a.~0~", "a.~01~", "a.~-1~", ".~1~", "a.~1~/b", "a.~1~ "):
        assert not is_version_name(name), name


def replace(bench: Bench, content: bytes, keep: int, wire: int, **changes: object) -> None:
    opened = bench.open_sink("f", len(content), wire, mtime_ns=wire, **changes)
    bench.write_all(opened["handle"], content, wire)
    bench.commit(opened["handle"], content, wire, mtime_ns=wire, keep_versions=keep)


def versions(bench: Bench) -> dict[str, bytes]:
    return {name: (bench.target / name).read_bytes() for name in bench.names()}


def test_so_many_are_kept_and_the_highest_is_the_newest(bench: Bench) -> None:
    for wire in range(1, 6):
        replace(bench, b"%d" % wire, 2, wire)
    assert versions(bench) == {"f": b"5", "f.~3~": b"3", "f.~4~": b"4"}
    (bench.target / "f.~9~").mkdir()
    (bench.target / "f.~x~").write_bytes(b"other")
    replace(bench, b"6", 1, 6)
    names = set(bench.names())
    assert {"f", "f.~10~", "f.~9~", "f.~x~"} == names, "a directory of such a name is nobody's version"
    bench.close()


def test_without_hard_links(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    replace(bench, b"1", 3, 1)

    def link(self: PosixDirectory, old: str, new: str) -> None:
        raise OSError(errno.EPERM, "no")

    monkeypatch.setattr(PosixDirectory, "link", link)
    replace(bench, b"2", 3, 2)
    assert versions(bench) == {"f": b"2", "f.~1~": b"1"}
    bench.close()


def test_a_crash_between_link_and_rename_makes_no_second_version(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    replace(bench, b"1", 3, 1)

    def rename(self: PosixDirectory, old: str, new: str) -> None:
        raise OSError(errno.EIO, "the power went")

    with monkeypatch.context() as patch, fails("io"):
        patch.setattr(PosixDirectory, "rename_over", rename)
        replace(bench, b"2", 3, 2)
    assert (bench.target / "f").read_bytes() == b"1", "there always is a file of that name"
    assert (bench.target / "f.~1~").samefile(bench.target / "f")
    replace(bench, b"2", 3, 3, attempt=2)
    assert versions(bench) == {"f": b"2", "f.~1~": b"1"}
    bench.close()


def test_a_name_that_is_too_long_for_a_version(bench: Bench) -> None:
    name = "n" * 253
    (bench.target / name).write_bytes(b"old")
    opened = bench.open_sink(name, 3)
    bench.write_all(opened["handle"], b"new")
    with fails("refused_path"):
        bench.commit(opened["handle"], b"new", keep_versions=1)
    assert (bench.target / name).read_bytes() == b"old"
    bench.close()


def test_what_is_equal_or_new_makes_no_version(bench: Bench) -> None:
    replace(bench, text(10), 5, 1)
    assert bench.open_sink("f", 10, 2, mtime_ns=1)["state"] == "equal"
    assert bench.names() == ["f"]
    assert sha((bench.target / "f").read_bytes()) == sha(text(10))
    assert not os.path.exists(bench.target / f".{PART}.fluxpart")
    bench.close()
