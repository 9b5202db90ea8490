"""What a run would do with a file for which something stands at the destination."""

from __future__ import annotations

from typing import Any

import pytest

from fileflux.jobs.models import JobSpec
from fileflux.jobs.plan import Listings, Seen, estimate, judge, warnings

pytestmark = pytest.mark.unit

HERE = Seen("file", 5, 100)
OTHER = Seen("file", 6, 50)


def spec(**fields: Any) -> JobSpec:
    return JobSpec("job", 1, "/a", 2, "/b", **fields)


@pytest.mark.parametrize(
    ("fields", "here", "there", "expected"),
    [
        ({}, HERE, HERE, ("equal", "")),
        ({}, HERE, OTHER, ("changed", "")),
        ({"keep_versions": 3}, HERE, OTHER, ("changed", "kept as a version (keep_versions: 3)")),
        ({"conflict": "skip"}, HERE, OTHER, ("refused", "another file stands there (conflict: skip)")),
        ({"conflict": "fail"}, HERE, OTHER, ("refused", "another file stands there (conflict: fail)")),
        ({"conflict": "newer"}, HERE, OTHER, ("changed", "")),
        (
            {"conflict": "newer"},
            HERE,
            Seen("file", 6, 100),
            ("refused", "the file there is not older (conflict: newer)"),
        ),
        ({"conflict": "rename"}, HERE, OTHER, ("changed", "gets another name (conflict: rename)")),
        ({}, HERE, Seen("directory", 0, 1), ("refused", "a directory stands at its place")),
        ({}, HERE, Seen("other", 0, 1), ("refused", "no regular file stands at its place")),
        ({}, Seen("directory", 0, 1), Seen("directory", 0, 9), ("equal", "")),
        ({}, Seen("directory", 0, 1), HERE, ("refused", "a file stands at its place")),
        ({"symlinks": "copy"}, Seen("symlink", 3, 1), Seen("symlink", 3, 1), ("equal", "")),
        ({"symlinks": "copy"}, Seen("symlink", 3, 1), HERE, ("refused", "a file stands at its place")),
    ],
)
def test_a_verdict(fields: dict[str, Any], here: Seen, there: Seen, expected: tuple[str, str]) -> None:
    assert judge(spec(**fields), here, there) == expected


def sums(new: tuple[int, int] = (0, 0), equal: tuple[int, int] = (0, 0)) -> dict[str, list[int]]:
    none = [0, 0]
    return {"new": list(new), "changed": none, "equal": list(equal), "extra": none, "refused": none}


def test_time_goes_by_bytes_or_by_the_number_of_files() -> None:
    assert estimate(sums((1, 10**9)), 1e8, 1.0) == 10.0
    assert estimate(sums((1000, 1000), equal=(500, 10**12)), 1e8, 300.0) == 5.0, (
        "equal ones are looked at and not moved"
    )


def test_runs_that_moved_next_to_nothing_say_little_of_the_speed() -> None:
    assert estimate(sums((1, 10**9)), 10.0, 0.1) == 1000.0
    assert estimate(sums((1000, 0)), 10.0, 0.1) == 10.0


NOTHING = "nothing would be removed at the destination: "


@pytest.mark.parametrize(
    ("fields", "seen", "said"),
    [
        ({}, {}, []),
        ({}, {"free": 10}, []),
        ({}, {"free": 9}, ["the destination has 9 bytes free, and 10 are to be written"]),
        ({}, {"onto_file": True}, ["a file stands at the destination path, and a directory is to be moved there"]),
        ({}, {"onto_file": True, "is_directory": False}, []),
        ({"delete_extra": True}, {}, []),
        (
            {"delete_extra": True},
            {"source_errors": 1, "source_troubles": ["x: no"]},
            ["could not be listed at the source: x: no", f"{NOTHING}the source's listing had errors"],
        ),
        (
            {"delete_extra": True},
            {"destination_errors": 1, "destination_troubles": ["y: no"]},
            ["could not be listed at the destination: y: no", f"{NOTHING}the destination's listing had errors"],
        ),
        ({"delete_extra": True}, {"is_directory": False}, [f"{NOTHING}the source is not a directory"]),
    ],
)
def test_warnings(fields: dict[str, Any], seen: dict[str, Any], said: list[str]) -> None:
    assert warnings(spec(**fields), sums((1, 10)), Listings(**seen)) == said


def test_an_empty_source_names_that_are_one_and_many_errors_are_said() -> None:
    assert warnings(spec(delete_extra=True), sums(), Listings()) == [f"{NOTHING}the source is empty"]
    said = warnings(spec(delete_extra=True), sums((1, 1)), Listings(alike=True))
    assert said[-1] == f"{NOTHING}the destination takes different names for one"
    many = warnings(spec(), sums(), Listings(source_errors=3000, source_troubles=["x"] * 100))
    assert many[-1] == "2980 more paths could not be listed at the source"
