from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from fileflux.jobs.explain import FileFacts, Noted, RunFacts, below_base, directories_above, explain, outside
from fileflux.jobs.models import JobSpec

pytestmark = pytest.mark.unit

WHEN = datetime(2026, 1, 31, 6, tzinfo=UTC)
SPEC = JobSpec("nightly", 1, "/srv/data", 2, "/backup", exclude=("*.tmp", "build/"))
RUN = RunFacts(SPEC, "succeeded", "", "/srv/data", listed=True, listed_at=WHEN)
SENT = FileFacts("completed", "", "", size=10, bytes_wire=7, file_hash="ab", final_path="/backup/a/b.csv")


@pytest.mark.parametrize(
    ("text", "base", "expected"),
    [
        ("a/b", "/srv/data", "a/b"),
        ("./a//b/", "/srv/data", "a/b"),
        ("/srv/data/a/b", "/srv/data/", "a/b"),
        ("/srv/data", "/srv/data", ""),
        ("/srv/data2/a", "/srv/data", None),
        ("/a/b", "/", "a/b"),
        ("c:\\DATA\\a\\b", "C:\\data", "a/b"),
        ("a\\b", "C:\\data", "a/b"),
        ("a\\b", "/srv", "a\\b"),
        ("C:\\other", "C:\\data", None),
    ],
)
def test_paths_are_taken_below_the_source(text: str, base: str, expected: str | None) -> None:
    assert below_base(text, base) == expected


ROWS: list[tuple[str, dict[str, Any], dict[str, Any], str, str]] = [
    ("a/b.csv", {}, {}, "sent", "sent and verified"),
    ("a/b.csv", {"bytes_wire": 0}, {}, "sent", ""),
    ("a/b.csv", {"final_path": "/backup/a/b (1).csv"}, {"conflict": "rename"}, "renamed", "conflict is rename"),
    ("a/b:.csv", {"final_path": "D:\\in\\a\\b%3A.csv"}, {"names": "encode", "system": "windows"}, "renamed", "names is encode"),
    ("a/b.csv", {"status": "skipped", "reason": "younger than 60 s"}, {}, "skipped", "younger than 60 s"),
    ("a/b.csv", {"status": "failed", "code": "refused_path", "reason": "leads out"}, {}, "refused", "leads out"),
    ("a/b.csv", {"status": "failed", "code": "no_space"}, {}, "failed", "no_space"),
    ("a/b.csv", {"status": "cancelled", "reason": "by ann"}, {}, "cancelled", "by ann"),
    ("a/b.csv", {"status": "waiting", "reason": "agent away"}, {}, "waiting", "agent away"),
    ("a/b.csv", {"status": "verifying"}, {}, "moving", "verifying"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "row", "run", "verdict", "words"), ROWS)
def test_the_row_decides(path: str, row: dict[str, Any], run: dict[str, Any], verdict: str, words: str) -> None:
    spec = replace(SPEC, **{name: value for name, value in run.items() if name != "system"})
    found = explain(path, replace(RUN, spec=spec, system=run.get("system", "posix")), Noted(replace(SENT, **row)))
    assert (found.path, found.verdict) == (path, verdict)
    assert words in found.summary
    assert found.summary.startswith(path)
    assert found.steps[0].what == "row"


def test_what_more_the_row_has() -> None:
    moved = replace(RUN, spec=replace(SPEC, on_success="delete"))
    row = replace(SENT, retries=2, release="failed", reason="read-only", bytes_reused=3)
    steps = {step.what: step for step in explain("a/b.csv", moved, Noted(row)).steps}
    assert steps["hash"].detail == "SHA-256 ab"
    assert "3 tries" in steps["retries"].detail
    assert (steps["source file"].outcome, steps["source file"].detail) == ("no", "not deleted: read-only")
    assert steps["bytes"].detail == "7 bytes over the wire, 3 were at the destination already"


@pytest.mark.parametrize(
    ("path", "run", "verdict", "words"),
    [
        ("a/x.tmp", {}, "left_out", "the exclude pattern *.tmp matches a/x.tmp"),
        ("a/build/x", {}, "left_out", "the exclude pattern build/ matches a/build"),
        ("a/x", {}, "not_there", "had no a/x when it was listed at 2026-01-31T06:00:00+00:00"),
        ("a/x", {"base": None, "listed": False, "reason": "source is offline"}, "unknown", "source is offline"),
        ("a/x", {"listed": False}, "unknown", "not come to its end"),
        ("a/x", {"errors": 1, "troubles": ("a: Permission denied",)}, "unknown", "a: Permission denied"),
        ("a/x", {"errors": 1, "troubles": ("ab: Permission denied",)}, "not_there", "had no a/x"),
        ("a\udce9/x", {"errors": 1, "troubles": ("a\\xe9: Permission denied",)}, "unknown", "Permission denied"),
        ("a/x", {"errors": 99}, "unknown", "99 errors"),
        ("a/x", {"rows_of": 7}, "left_out", "not among what failed in run 7"),
        ("x", {"path_type": "file"}, "left_out", "a single file"),
    ],
)
def test_without_a_row(path: str, run: dict[str, Any], verdict: str, words: str) -> None:
    found = explain(path, replace(RUN, **run), Noted())
    assert (found.verdict, words in found.summary) == (verdict, True), found


def test_directories_extras_and_what_lies_elsewhere() -> None:
    assert explain("a", RUN, Noted(directory=True)).verdict == "directory"
    deleted = FileFacts("deleted", "", "", size=3)
    assert explain("a", RUN, Noted(removed=deleted)).verdict == "deleted"
    assert explain("a", RUN, Noted(removed=replace(deleted, status="kept", reason="busy"))).verdict == "failed"
    assert explain("a", RUN, Noted(removed=replace(deleted, status="due"))).verdict == "waiting"
    assert outside("/etc/passwd", RUN).verdict == "outside"
    assert directories_above("a/b/c") == ["a", "a/b"]
    seen = explain("a/b/c", RUN, Noted(above=frozenset({"a"})))
    assert seen.steps[-1].detail.startswith("a was listed")


def test_names_that_are_no_text_are_shown_as_escapes() -> None:
    found = explain("caf\udce9.tmp", RUN, Noted())
    assert found.path == "caf\\xe9.tmp"
    assert all("\udce9" not in text for text in (found.summary, *(step.detail for step in found.steps)))
