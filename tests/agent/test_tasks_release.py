"""Deleting and archiving what has arrived: only the very file that was sent, and as often as it is asked."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flux_agent.transfer.tasks import agent_tasks
from tests.agent.files.mounts import mounted

Task = Callable[[dict[str, Any]], dict[str, Any]]


class Source:
    """An agent that may read and write one folder, and read another."""

    def __init__(self, folder: Path) -> None:
        self.data, self.fixed = folder / "data", folder / "fixed"
        for path in (self.data, self.fixed):
            path.mkdir()
        init = {"read": [str(self.data), str(self.fixed)], "write": [str(self.data)]}
        self.tasks = agent_tasks(init, None)

    def opened(self, name: str, base: Path | None = None, **more: Any) -> dict[str, Any]:
        """A file that was sent, as a release names it."""
        args = {"wire": 1, "path": str(base or self.data), "name": name, "chunk_size": 2**18, **more}
        value = self.tasks["source_open"](args)
        self.tasks["source_close"]({"wire": 1})
        return {"name": name, "identity": value["identity"]}

    def release(
        self,
        *items: dict[str, Any],
        on_success: str = "delete",
        archive: str = "",
        again: bool = False,
        base: Path | None = None,
    ) -> list[str]:
        args = {
            "path": str(base or self.data),
            "archive": archive,
            "again": again,
            "items": [item | {"on_success": on_success} for item in items],
        }
        answers = self.tasks["release"](args)["answers"]
        assert all(bool(answer["message"]) is (answer["code"] != "ok") for answer in answers)
        return [answer["code"] for answer in answers]

    def write(self, name: str, text: str = "x") -> Path:
        path = self.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def names(self) -> list[str]:
        return sorted(str(path.relative_to(self.data)) for path in self.data.rglob("*") if not path.is_dir())


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tmp_path)


def test_deleted_and_again(source: Source) -> None:
    for name in ("a", "d/b", "d/c", "kept"):
        source.write(name)
    sent = [source.opened(name) for name in ("a", "d/b", "d/c")]
    assert source.release(*sent) == ["ok"] * 3
    assert source.names() == ["kept"]
    assert source.release(*sent) == ["ok"] * 3, "gone is done"
    (source.data / "d").rmdir()
    assert source.release(*sent, again=True) == ["ok"] * 3


@pytest.mark.parametrize("how", ["written", "replaced", "touched", "mode", "link"])
@pytest.mark.parametrize("on_success", ["delete", "archive"])
def test_what_is_not_the_file_that_was_sent_stays(source: Source, how: str, on_success: str) -> None:
    path = source.write("a", "old")
    sent = source.opened("a")
    match how:
        case "written":
            path.write_text("new")
        case "replaced":
            source.write("b", "old").replace(path)
        case "touched":
            os.utime(path, ns=(1, 1))
        case "mode":
            path.chmod(0o600)
        case _:
            path.unlink()
            path.symlink_to("b")
    assert source.release(sent, on_success=on_success) == ["refused_path" if how == "link" else "source_changed"]
    assert source.names() == ["a"]


def test_a_new_file_of_the_same_name_is_left_to_the_next_run(source: Source) -> None:
    path = source.write("a")
    sent = source.opened("a")
    held = path.open()  # so that its inode is not used again
    path.unlink()
    source.write("a", "new")
    assert source.release(sent, again=True) == ["ok"]
    held.close()
    assert path.read_text() == "new"


def test_archived_beside_what_is_there(source: Source) -> None:
    source.write("d/a.txt", "new")
    source.write(".fileflux-archive/d/a.txt", "old")
    sent = source.opened("d/a.txt")
    assert source.release(sent, on_success="archive") == ["ok"]
    assert source.names() == [".fileflux-archive/d/a (1).txt", ".fileflux-archive/d/a.txt"]
    assert source.release(sent, on_success="archive", again=True) == ["ok"], "it is found in the archive"
    os.unlink(source.data / ".fileflux-archive/d/a (1).txt")
    assert source.release(sent, on_success="archive", again=True) == ["not_found"]


def test_archives_of_all_kinds(source: Source, tmp_path: Path) -> None:
    for archive, there in (("done", "in/done/a"), (str(source.data / "else"), "else/a"), ("x/y", "in/x/y/a")):
        source.write("in/a")
        sent = source.opened("a", source.data / "in")
        assert source.release(sent, on_success="archive", archive=archive, base=source.data / "in") == ["ok"]
        assert there in source.names()
    source.write("in/a")
    sent = source.opened("a", source.data / "in")
    base = source.data / "in"
    assert source.release(sent, on_success="archive", archive="../up", base=base) == ["refused_path"]
    assert source.release(sent, on_success="archive", archive=str(tmp_path / "other"), base=base) == ["outside_roots"]
    assert "in/a" in source.names()


def test_only_below_write_roots(source: Source) -> None:
    (source.fixed / "a").write_text("x")
    sent = source.opened("a", source.fixed)
    args = {"path": str(source.fixed), "archive": "", "again": False, "items": [sent | {"on_success": "delete"}]}
    (answer,) = source.tasks["release"](args)["answers"]
    assert answer["code"] == "outside_roots"
    assert "write roots, which on_success: delete needs" in answer["message"]
    listed = source.tasks["list_page"](
        {
            "request_id": 1, "path": str(source.fixed), "page": 0, "page_size": 10, "destination": None, "on_success": "archive",
            "archive": "", "rules": {"include": [], "exclude": [], "recursive": True},
        }
    )  # fmt: skip
    assert [error["code"] for error in listed["errors"]] == ["outside_roots"]


def test_names_that_lead_out_are_refused(source: Source) -> None:
    assert source.release({"name": "../fixed/a", "identity": ""}) == ["refused_path"]
    (source.data / "link").symlink_to(source.fixed)
    (source.fixed / "a").write_text("x")
    assert source.release({"name": "link/a", "identity": ""}) == ["refused_path"]
    assert (source.fixed / "a").exists()


def test_a_link_that_was_moved_as_one_is_deleted_as_one(source: Source) -> None:
    source.write("a")
    (source.data / "link").symlink_to("a")
    sent = source.opened("link", kind="symlink")
    assert source.release(sent) == ["ok"]
    assert source.names() == ["a"]
    (source.data / "link").symlink_to("a")
    followed = source.opened("link", follow=True)
    assert source.release(followed) == ["refused_path"], "neither the link nor what it leads to"
    assert source.names() == ["a", "link"]


def test_an_archive_on_another_file_system(source: Source) -> None:
    source.write("a")
    sent = source.opened("a")
    (source.data / "tmpfs").mkdir()
    with mounted("-t", "tmpfs", "none", on=source.data / "tmpfs"):
        args = {
            "path": str(source.data),
            "archive": "tmpfs",
            "again": False,
            "items": [sent | {"on_success": "archive"}],
        }
        (answer,) = source.tasks["release"](args)["answers"]
        assert "another file system" in answer["message"]
        assert os.listdir(source.data / "tmpfs") == []
    assert source.names() == ["a"]
