from __future__ import annotations

import threading

import pytest

from flux_agent.transfer.turns import Turns

pytestmark = pytest.mark.unit


def test_what_is_posted_inside_a_turn_runs_behind_it():
    seen = []
    turns = Turns(seen.append)

    def outer():
        turns.post(lambda: seen.append("inner"))
        seen.append("outer")

    turns.post(outer)
    assert seen == ["outer", "inner"]


def test_a_failing_turn_is_reported_and_stops_nothing():
    failures, seen = [], []
    turns = Turns(failures.append)

    def broken():
        turns.post(lambda: seen.append("next"))
        raise ValueError("broken")

    turns.post(broken)
    assert seen == ["next"]
    assert [str(error) for error in failures] == ["broken"]


def test_no_two_turns_overlap_between_threads():
    failures = []
    turns = Turns(failures.append)
    counter = {"inside": 0, "most": 0, "done": 0}

    def turn():
        counter["inside"] += 1
        counter["most"] = max(counter["most"], counter["inside"])
        counter["done"] += 1
        counter["inside"] -= 1

    threads = [threading.Thread(target=lambda: [turns.post(turn) for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    turns.post(lambda: None)
    assert failures == []
    assert (counter["most"], counter["done"]) == (1, 2000)
