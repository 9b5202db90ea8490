"""Limits and turns, with time as a number."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime

import pytest

from fileflux.jobs.bandwidth import (
    AHEAD_S,
    CREDIT_S,
    Allowance,
    Bandwidth,
    Turns,
    ahead,
    grant_size,
    lowest,
    shown,
)

pytestmark = pytest.mark.unit

KIB = 1024


@pytest.mark.parametrize("rate", [1024, 64 * KIB, 2_000_000, 2**30])
def test_the_rate_is_kept_however_late_the_timers_are(rate: int) -> None:
    chance = random.Random(rate)
    one, now, taken = Allowance(rate, 0.0), 0.0, 0
    size = grant_size((one,), 16 * KIB)
    while now < 400:
        wait = one.wait(now)
        if wait == 0:
            one.take(size)
            taken += size
        else:
            now += wait + chance.random() * CREDIT_S / 2
    assert taken == pytest.approx(rate * now, rel=0.01, abs=2 * size)


def test_no_second_lets_more_through_than_the_limit_and_one_piece() -> None:
    one, taken = Allowance(64 * KIB, 0.0), 0
    for moment in (0.0, 100.0):
        taken = 0
        for tick in range(100):
            while one.wait(moment + tick / 100) == 0:
                one.take(16 * KIB)
                taken += 16 * KIB
        assert taken <= 64 * KIB * (1 + CREDIT_S) + 16 * KIB


def test_nothing_passes_a_limit_of_zero_and_it_ends_at_once() -> None:
    one = Allowance(0, 0.0)
    assert one.wait(1e9) == math.inf
    one.change(1000, 1e9)
    assert one.wait(1e9) == 0


@pytest.mark.parametrize(("old", "new"), [(2**30, 1024), (1024, 2**30), (2**20, 0)])
def test_a_debt_made_under_another_limit_lasts_a_second_at_most(old: int, new: int) -> None:
    one = Allowance(old, 0.0)
    one.take(grant_size((one,), 16 * KIB))
    one.change(new, 0.0)
    one.change(new or 1024, 0.0)
    assert one.wait(0.0) <= AHEAD_S


def test_what_is_given_back_is_there_again_and_makes_no_burst() -> None:
    one = Allowance(1000, 0.0)
    one.take(5000)
    one.give_back(4000)
    assert one.wait(0.0) == 1.0
    one.give_back(1_000_000)
    one.take(int(1000 * CREDIT_S) + 1)
    assert one.wait(0.0) > 0


def test_how_much_may_be_under_way() -> None:
    slow, fast = Allowance(1024, 0.0), Allowance(2**30, 0.0)
    assert grant_size((fast, slow), 16 * KIB) == 16 * KIB
    assert ahead((fast, slow), 5, 16 * KIB) == 32 * KIB
    fast.weight = 20
    assert ahead((fast,), 5, 16 * KIB) == 2**28
    assert ahead((fast, Allowance(0, 0.0)), 5, 16 * KIB) == 0


def test_the_lowest_holds_and_the_first_of_equals() -> None:
    job, agent, table = Bandwidth(10, "job"), Bandwidth(5, "agent a"), Bandwidth(5, "timetable")
    assert lowest([job, agent, table]) is agent
    assert lowest([]) is None


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (Bandwidth(64 * KIB, "agent north"), "waits for bandwidth: agent north allows 64 KiB/s"),
        (
            Bandwidth(0, "timetable", datetime(2026, 3, 1, 18, 0, tzinfo=UTC)),
            "waits for bandwidth: the timetable allows nothing now until 2026-03-01 18:00 UTC",
        ),
        (Bandwidth(1_500_000, "job"), "waits for bandwidth: the job allows 1.43 MiB/s"),
    ],
)
def test_why_it_waits(one: Bandwidth, words: str) -> None:
    assert one.words == words


def test_sizes_for_people() -> None:
    assert [shown(count) for count in (0, 1023, 1024, 1000 * 1024, 5 * 2**30)] == [
        "0 B",
        "1023 B",
        "1 KiB",
        "1000 KiB",
        "5 GiB",
    ]


def _served(weights: dict[str, int], rounds: int) -> dict[str, int]:
    turns: Turns[str, str] = Turns()
    served = dict.fromkeys(weights, 0)
    for name, weight in weights.items():
        turns.add(name, "all", name, weight, 100)
    for _ in range(rounds):
        name = turns.take(lambda _group, _key: True)
        assert name is not None
        served[name] += 1
        turns.add(name, "all", name, weights[name], 100)
    return served


def test_turns_go_by_weight_and_nobody_starves() -> None:
    served = _served({"nine": 9, "one": 1, "five": 5}, 1500)
    assert served["nine"] == pytest.approx(900, abs=5)
    assert served["five"] == pytest.approx(500, abs=5)
    assert served["one"] == pytest.approx(100, abs=5)


def test_one_that_comes_late_has_no_claim_on_the_past() -> None:
    turns: Turns[str, str] = Turns()
    for _ in range(100):
        turns.add("early", "all", "early", 1, 1)
        assert turns.take(lambda _group, _key: True) == "early"
    turns.add("early", "all", "early", 1, 1)
    turns.add("late", "all", "late", 1, 1)
    order = []
    for _ in range(6):
        key = turns.take(lambda _group, _key: True)
        assert key is not None
        order.append(key)
        turns.add(key, "all", key, 1, 1)
    assert order.count("late") == order.count("early") == 3


def test_a_flow_keeps_its_order_and_shares_by_weight_with_another() -> None:
    turns: Turns[str, tuple[str, int]] = Turns()
    for number in range(90):
        turns.add(("high", number), "all", "high", 9, 1)
        turns.add(("low", number), "all", "low", 1, 1)
    first = [turns.take(lambda _group, _key: True) for _ in range(50)]
    highs = [number for name, number in filter(None, first) if name == "high"]
    assert highs == sorted(highs)
    assert len(highs) == pytest.approx(45, abs=2)


def test_a_group_that_may_not_go_on_is_passed_over() -> None:
    turns: Turns[str, int] = Turns()
    for number in range(3):
        turns.add(number, "held", number, 5, 1)
    turns.add(7, "free", 7, 5, 1)
    assert turns.take(lambda group, _key: group == "free") == 7
    assert turns.take(lambda group, _key: group == "free") is None
    turns.discard(0)
    assert turns.take(lambda _group, _key: True) == 1
    assert (1 in turns, 2 in turns, len(turns)) == (False, True, 1)
