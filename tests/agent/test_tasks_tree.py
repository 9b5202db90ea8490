from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from flux_agent.transfer import tree_tasks

from .files.tasks_bench import Bench, fails

RULES = {"include": [], "exclude": [], "recursive": True}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def page(
    bench: Bench, number: int = 0, request_id: int = 1, path: str = "", worker: int = 0, **changes: Any
) -> dict[str, Any]:
    args = {"page_size": 2, "rules": RULES, "destination": None} | changes
    return bench("list_page", worker=worker, request_id=request_id, path=path, page=number, **args)


def test_pages_come_in_order_and_may_be_asked_for_again(bench: Bench) -> None:
    for number in range(5):
        (bench.source / f"f{number}").write_bytes(b"x" * number)
    first = page(bench)
    assert set(first) == {"request_id", "page", "last", "base", "path_type", "entries", "errors"}
    assert set(first["entries"][0]) == {"path", "kind", "size", "mtime_ns", "mode", "code"}
    assert (first["base"], first["path_type"], first["page"], first["last"]) == (
        str(bench.source),
        "directory",
        0,
        False,
    )
    second = page(bench, 1)
    assert page(bench, 1) == second
    third = page(bench, 2)
    assert third["last"]
    entries = first["entries"] + second["entries"] + third["entries"]
    assert sorted((entry["path"], entry["size"]) for entry in entries) == [(f"f{n}", n) for n in range(5)]
    with fails("worker_died"):
        page(bench, 3)
    assert len(page(bench)["entries"]) == 2


def test_another_worker_does_not_know_it(bench: Bench) -> None:
    for number in range(5):
        (bench.source / f"f{number}").touch()
    page(bench)
    with fails("worker_died"):
        page(bench, 1, worker=1)
    bench("list_cancel", request_id=1)
    with fails("worker_died"):
        page(bench, 1)
    bench("list_cancel", request_id=77)


def test_listings_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_tasks, "LISTINGS_MAX", 4)
    for number in range(5):
        (bench.source / f"f{number}").touch()
    for request_id in range(1, 20):
        page(bench, request_id=request_id)
    assert 4 <= opened_below(bench.source) <= 2 * 4
    with fails("worker_died"):
        page(bench, 1, request_id=1)
    assert page(bench, 1, request_id=19)["entries"]
    for request_id in range(1, 20):
        bench("list_cancel", request_id=request_id)
    assert opened_below(bench.source) == 0


def opened_below(folder: Path) -> int:
    """Descriptors of this process; it may close others at any moment."""
    found = 0
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found += Path(os.readlink(f"/proc/self/fd/{descriptor}")).is_relative_to(folder)
    return found


@pytest.mark.parametrize(
    ("path", "rules", "code"),
    [
        ("missing", RULES, "not_found"),
        ("/etc", RULES, "outside_roots"),
        ("../x", RULES, "refused_path"),
        ("own", RULES, "refused_path"),
        ("[", RULES, "config"),
        ("", RULES | {"include": ["["]}, "config"),
    ],
)
def test_what_cannot_be_listed(bench: Bench, path: str, rules: dict[str, Any], code: str) -> None:
    value = page(bench, path=path, rules=rules)
    assert (value["last"], value["entries"], value["page"]) == (True, [], 0)
    assert [(error["path"], error["code"]) for error in value["errors"]] == [("", code)]


def test_names_that_are_no_text_pass(bench: Bench) -> None:
    Path(os.fsdecode(os.fsencode(bench.source) + b"/\xff")).touch()
    assert page(bench)["entries"][0]["path"] == "\udcff"
    assert bench.open_source("\udcff")["size"] == 0
    assert bench.deliver("\udcff", b"x")["final_path"] == f"{bench.target}/\udcff"
    assert os.listdir(os.fsencode(bench.target)) == [b"\xff"]


def test_directories_get_their_times_last(bench: Bench) -> None:
    def item(path: str, mode: int | None, mtime_ns: int | None) -> dict[str, Any]:
        return {"path": path, "mode": mode, "mtime_ns": mtime_ns}

    (bench.target / "a").mkdir()
    items = [
        item("a/b/c", 0o700, 3_000_000_001),
        item("a/b", 0o2755, 2_000_000_001),
        item("a", 0o750, 1_000_000_001),
        item("z", None, None),
    ]
    assert bench("dir_apply", base=str(bench.target), items=items) == {"errors": []}
    for path, mode, mtime_ns in (
        ("a/b/c", 0o700, 3_000_000_001),
        ("a/b", 0o755, 2_000_000_001),
        ("a", 0o750, 1_000_000_001),
    ):
        status = (bench.target / path).stat()
        assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (mode, mtime_ns)
    assert (bench.target / "z").is_dir()
    # Again is no change, and a new one in it would show.
    assert bench("dir_apply", base=str(bench.target), items=items) == {"errors": []}


def test_directories_that_cannot_be_made(bench: Bench, tmp_path: Path) -> None:
    (bench.target / "file").touch()
    (bench.target / "link").symlink_to(tmp_path)
    names = ["file", "file/x", "link/x", "../x", "/etc/x", "good", ".ssh", "a//b"]
    items = [{"path": name, "mode": 0o755, "mtime_ns": 1} for name in names]
    errors = bench("dir_apply", base=str(bench.target), items=items)["errors"]
    assert {error["path"]: error["code"] for error in errors} == {
        "file": "not_regular",
        "file/x": "not_regular",
        "link/x": "refused_path",
        "../x": "refused_path",
        "/etc/x": "refused_path",
        ".ssh": "refused_path",
        "a//b": "refused_path",
    }
    assert bench.names() == ["file", "good", "link"]
    assert not (tmp_path / "x").exists()
    with fails("outside_roots"):
        bench("dir_apply", base="/etc", items=[])


def test_the_base_itself_is_made(bench: Bench) -> None:
    bench("dir_apply", base=f"{bench.target}/new/base", items=[{"path": "", "mode": 0o700, "mtime_ns": None}])
    assert stat.S_IMODE((bench.target / "new/base").stat().st_mode) == 0o700


def test_disk_usage(bench: Bench) -> None:
    roots = bench("disk_usage")["roots"]
    assert [(root["path"], root["read"], root["write"]) for root in roots] == [
        (str(bench.source), True, False),
        (str(bench.target), False, True),
    ]
    assert all(root["total"] >= root["free"] > 0 for root in roots)
