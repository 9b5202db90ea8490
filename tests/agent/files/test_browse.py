"""Browsing: pages in the order of names, by handles from the roots, with nothing kept in between."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from flux_agent.files import browse as browsing

from .tasks_bench import PART, Bench, fails


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def page(bench: Bench, path: str | Path = "", after: str | None = None, limit: int = 100) -> dict[str, Any]:
    return bench("browse", path=str(path), after=after, limit=limit)


def names(found: dict[str, Any]) -> list[str]:
    return [item["name"] for item in found["items"]]


def every_page(bench: Bench, path: Path, limit: int) -> Iterator[dict[str, Any]]:
    after = None
    while True:
        found = page(bench, path, after, limit)
        yield found
        after = found["following"]
        if after is None:
            return


def test_without_a_path_there_are_the_roots(bench: Bench) -> None:
    found = page(bench)
    assert (found["path"], found["parent"], found["following"]) == ("", None, None)
    assert [(item["name"], item["read"], item["write"]) for item in found["items"]] == [
        (str(bench.source), True, False),
        (str(bench.target), False, True),
    ]
    first = page(bench, limit=1)
    assert first["following"] == str(bench.source)
    assert names(page(bench, after=first["following"], limit=1)) == [str(bench.target)]


def test_pages_follow_one_another_by_name(bench: Bench) -> None:
    folder = bench.source / "sub"
    folder.mkdir()
    for name in ("b", "a", "ä", "c", "B", ".hidden", "with\nline"):
        (folder / name).write_bytes(b"12345")
    pages = list(every_page(bench, folder, 3))
    assert [name for found in pages for name in names(found)] == sorted(os.listdir(folder))
    assert {found["parent"] for found in pages} == {str(bench.source)}
    item = pages[0]["items"][0]
    assert (item["kind"], item["size"], item["read"], item["write"]) == ("file", 5, None, None)
    assert abs(item["mtime_ns"] / 1e9 - time.time()) < 100


def test_names_come_and_go_between_pages(bench: Bench) -> None:
    for name in "abcdef":
        (bench.source / name).touch()
    first = page(bench, bench.source, limit=2)
    assert (names(first), first["following"]) == (["a", "b"], "b")
    (bench.source / "b").unlink()
    (bench.source / "c").unlink()
    (bench.source / "aa").touch()
    assert names(page(bench, bench.source, "b")) == ["d", "e", "f"]


def test_the_last_page_says_so_also_when_it_is_full(bench: Bench) -> None:
    for name in "abc":
        (bench.source / name).touch()
    assert page(bench, bench.source, limit=3)["following"] is None
    assert page(bench, bench.source, limit=2)["following"] == "b"
    assert page(bench, bench.source, "z")["items"] == []


def test_what_is_no_file_is_shown_and_not_followed(bench: Bench, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").touch()
    (bench.source / "link").symlink_to(outside)
    (bench.source / "dir").mkdir()
    os.mkfifo(bench.source / "pipe")
    assert [(i["name"], i["kind"]) for i in page(bench, bench.source)["items"]] == [
        ("dir", "directory"),
        ("link", "symlink"),
        ("pipe", "other"),
    ]
    with fails("refused_path"):
        page(bench, bench.source / "link")


def test_names_that_are_no_text_go_through(bench: Bench) -> None:
    for raw in (b"a\xff", b"a\xfe", b"\xe4\xf6"):
        (bench.source / os.fsdecode(raw)).touch()
    pages = list(every_page(bench, bench.source, 1))
    assert {os.fsencode(name) for found in pages for name in names(found)} == {b"a\xff", b"a\xfe", b"\xe4\xf6"}


def test_parts_and_the_agents_own_are_not_offered(bench: Bench) -> None:
    bench.own.mkdir()
    (bench.source / f".{PART}.fluxpart").touch()
    assert [(i["name"], i["kind"]) for i in page(bench, bench.source)["items"]] == [("own", "other")]
    with pytest.raises(Exception, match="belongs to the agent itself") as caught:
        page(bench, bench.own)
    assert caught.value.code == "refused_path"  # type: ignore[attr-defined]  # an error of this project


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/", "outside_roots"),
        ("/etc", "outside_roots"),
        ("{source}/..", "refused_path"),
        ("{source}/../target", "refused_path"),
        ("{source}x", "outside_roots"),
        ("{source}/missing", "not_found"),
        ("{source}/file", "not_regular"),
        ("{source}/file/below", "not_regular"),
        ("{source}/a\0b", "refused_path"),
        ("{target}/.ssh", "refused_path"),
    ],
)
def test_paths_that_are_refused(bench: Bench, path: str, code: str) -> None:
    (bench.source / "file").touch()
    with fails(code):
        page(bench, path.format(source=bench.source, target=bench.target))


def test_a_root_that_is_only_written_is_shown_too(bench: Bench) -> None:
    (bench.target / "x").touch()
    found = page(bench, bench.target)
    assert (names(found), found["parent"]) == (["x"], "")


def test_above_a_root_inside_another_root_is_that_root(tmp_path: Path) -> None:
    inner = tmp_path / "source" / "in"
    bench = Bench(tmp_path)
    inner.mkdir()
    try:
        from flux_agent.files.roots import Roots

        roots = Roots([str(inner), str(bench.source)], [])
        assert browsing.browse(roots, str(inner), None, 10).parent == str(bench.source)
        assert browsing.browse(roots, str(bench.source), None, 10).parent == ""
    finally:
        bench.close()


def test_long_names_end_a_page_early(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browsing, "PAGE_BYTES", 1000)
    for number in range(20):
        (bench.source / f"{number:02}{'x' * 200}").touch()
    pages = list(every_page(bench, bench.source, 100))
    assert len(pages) > 4
    assert [name[:2] for found in pages for name in names(found)] == [f"{number:02}" for number in range(20)]


def test_more_names_than_anybody_reads_are_an_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browsing, "NAMES_MAX", 3)
    for name in "abcd":
        (bench.source / name).touch()
    with fails("too_large"):
        page(bench, bench.source)


@pytest.mark.parametrize("count", [5_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_a_large_directory_costs_neither_time_nor_memory(bench: Bench, count: int) -> None:
    for number in range(count):
        os.close(os.open(bench.source / f"file-{number:06}", os.O_CREAT | os.O_WRONLY))
    page(bench, bench.source)
    before = psutil.Process().memory_info().rss
    slowest = 0.0
    for after in (None, "file-", f"file-{count // 2:06}", f"file-{count - 2:06}"):
        begun = time.process_time()
        found = page(bench, bench.source, after, 200)
        slowest = max(slowest, time.process_time() - begun)
        assert len(found["items"]) == (1 if after is not None and after.endswith(f"{count - 2:06}") else 200)
    assert slowest < 0.3
    assert psutil.Process().memory_info().rss - before < 4 * 2**20
