from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileflux.errors import ConfigError
from fileflux.jobs.filters import MAX_ALTERNATIVES, MAX_RULES, compile_glob, compile_rules, is_glob

pytestmark = pytest.mark.unit

MATCHES = [
    ("*.txt", "a.txt", True),
    ("*.txt", "deep/er/a.txt", True),
    ("/*.txt", "deep/a.txt", False),
    ("/*.txt", "a.txt", True),
    ("a?c", "abc", True),
    ("a?c", "a/c", False),
    ("*", ".hidden", True),
    ("[a-c]x", "bx", True),
    ("[!a-c]x", "bx", False),
    ("[^a-c]x", "dx", True),
    ("[]a]x", "]x", True),
    ("[a\\]x", "\\x", True),
    ("a\\*b", "a*b", True),
    ("a\\*b", "axb", False),
    ("a\\{b", "a{b", True),
    ("dir/**", "dir", False),
    ("dir/**", "dir/a", True),
    ("dir/**", "x/dir/a/b", True),
    ("/dir/**", "x/dir/a", False),
    ("**/x", "x", True),
    ("**/x", "a/b/x", True),
    ("a/**/b", "a/b", True),
    ("a/**/b", "a/1/2/b", True),
    ("a/**/b/**/c", "a/b/x/b/c", True),
    ("a/**/b/**/c", "a/x/c/b", False),
    ("/a/*/c", "a/b/c", True),
    ("/a/*/c", "a/b/d/c", False),
    ("*.{jpg,png}", "a.png", True),
    ("*.{jpg,png}", "a.gif", False),
    ("{a,b{c,d}}.x", "bd.x", True),
    ("{,un}do", "do", True),
    ("a{b,c/d}e", "ac/de", True),
    ("x[{,}]y", "x{y", True),
    ("a*b*c", "aXbXbXc", True),
    ("a*bc*c", "abcc", True),
    ("a*bc*c", "abc", False),
    ("*a*", "bab", True),
    ("a,b", "a,b", True),
    ("a}", "a}", True),
    ("b\\", "b\\", True),
    ("é*", "élan", True),
    ("*\udcff", "a\udcff", True),
    ("a*z", "a\nz", True),
]


@pytest.mark.parametrize(("pattern", "path", "expected"), MATCHES)
def test_patterns(pattern: str, path: str, expected: bool) -> None:
    assert compile_rules([pattern], [])(path, False) is expected
    assert compile_rules([], [pattern])(path, False) is not expected


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "/",
        "//",
        "a\0",
        "[",
        "a[b",
        "[z-a]",
        "{a",
        "{a,{b}",
        "x" * 1025,
        "{a,b}" * 11,
        "*a" * 33,
        "{" * 20 + "}" * 20,
    ],
)
def test_refused_patterns(pattern: str) -> None:
    with pytest.raises(ConfigError) as refused:
        compile_rules([pattern], [])
    assert len(str(refused.value)) < 300


def test_bounds() -> None:
    with pytest.raises(ConfigError):
        compile_rules(["a"] * (MAX_RULES + 1), [])
    with pytest.raises(ConfigError):
        compile_rules([], ["{" + ",".join(f"x{n}" for n in range(200)) + "}"] * 4)
    with pytest.raises(ConfigError):
        compile_glob("{" + "," * MAX_ALTERNATIVES + "}")


BOMBS = [
    ("(a+)+$", "a" * 40),
    ("**/**/**/**/**/**/**/x", "/".join("y" * 400)),
    ("*a" * 32 + "b", "a" * 255),
    ("a*" * 32 + "b", "a" * 255),
    ("**/a/" * 100 + "b", "/".join("a" * 1000)),
    ("**/*a*/" * 100 + "b", "/".join(["aaa"] * 900)),
    ("?*" * 32, "a" * 255),
    ("{1..999999999}", "5"),
    ("[a-z]*" * 32 + "0", "a" * 255),
]


@pytest.mark.parametrize(("pattern", "path"), BOMBS)
def test_hostile_patterns_take_bounded_time(pattern: str, path: str) -> None:
    began = time.thread_time()
    compile_rules([pattern], [])(path, False)
    assert time.thread_time() - began < 1.0


def test_checking_many_rules_is_quick() -> None:
    began = time.thread_time()
    compile_rules([f"{'?' * 900}*{number}" for number in range(MAX_RULES)], ["[a-z]*" * 32] * MAX_RULES)
    assert time.thread_time() - began < 1.0


def test_exclude_wins_and_include_selects() -> None:
    rules = compile_rules(["*.csv", "/keep/"], ["secret*", "/tmp/"])
    assert rules("a/b.csv", False)
    assert not rules("a/b.txt", False)
    assert not rules("secret.csv", False)
    assert rules("keep/any.bin", False)
    assert rules("keep", True)
    assert not rules("keep", False)
    assert not rules.enters("tmp")
    assert rules.enters("a")
    assert not rules("a", True)


def test_directories_that_cannot_hold_anything_are_not_entered() -> None:
    rules = compile_rules(["/a/*/c.txt"], [])
    assert rules.enters("a")
    assert rules.enters("a/b")
    assert not rules.enters("a/b/c")
    assert not rules.enters("z")
    everything = compile_rules([], [])
    assert everything("x", False)
    assert everything.enters("x")


def test_glob_of_a_path() -> None:
    (glob,) = compile_glob("a*/x.txt")
    assert glob.matches(["ab", "x.txt"])
    assert not glob.matches(["c", "ab", "x.txt"])
    assert is_glob("a{b,c}")
    assert not is_glob("a(b)")


@given(st.text("ab/*?", min_size=1, max_size=10), st.text("ab/", min_size=1, max_size=12))
def test_agrees_with_a_plain_search(pattern: str, path: str) -> None:
    parts = [part for part in path.split("/") if part]
    names = [name for name in pattern.split("/") if name]
    if not parts or not names:
        return
    expected = _search(["**", *names], parts) if not pattern.startswith("/") else _search(names, parts)
    assert compile_rules([pattern.rstrip("/")], [])("/".join(parts), False) is expected


def _search(names: list[str], parts: list[str]) -> bool:
    if not names:
        return not parts
    if names[0] == "**":
        if len(names) == 1:
            return bool(parts)
        return any(_search(names[1:], parts[skip:]) for skip in range(len(parts) + 1))
    return bool(parts) and _fits(names[0], parts[0]) and _search(names[1:], parts[1:])


def _fits(name: str, part: str) -> bool:
    if not name:
        return not part
    if name[0] == "*":
        return any(_fits(name[1:], part[skip:]) for skip in range(len(part) + 1))
    return bool(part) and name[0] in ("?", part[0]) and _fits(name[1:], part[1:])
