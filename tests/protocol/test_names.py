from __future__ import annotations

import ntpath
import os
import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileflux.errors import RefusedPathError
from fileflux.protocol.names import check_portable, check_relative

pytestmark = pytest.mark.unit

NOT_CANONICAL = ["../x", "a/../../x", "a/..", "..", ".", "", "/", "//x", "a//b", "./a", "a/./b", "a/"]
WINDOWS_TRICKS = [
    "..\\x",
    "a\\..\\..\\x",
    "a/..\\../x",
    "\\\\srv\\share\\x",
    "\\\\?\\C:\\x",
    "\\??\\C:\\x",
    "C:x",
    "C:/x",
    "c:\\x",
    "\\x",
    "a/b\\..",
]
NUL = ["a\0.txt", "a\0", "\0", "a/\0/b"]
ABSOLUTE = ["/etc/passwd", "/"]
TOO_LONG = ["a" * 256, "é" * 128, "x/" + "b" * 256, "/".join(["a" * 200] * 21), "\udcff" * 256]
NO_TEXT = ["\ud800", "a/\ud83d.txt"]
LITERAL = [
    "~",
    "~root/x",
    "$HOME/x",
    "%USERPROFILE%",
    "-rf",
    "--",
    "*",
    "?",
    "[a",
    ";id",
    "`id`",
    "$(id)",
    "a\nb",
    "a\r\nb",
    "a\tb",
    "\x1b[2J",
    '"><img src=x onerror=1>',
    "{{7*7}}",
    "=cmd|' /C calc'!A0",
    "...",
    "a..b",
    "..a",
    "a\\b",
    "a\\",
    " ",
    "\udcff\udcfe",
    "é" * 127,
    "CON",
    "1:30.txt",
    "x/a:b:c",
]
NOT_PORTABLE = [
    *["CON", "nul.txt", "COM1", "COM¹", "LPT9.log", "CONIN$", "aux.tar.gz", " con", "con ", "dir/PRN", "CON .txt"],
    *["a.txt:stream", "a.txt::$DATA", "dir:$I30:$INDEX_ALLOCATION", "x/a:b"],
    *["a.", "a ", "a...", "dir./x", "a\\b", "a\x01b", "a?b", "a*", "<a>", "a|b", 'a"b'],
]
PORTABLE = [
    "a.txt",
    "dir/b.tar.gz",
    "console",
    "com",
    "com10",
    "lpt",
    "nulls.txt",
    ".hidden",
    "a b",
    "é.txt",
    "auxiliary/x",
]


@pytest.mark.parametrize("name", NOT_CANONICAL + WINDOWS_TRICKS + NUL + ABSOLUTE + TOO_LONG + NO_TEXT)
def test_refused_on_every_system(name: str) -> None:
    for check in (check_relative, check_portable):
        with pytest.raises(RefusedPathError) as refused:
            check(name)
        assert refused.value.code == "refused_path"
        assert "\n" not in str(refused.value)
        assert len(str(refused.value)) < 1000


@pytest.mark.parametrize("name", LITERAL)
def test_plain_data(name: str) -> None:
    assert "/".join(check_relative(name)) == name


@pytest.mark.parametrize("name", NOT_PORTABLE)
def test_not_portable(name: str) -> None:
    with pytest.raises(RefusedPathError):
        check_portable(name)


@pytest.mark.parametrize("name", PORTABLE)
def test_portable(name: str) -> None:
    assert "/".join(check_portable(name)) == name


def test_components_and_bounds() -> None:
    assert check_relative("a/b/c.txt") == ("a", "b", "c.txt")
    assert check_relative("a" * 255) == ("a" * 255,)
    longest = "/".join(["a" * 127] * 32)
    assert len(longest) == 4095
    assert len(check_relative(longest)) == 32


@given(st.text(alphabet=st.sampled_from(["a", ".", "/", "\\", ":", "C", "~", " ", "\0"]), max_size=12))
def test_whatever_is_accepted_stays_below(name: str) -> None:
    try:
        components = check_relative(name)
    except RefusedPathError:
        return
    assert "/".join(components) == name
    joined = posixpath.normpath(posixpath.join("/base", name))
    assert joined.startswith("/base/")
    on_windows = ntpath.normpath(ntpath.join("D:\\base", name))
    assert on_windows.startswith("D:\\base") or not _is_portable(name)


def _is_portable(name: str) -> bool:
    try:
        check_portable(name)
    except RefusedPathError:
        return False
    return True


@given(st.binary(min_size=1, max_size=300))
def test_any_bytes_are_accepted_or_refused(raw: bytes) -> None:
    name = os.fsdecode(raw)
    try:
        components = check_relative(name)
    except RefusedPathError:
        return
    assert os.fsencode("/".join(components)) == raw
