from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from fileflux.errors import FluxError
from fileflux.jobs.filters import compile_rules
from flux_agent.files import walk
from flux_agent.files.posix import PosixDirectory
from flux_agent.files.roots import Roots
from flux_agent.files.target import Target
from flux_agent.files.walk import Found, Listing, Trouble
from tests.agent.files.mounts import mounted


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)


def listing(
    root: Path, path: str = "", include: tuple[str, ...] = (), exclude: tuple[str, ...] = (), recursive: bool = True
) -> Listing:
    return Listing(Roots([str(root)], []), path, compile_rules(include, exclude), recursive=recursive)


def pages(opened: Listing, size: int = 500) -> tuple[list[Found], list[Trouble]]:
    entries: list[Found] = []
    errors: list[Trouble] = []
    while True:
        page = opened.page(size)
        assert len(page.entries) <= size
        entries += page.entries
        errors += page.errors
        if page.last:
            return entries, errors


def names(opened: Listing) -> list[str]:
    entries, errors = pages(opened)
    assert errors == []
    return sorted(entry.path for entry in entries)


def test_a_directory_with_everything_in_it(root: Path) -> None:
    make(root, "a.txt", "empty/", "deep/er/b.txt", "deep/er/still/")
    (root / "link").symlink_to("a.txt")
    (root / "dirlink").symlink_to("deep")
    os.mkfifo(root / "fifo")
    (root / f".{'0' * 32}.fluxpart").write_text("part")
    os.utime(root / "a.txt", ns=(1, 1_234_567_890_123_456_789))
    (root / "a.txt").chmod(0o4751)
    opened = listing(root)
    assert (opened.path_type, opened.base.path) == ("directory", str(root))
    entries, errors = pages(opened)
    assert errors == []
    kinds = {entry.path: entry.kind for entry in entries}
    assert kinds == {
        "a.txt": "file",
        "empty": "directory",
        "deep": "directory",
        "deep/er": "directory",
        "deep/er/b.txt": "file",
        "deep/er/still": "directory",
        "link": "symlink",
        "dirlink": "symlink",
        "fifo": "other",
    }
    (found,) = [entry for entry in entries if entry.path == "a.txt"]
    assert (found.size, found.mtime_ns, found.mode) == (5, 1_234_567_890_123_456_789, 0o4751)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7])
def test_pages(root: Path, count: int) -> None:
    make(root, *(f"f{number}" for number in range(count)))
    opened = listing(root)
    sizes: list[int] = []
    while True:
        page = opened.page(2)
        sizes.append(len(page.entries))
        if page.last:
            break
    assert sum(sizes) == count
    assert len(sizes) <= max(1, -(-count // 2) + 1)


def test_pages_are_bounded_by_bytes_and_by_work(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(root, *(f"{number:03}" + "é" * 100 for number in range(60)))
    monkeypatch.setattr(walk, "PAGE_BYTES", 8000)
    opened = listing(root)
    assert len(opened.page(500).entries) < 20
    assert len(pages(opened)[0]) > 40
    monkeypatch.setattr(walk, "SCAN_MAX", 10)
    nothing = listing(root, include=("no-such-file",))
    page = nothing.page(500)
    assert (page.entries, page.last) == ([], False)
    assert pages(nothing) == ([], [])


def test_a_file(root: Path) -> None:
    make(root, "sub/a*b.txt")
    opened = listing(root, "sub/a*b.txt")
    assert (opened.path_type, opened.base.path) == ("file", f"{root}/sub")
    assert names(opened) == ["a*b.txt"]


@pytest.mark.parametrize("name", ["*", "?", "[a", "-rf", "a\nb", "\x1b[2J", "a\\b", "{x}"])
def test_odd_names_are_literal(root: Path, name: str) -> None:
    make(root, name, "other")
    assert names(listing(root, name)) == [name]
    assert names(listing(root)) == sorted([name, "other"])


def test_names_that_are_no_text(root: Path) -> None:
    Path(os.fsdecode(os.fsencode(root) + b"/\xff\xfe")).write_bytes(b"x")
    assert names(listing(root)) == ["\udcff\udcfe"]


def test_globs(root: Path) -> None:
    make(root, "in/2024/a.csv", "in/2024/b.txt", "in/2025/a.csv", "in/2025/sub/c.csv", "in/top.csv", "in/x/")
    assert names(listing(root, "in/*/*.csv")) == ["2024/a.csv", "2025/a.csv"]
    assert names(listing(root, "in/*/*.csv", recursive=False)) == ["2024/a.csv", "2025/a.csv"]
    assert names(listing(root, f"{root}/in/**/*.csv")) == ["2024/a.csv", "2025/a.csv", "2025/sub/c.csv", "top.csv"]
    assert names(listing(root, "in/2025*")) == ["2025", "2025/a.csv", "2025/sub", "2025/sub/c.csv"]
    assert names(listing(root, "in/2025*", recursive=False)) == []
    assert names(listing(root, "in/{x,top.csv}")) == ["top.csv", "x"]
    assert names(listing(root, "in/*", exclude=("2025",))) == ["2024", "2024/a.csv", "2024/b.txt", "top.csv", "x"]
    assert names(listing(root, "in/nothing*")) == []
    opened = listing(root, "in/*/*.csv")
    assert (opened.path_type, opened.base.path) == ("glob", f"{root}/in")
    opened.close()


def test_rules(root: Path) -> None:
    make(root, "a.csv", "b.txt", "sub/c.csv", "sub/tmp/d.csv", "void/")
    assert names(listing(root, include=("*.csv",))) == ["a.csv", "sub/c.csv", "sub/tmp/d.csv"]
    assert names(listing(root, exclude=("tmp/", "*.txt"))) == ["a.csv", "sub", "sub/c.csv", "void"]
    assert names(listing(root, recursive=False)) == ["a.csv", "b.txt"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("missing", "not_found"),
        ("link", "refused_path"),
        ("fifo", "not_regular"),
        ("no*/../x", "refused_path"),
        ("gone/*", "not_found"),
    ],
)
def test_what_cannot_be_listed_at_all(root: Path, path: str, code: str) -> None:
    make(root, "a")
    (root / "link").symlink_to("a")
    os.mkfifo(root / "fifo")
    with pytest.raises(FluxError) as caught:
        listing(root, path)
    assert caught.value.code == code


def test_the_agents_own_folder_is_reported_and_left_alone(root: Path) -> None:
    make(root, "agent/token", "data")
    opened = Listing(Roots([str(root)], [], [str(root / "agent")]), "", compile_rules((), ()), recursive=True)
    entries, errors = pages(opened)
    assert {entry.path: entry.kind for entry in entries} == {"agent": "other", "data": "file"}
    assert errors == []


def test_an_unreadable_directory_is_one_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(root, "locked/x", "open/y")
    real = PosixDirectory.open_directory

    def open_directory(self: PosixDirectory, name: str) -> PosixDirectory:
        if name == "locked":
            raise PermissionError(13, "Permission denied", name)
        return real(self, name)

    monkeypatch.setattr(PosixDirectory, "open_directory", open_directory)
    entries, errors = pages(listing(root))
    assert sorted(entry.path for entry in entries) == ["locked", "open", "open/y"]
    assert [(error.path, error.code) for error in errors] == [("locked", "permission")]


def test_what_vanishes_meanwhile_was_not_there(root: Path) -> None:
    make(root, "a/1", "b/1", "c/1", "f1", "f2")
    opened = listing(root)
    opened.page(1)
    for name in ("a", "b", "c"):
        (root / name / "1").unlink()
        (root / name).rmdir()
    _, errors = pages(opened)
    assert errors == []


def test_a_directory_replaced_by_a_link_is_not_entered(root: Path, tmp_path: Path) -> None:
    make(root, "a/1", "b")
    make(tmp_path / "outside", "secret")
    opened = listing(root)
    opened.page(1)
    (root / "a" / "1").unlink()
    (root / "a").rmdir()
    (root / "a").symlink_to(tmp_path / "outside")
    entries, errors = pages(opened)
    assert not any("secret" in entry.path for entry in entries)
    assert [error.code for error in errors] in ([], ["refused_path"])


def test_deeper_than_a_path_can_say(root: Path) -> None:
    here = os.open(root, os.O_RDONLY)
    for _ in range(25):
        os.mkdir("d" * 200, dir_fd=here)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    entries, errors = pages(listing(root))
    assert len(entries) == 20
    assert [error.code for error in errors] == ["refused_path"]
    assert len(errors[0].path) <= 4096
    subprocess.run(["rm", "-rf", str(root)], check=True)


def test_descriptors_do_not_grow_with_depth(root: Path) -> None:
    make(root, "/".join(["d"] * 200)[:] + "/", *(f"d/f{number}" for number in range(3)))
    opened = listing(root)
    before = len(os.listdir("/proc/self/fd"))
    opened.page(100)
    assert len(os.listdir("/proc/self/fd")) <= before + 3
    opened.close()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_a_mount_of_itself_is_listed_once(root: Path) -> None:
    make(root, "a/loop/", "a/file")
    with mounted("--bind", str(root), on=root / "a" / "loop"):
        entries, errors = pages(listing(root))
    assert sorted(entry.path for entry in entries) == ["a", "a/file", "a/loop"]
    assert [error.path for error in errors] == ["a/loop"]


# The destination of the same job


def copying(root: Path, path: Path | str, destination: Path | str, **other_roots: str) -> Listing:
    roots = Roots([str(root)], [other_roots.get("write", str(root))])
    return Listing(roots, str(path), compile_rules((), ()), recursive=True, destination=Target(roots, str(destination)))


def test_a_destination_below_is_left_out_whenever_it_is_made(root: Path) -> None:
    make(root, "a/1", "a/copy/old", "b")
    assert names(copying(root, root, root / "a" / "copy")) == ["a", "a/1", "b"]
    opened = copying(root, root, root / "a" / "new" / "copy")
    make(root, "a/new/copy/1", "a/new/other")
    assert names(opened) == ["a", "a/1", "a/copy", "a/copy/old", "a/new", "a/new/other", "b"]


def test_a_destination_by_another_name_is_left_out(root: Path, tmp_path: Path) -> None:
    make(root, "1", "copy/1")
    (tmp_path / "alias").symlink_to(root)
    assert names(copying(root, root, tmp_path / "alias" / "copy", write=str(tmp_path / "alias"))) == ["1"]
    assert names(copying(root, root, "copy")) == ["1"]


def test_a_mount_of_the_destination_is_left_out(root: Path, tmp_path: Path) -> None:
    make(root, "1", "mounted/", "out/1")
    with mounted("--bind", str(root / "out"), on=root / "mounted"):
        assert names(copying(root, root, root / "mounted")) == ["1"]


def test_a_source_below_its_destination_is_listed(root: Path) -> None:
    make(root, "a/1", "a/b/2")
    assert names(copying(root, root / "a", root)) == ["1", "b", "b/2"]
    assert names(copying(root, root / "a" / "1", root)) == ["1"]
    assert names(copying(root, root / "a" / "*", root)) == ["1", "b", "b/2"]


@pytest.mark.parametrize(
    ("path", "destination"),
    [
        ("", ""), ("a", "a/"), ("a", "a"), ("a/1", "a/1"), ("a/1", "a"), ("a/1", "a/"), ("a/*", "a"), ("*/1", "."),
    ],
)  # fmt: skip
def test_nothing_is_copied_onto_itself(root: Path, path: str, destination: str) -> None:
    make(root, "a/1", "a/2")
    with pytest.raises(FluxError, match="onto itself"):
        copying(root, f"{root}/{path}", f"{root}/{destination}")


def test_a_destination_outside_the_roots_is_not_the_listings_to_judge(root: Path) -> None:
    make(root, "1")
    assert names(copying(root, root, "/elsewhere")) == ["1"]
    assert names(copying(root, root, f"{root}/..")) == ["1"]
