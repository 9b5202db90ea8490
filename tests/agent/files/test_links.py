"""Symbolic links: followed by handles and inside the root only, made where they cannot lead out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fileflux.jobs.filters import compile_rules
from flux_agent.files.archive import Release
from flux_agent.files.links import LinkError, check_target, follow, look
from flux_agent.files.roots import Place, Roots
from flux_agent.files.walk import Listing
from tests.agent.files.tasks_bench import Bench, fails, sha


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("root/d/e", "root/x", "outside"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "root/d/e/f").write_text("1")
    (tmp_path / "outside/secret").write_text("2")
    return tmp_path / "root"


def place(root: Path, name: str) -> tuple[Roots, Place]:
    roots = Roots([str(root)], [str(root)])
    return roots, roots.resolve(str(root), name, write=False)


@pytest.mark.parametrize(
    ("links", "name", "leads_to"),
    [
        ({}, "d/e/f", "d/e/f"),
        ({"l": "d/e/f"}, "l", "d/e/f"),
        ({"x/l": "../d"}, "x/l/e/f", "d/e/f"),
        ({"l": "{root}/d/e"}, "l/f", "d/e/f"),
        ({"l": "m", "m": "x/n", "x/n": "../d/./e//f"}, "l", "d/e/f"),
        ({"l": "."}, "l/l/l/d/e/f", "d/e/f"),
        ({"l": "d/e/../../d/e/f"}, "l", "d/e/f"),
        ({"d/up": ".."}, "d/up/d/e/f", "d/e/f"),
    ],
)
def test_followed_inside_the_root(root: Path, links: dict[str, str], name: str, leads_to: str) -> None:
    for link, target in links.items():
        (root / link).symlink_to(target.format(root=root))
    roots, start = place(root, name)
    assert "/".join(follow(roots, start).components) == leads_to
    assert look(roots, start)[1].size == 1


@pytest.mark.parametrize(
    ("links", "name", "why"),
    [
        ({"l": ".."}, "l", "link_outside"),
        ({"l": "../outside/secret"}, "l", "link_outside"),
        ({"l": "/etc/passwd"}, "l", "link_outside"),
        ({"l": "{root}-not"}, "l", "link_outside"),
        ({"a": "d/e", "l": "a/../../../outside/secret"}, "l", "link_outside"),
        ({"x/l": "../../outside"}, "x/l/secret", "link_outside"),
        ({"l": "l"}, "l", "link_loop"),
        ({"a": "b", "b": "a"}, "a/f", "link_loop"),
        ({"l": "nothing"}, "l", "link_broken"),
        ({"l": "d/e/f/g"}, "l", "link_broken"),
    ],
)
def test_not_followed(root: Path, links: dict[str, str], name: str, why: str) -> None:
    for link, target in links.items():
        (root / link).symlink_to(target.format(root=root))
    roots, start = place(root, name)
    with pytest.raises(LinkError) as caught:
        look(roots, start)
    assert caught.value.why == why


@pytest.mark.parametrize(
    ("at", "target", "safe"),
    [
        ("l", "f", True), ("l", "d/f", True), ("d/l", "../f", True), ("d/e/l", "../../f", True), ("l", "./d/.", True), ("l", "nothing", True),
        ("l", "{root}/d", True), ("l", "{root}", True),
        ("l", "..", False), ("d/l", "../..", False), ("d/l", "x/../../..", False), ("d/l", "x/..", False), ("l", "/etc", False),
        ("l", "{root}/../x", False), ("l", "{root}x", False), ("l", "", False), ("l", "/", False),
    ],
)  # fmt: skip
def test_targets_of_new_links(root: Path, at: str, target: str, safe: bool) -> None:
    _, where = place(root, at)
    if safe:
        check_target(where, target.format(root=root))
    else:
        with fails("refused_path"):
            check_target(where, target.format(root=root))


def test_a_listing_follows_and_meets_no_directory_twice_on_one_way(root: Path) -> None:
    (root / "d/self").symlink_to("../d")
    (root / "d/out").symlink_to("../..")
    (root / "d/file").symlink_to("e/f")
    (root / "d/other").symlink_to("../x")
    (root / "x/g").write_text("3")
    roots = Roots([str(root)], [])
    page = Listing(roots, "d", compile_rules((), ()), recursive=True, symlinks="follow").page(100)
    found = {entry.path: (entry.kind, entry.code) for entry in page.entries if entry.kind != "directory"}
    assert found == {
        "e/f": ("file", ""),
        "file": ("file", ""),
        "other/g": ("file", ""),
        "out": ("symlink", "link_outside"),
    }
    assert [(error.path, error.code) for error in page.errors] == [("self", "refused_path")]


def test_a_listing_tells_the_young_and_leaves_archives_out(root: Path) -> None:
    for name, age in (("old", 61), ("young", 59), ("future", -100)):
        (root / name).write_text(name)
        os.utime(root / name, (1000 - age, 1000 - age))
    (root / "d/.fileflux-archive").mkdir()
    (root / "d/.fileflux-archive/a").write_text("")
    (root / "done/deep").mkdir(parents=True)
    (root / "done/deep/b").write_text("")
    os.utime(root / "d/e/f", (1, 1))
    roots = Roots([str(root)], [str(root)])
    listing = Listing(
        roots,
        "",
        compile_rules((), ()),
        recursive=True,
        min_age_s=60,
        release=Release("archive", "done"),
        now=lambda: 1000.0,
    )
    found = {entry.path: entry.code for entry in listing.page(100).entries if entry.kind != "directory"}
    assert found == {"old": "", "young": "young", "future": "young", "d/e/f": ""}


def test_a_link_arrives_in_one_step(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    (bench.source / "l").symlink_to("a/\udcff b")
    os.utime(bench.source / "l", ns=(5, 7), follow_symlinks=False)
    opened = bench(
        "source_open", wire=9, path=str(bench.source), name="l", chunk_size=2**18, prefix=False, kind="symlink"
    )
    _, frame = bench.read(opened["handle"], 0, wire=9)
    (bench.target / "l").symlink_to("older")
    sink = bench.open_sink("l", opened["size"], 9, mtime_ns=opened["mtime_ns"], kind="symlink")
    bench.write_frame(sink["handle"], frame, 9)
    assert os.readlink(bench.target / "l") == "older"
    content = os.fsencode("a/\udcff b")
    for attempt in (1, 2):
        value = bench.commit(sink["handle"], content, 9, mtime_ns=7, attempt=attempt)
        assert (value["sha256"], value["delivered"]) == (sha(content), attempt == 2)
    assert os.readlink(bench.target / "l") == "a/\udcff b"
    assert os.stat(bench.target / "l", follow_symlinks=False).st_mtime_ns == 7
    assert bench.names() == ["l"]
    assert bench.open_sink("l", opened["size"], 10, mtime_ns=7, kind="symlink")["state"] == "equal"
    # Neither takes the other's place.
    (bench.target / "file").write_text("x")
    with fails("not_regular"):
        bench.open_sink("file", 5, 11, kind="symlink")
    with fails("not_regular"):
        bench.open_sink("l", 5, 12)
    bench.close()


def test_a_link_that_leads_out_is_not_made(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    sink = bench.open_sink("l", 5, kind="symlink")
    bench.write_all(sink["handle"], b"../..")
    with fails("refused_path"):
        bench.commit(sink["handle"], b"../..")
    assert not os.path.lexists(bench.target / "l")
    bench.close()
