"""Names that are one at the destination: the first holds the place."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fileflux.jobs.collisions import Claim, by_name, claims_of, clash
from fileflux.protocol.systems import System

pytestmark = pytest.mark.unit


class Names:
    """The rows of one run."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._held: dict[bytes, Claim] = {}

    def page(self, files: Sequence[str], directories: Sequence[str] = ()) -> dict[str, str]:
        """Why which files must not be moved."""
        claims = claims_of(files, directories, self._system)
        for claim in claims:
            self._held.setdefault(claim.key, claim)
        keys = by_name(claims)
        return {file: reason for file in files if (reason := clash(file, keys, self._held)) is not None}


def test_the_first_name_holds_the_place_in_any_page() -> None:
    names = Names("windows")
    assert names.page(["A.txt", "a.TXT", "b"]) == {"a.TXT": "a.TXT would be the same file as A.txt at the destination"}
    assert set(names.page(["a.txt", "B", "c"])) == {"a.txt", "B"}
    assert names.page(["A.txt", "b"]) == {}, "a page that is stored again changes nothing"


@pytest.mark.parametrize(
    ("first", "second", "lost"),
    [
        (["a"], ["A/b"], {"A/b"}),
        (["A/b"], ["a"], {"a"}),
        (["A/b"], ["a/B"], {"a/B"}),
        (["A/b"], ["a/c"], set()),
        (["x/y/z"], ["X/y"], {"X/y"}),
    ],
)
def test_files_and_directories(first: list[str], second: list[str], lost: set[str]) -> None:
    names = Names("macos")
    assert names.page(first) == {}
    assert set(names.page(second)) == lost


def test_an_empty_directory_holds_its_place_too() -> None:
    names = Names("windows")
    names.page([], ["Empty/deep"])
    assert set(names.page(["empty", "EMPTY/deep", "empty/other"])) == {"empty", "EMPTY/deep"}


def test_forms_of_a_character() -> None:
    assert set(Names("macos").page(["é", "e\u0301"])) == {"e\u0301"}
    assert Names("windows").page(["é", "e\u0301"]) == {}
    assert Names("windows").page(["\udcff", "\udcfe"]) == {}
