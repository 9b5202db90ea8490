"""When a file that arrived is ready: on a clock of the test's own."""

from __future__ import annotations

import math

from flux_agent.watch.candidates import Candidates, Ready, Sight


def sight(size=10, mtime=1, ctime=1, **rest):
    return Sight("file", size, mtime, ctime, 0o644, **rest)


def look(candidates, now, seen, asked=None):
    """Look at what is due; the files that are ready."""
    found = [
        candidates.looked(path, seen.get(path), now if asked is None else asked, now)
        for path in candidates.due(now, 100)
    ]
    return [one.path for one in found if one is not None]


def test_two_looks_of_one_version_a_settling_time_apart_make_a_file_ready() -> None:
    candidates = Candidates(5.0)
    candidates.scanned("a", 10, 1, now=0.0)
    assert candidates.next_due() == 5.0
    assert look(candidates, 4.9, {"a": sight()}) == []
    assert candidates.due(5.0, 10) == ["a"]
    assert candidates.looked("a", sight(), 5.0, 5.1) == Ready("a", "file", 10, 1, 0o644)
    assert (len(candidates), candidates.next_due()) == (0, math.inf)


def test_every_change_begins_the_settling_anew() -> None:
    candidates = Candidates(5.0)
    candidates.noticed("a", 0.0, appeared=True)
    for now, size, mtime in ((0.0, 10, 1), (5.0, 20, 2), (10.0, 20, 3)):
        assert look(candidates, now, {"a": sight(size, mtime, mtime)}) == []
    assert look(candidates, 14.9, {"a": sight(20, 3, 3)}) == []
    assert look(candidates, 15.0, {"a": sight(20, 3, 3)}) == ["a"]


def test_a_look_that_took_long_counts_from_its_end_at_first_and_from_its_beginning_at_last() -> None:
    candidates = Candidates(5.0)
    candidates.noticed("a", 0.0, appeared=False)
    assert look(candidates, 4.0, {"a": sight()}, asked=0.0) == []
    assert candidates.due(8.9, 1) == []
    assert candidates.due(9.5, 1) == ["a"]
    assert candidates.looked("a", sight(), 8.0, 9.5) is None
    assert look(candidates, 12.0, {"a": sight()}) == ["a"]


def test_what_was_renamed_into_place_is_ready_at_the_second_look() -> None:
    candidates = Candidates(60.0)
    candidates.noticed("a", 0.0, appeared=True)
    assert look(candidates, 0.0, {"a": sight(mtime=1, ctime=2)}) == []
    assert look(candidates, 1.0, {"a": sight(mtime=1, ctime=2)}) == ["a"]


def test_what_is_written_under_its_own_name_is_no_rename() -> None:
    candidates = Candidates(60.0)
    candidates.noticed("a", 0.0, appeared=True)
    # Its last change was one of its content.
    for now in (0.0, 1.5, 59.0):
        assert look(candidates, now, {"a": sight(mtime=1, ctime=1)}) == []
    assert look(candidates, 60.0, {"a": sight(mtime=1, ctime=1)}) == ["a"]
    # An event of a write takes the haste out of a file that looked renamed.
    candidates = Candidates(60.0)
    candidates.noticed("b", 0.0, appeared=True)
    look(candidates, 0.0, {"b": sight(mtime=1, ctime=2)})
    candidates.noticed("b", 0.5, appeared=False)
    assert look(candidates, 2.0, {"b": sight(mtime=1, ctime=2)}) == []
    assert look(candidates, 60.5, {"b": sight(mtime=1, ctime=2)}) == ["b"]


def test_an_empty_file_may_be_the_beginning_of_one() -> None:
    candidates = Candidates(60.0)
    candidates.noticed("a", 0.0, appeared=True)
    look(candidates, 0.0, {"a": sight(size=0, mtime=1, ctime=2)})
    assert look(candidates, 1.0, {"a": sight(size=0, mtime=1, ctime=2)}) == []


def test_with_a_marker_a_file_waits_for_it_and_the_marker_never_comes() -> None:
    candidates = Candidates(5.0, ".done", marker_s=30.0)
    candidates.scanned("a", 10, 1, now=0.0)
    candidates.scanned("b.done", 0, 1, now=0.0)
    assert len(candidates) == 1
    assert look(candidates, 5.0, {"a": sight(marked=False)}) == []
    assert look(candidates, 34.0, {"a": sight()}) == []
    candidates.noticed("a.done", 34.0, appeared=True)
    assert look(candidates, 34.0, {"a": sight()}) == ["a"]
    candidates.noticed("c.done", 40.0, appeared=True)
    assert candidates.due(40.0, 10) == ["c"]


def test_a_young_file_is_looked_at_when_it_is_old_enough() -> None:
    candidates = Candidates(0.0)
    candidates.scanned("a", 10, 1, now=0.0)
    assert look(candidates, 0.0, {"a": sight(young_s=90.0)}) == []
    assert candidates.next_due() == 90.0
    assert look(candidates, 90.0, {"a": sight()}) == ["a"]


def test_a_version_is_offered_once_and_another_one_again() -> None:
    candidates = Candidates(0.0)
    candidates.scanned("a", 10, 1, now=0.0)
    assert look(candidates, 0.0, {"a": sight()}) == ["a"]
    candidates.scanned("a", 10, 1, now=1.0)
    candidates.noticed("a", 1.0, appeared=False)
    assert look(candidates, 1.0, {"a": sight()}) == []
    assert len(candidates) == 0
    candidates.scanned("a", 10, 2, now=2.0)
    assert look(candidates, 2.0, {"a": sight(mtime=2)}) == ["a"]
    candidates.offer_again()
    candidates.scanned("a", 10, 2, now=3.0)
    assert look(candidates, 3.0, {"a": sight(mtime=2)}) == ["a"]


def test_what_is_gone_is_forgotten_and_what_could_not_be_looked_at_is_not() -> None:
    candidates = Candidates(1.0)
    candidates.scanned("a", 10, 1, now=0.0)
    assert candidates.due(1.0, 10) == ["a"]
    candidates.unseen(["a"], 1.0)
    assert candidates.next_due() == 2.0
    assert look(candidates, 2.0, {}) == []
    assert len(candidates) == 0


def test_more_candidates_than_fit_are_said_to_be_missing() -> None:
    candidates = Candidates(1.0, limit=4, offered_limit=2)
    for number in range(6):
        candidates.scanned(str(number), 10, 1, now=0.0)
    assert (len(candidates), candidates.overflowed, candidates.has_room) == (4, True, False)
    assert len(look(candidates, 1.0, {str(number): sight() for number in range(6)})) == 4
    assert candidates.has_room
    # Of the offered ones the latest are remembered.
    candidates.scanned("3", 10, 1, now=2.0)
    assert len(candidates) == 0
    candidates.scanned("0", 10, 1, now=2.0)
    assert len(candidates) == 1


def test_a_file_that_changes_for_ever_does_not_grow_the_queue() -> None:
    candidates = Candidates(1000.0)
    for number in range(5000):
        candidates.scanned("a", 10, number, now=float(number) / 100)
    assert len(candidates._queue) <= 1002  # noqa: SLF001  # its bound is what is tested
