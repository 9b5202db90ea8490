from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileflux.jobs.filters import compile_rules
from fileflux.jobs.matching import choices_of, choose_paths
from fileflux.jobs.selection import Choice, Selection, glob_of, in_words

pytestmark = pytest.mark.unit

NAMES = st.sampled_from(["a", "b", "a.tmp", "c.csv"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
PATTERNS = st.lists(st.sampled_from(["a", "*.tmp", "/a", "a/", "b/**", "a/*", "{a,b}/c.csv", "**/b"]), max_size=3)


@given(PATTERNS, PATTERNS, PATHS, st.booleans())
def test_the_reason_agrees_with_the_walk(include: list[str], exclude: list[str], path: str, is_dir: bool) -> None:
    rules = compile_rules(include, exclude)
    parts = path.split("/")
    entered = all(rules.enters("/".join(parts[:depth])) for depth in range(1, len(parts)))
    assert rules.decide(path, is_dir).wanted == (entered and rules(path, is_dir))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("x/report.csv", Choice(True, "include", "*.{csv,txt}", "x/report.csv")),
        ("x/report.pdf", Choice(False, "no_include")),
        ("old/report.csv", Choice(False, "exclude", "/old/", "old")),
        ("x/.0123456789abcdef0123456789abcdef.fluxpart", Choice(False, "part_file", at="x/.0123456789abcdef0123456789abcdef.fluxpart")),
        (".fileflux-archive/report.csv", Choice(False, "archive", at=".fileflux-archive")),
    ],
)  # fmt: skip
def test_what_decided(path: str, expected: Choice) -> None:
    selection = Selection(["*.{csv,txt}"], ["/old/"])
    assert selection.choose(path) == expected
    assert in_words(expected)


def test_without_rules_and_not_recursive() -> None:
    assert Selection([], []).choose("a/b") == Choice(True, "nothing")
    flat = Selection([], [], recursive=False)
    assert flat.choose("b").wanted
    assert flat.choose("a/b/c") == Choice(False, "not_recursive", at="a")
    assert flat.choose("a", is_dir=True) == Choice(False, "not_recursive", at="a")


def test_the_glob_of_a_source_path() -> None:
    assert [glob_of(path) for path in ("/srv/*.csv", "/srv/data", r"C:\in\20??\x", "*/a")] == [
        "*.csv",
        "",
        "20??/x",
        "*/a",
    ]
    selection = Selection([], [], glob="20*/x")
    assert selection.choose("2024/x") == Choice(True, "nothing")
    # What is inside of a directory that matches comes with it.
    assert selection.choose("2024/x/deep/file").wanted
    assert selection.choose("2024/y") == Choice(False, "glob", "20*/x")
    assert selection.choose("1999/x") == Choice(False, "glob", "20*/x", "1999")
    assert not Selection([], [], recursive=False, glob="20*/x").choose("2024/x/deep/file").wanted


def test_many_paths_stop_when_the_time_is_up() -> None:
    args = {"include": ["*.csv"], "exclude": [], "recursive": True, "glob": "", "paths": [["a.csv", False], ["b", False], ["c.csv", False]]}  # fmt: skip
    assert [choice.wanted for choice in choices_of(choose_paths(args, lambda: 0.0))] == [True, False, True]
    times = iter([0.0, 1.0, 9.0])
    assert len(choose_paths(args, lambda: next(times))["choices"]) == 2
