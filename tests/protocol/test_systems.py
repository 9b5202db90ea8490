"""Which names a system can hold, how others are encoded, and which are one there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileflux.errors import RefusedPathError
from fileflux.protocol.names import check_portable, check_relative
from fileflux.protocol.systems import System, check_name, decode, destination_name, encode, fold, system_of

pytestmark = pytest.mark.unit

RAW = st.binary(min_size=1, max_size=60).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
ODD = st.text("aB%2Fé.: ~1/?*\\\udcff\x01", min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("os_name", "system"),
    [
        ("Windows 11", "windows"),
        ("Darwin 24.1.0", "macos"),
        ("Linux 6.1", "posix"),
        ("FreeBSD 14", "posix"),
        ("", "posix"),
    ],
)
def test_system_of(os_name: str, system: System) -> None:
    assert system_of(os_name) == system


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("plain/é.txt", "plain/é.txt"),
        ("d/a:b", "d/a%3Ab"),
        ('<>"|?*', "%3C%3E%22%7C%3F%2A"),
        ("a\\b", "a%5Cb"),
        ("tab\t", "tab%09"),
        ("dot.", "dot%2E"),
        ("blank ", "blank%20"),
        ("...", "..%2E"),
        ("CON", "%43ON"),
        ("d/nul.tar.gz", "d/%6Eul.tar.gz"),
        ("COM¹", "%43OM¹"),
        ("PROGRA~1", "PROGRA%7E1"),
        ("b\udcff", "b%FF"),
        ("a%41", "a%2541"),
        ("100%", "100%"),
        ("%zz", "%zz"),
        ("%af", "%af"),
    ],
)
def test_encoded_for_windows(name: str, encoded: str) -> None:
    assert encode(name, "windows") == encoded
    assert decode(encoded) == name
    if encoded != name and "%" not in name:
        with pytest.raises(RefusedPathError):
            destination_name(name, "windows", "reject")
    else:
        assert destination_name(name, "windows", "reject") == name


@given(RAW | ODD, st.sampled_from(["posix", "windows", "macos"]))
def test_encoding_is_undone_and_holds(name: str, system: System) -> None:
    try:
        check_relative(name)
        encoded = encode(name, system)
    except RefusedPathError:
        return
    assert decode(encoded) == name
    check_name(encoded, system)
    if system == "windows":
        check_portable(encoded)


def test_what_no_encoding_helps() -> None:
    long = "é" * 120 + ":" * 10
    with pytest.raises(RefusedPathError, match="more than 255"):
        encode(long, "windows")
    assert encode(long, "posix") == long
    with pytest.raises(RefusedPathError, match="UTF-8"):
        destination_name("\udcff", "macos", "reject")
    assert destination_name("\udcff", "macos", "encode") == "%FF"
    assert destination_name("\udcff", "posix", "reject") == "\udcff"


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("a", "A", {"windows", "macos"}),
        ("é", "É", {"windows", "macos"}),
        ("é", "e\u0301", {"macos"}),
        ("ß", "SS", {"macos"}),
        ("\ufb01", "fi", {"macos"}),
        ("가", "\u1100\u1161", {"macos"}),
        ("a", "b", set()),
        ("a\u200d", "a", set()),
        ("\u202ea", "a", set()),
        ("İ", "i", set()),
    ],
)
def test_names_that_fall_together(one: str, other: str, together: set[str]) -> None:
    systems: tuple[System, ...] = ("posix", "windows", "macos")
    assert {system for system in systems if fold(one, system) == fold(other, system)} == together
