"""When rows of small files are written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fileflux.actors import messages as a
from fileflux.actors.unwritten import ENDED_SECONDS, PENDING_SECONDS, ROWS_MAX, Batch, Unwritten
from fileflux.storage.delivered import Delivered
from fileflux.storage.transfers import TransferRow

from .test_run_files import ROW

pytestmark = pytest.mark.unit

OWNER: Any = object()
KEY = (1, 3)
MOST = 500


def rows(*ids: int) -> list[TransferRow]:
    return [replace(ROW, id=number) for number in ids]


def saved(*ids: int, key: tuple[int, int] = KEY) -> a.SaveBundle:
    ended = tuple(Delivered(number, "completed", "", 1, b"", 0, 0, "none", None, 0.0, 0.0) for number in ids)
    return a.SaveBundle(*key, ended, OWNER)


def shown(batches: dict[tuple[int, int], Batch]) -> dict[tuple[int, int], tuple[list[tuple[int, bool]], list[int]]]:
    return {
        key: ([(row.id, end is not None) for row, end in batch.new], [end.id for end in batch.known])
        for key, batch in batches.items()
    }


def test_ended_rows_are_written_once() -> None:
    unwritten = Unwritten()
    unwritten.add(KEY, OWNER, rows(1, 2, 3), 0.0)
    unwritten.save(saved(1, 3), 1.0)
    assert unwritten.take(1.0 + ENDED_SECONDS / 2, MOST) == {}
    batches = unwritten.take(1.0 + ENDED_SECONDS, MOST)
    assert shown(batches) == {KEY: ([(1, True), (3, True)], [])}
    assert [len(one.ended) for one in batches[KEY].saves] == [2]
    assert batches[KEY].owner is OWNER
    assert unwritten, "row 2 waits"
    assert shown(unwritten.take(PENDING_SECONDS, MOST)) == {KEY: ([(2, False)], [])}
    assert not unwritten


def test_rows_that_were_written_as_pending_are_changed() -> None:
    unwritten = Unwritten()
    unwritten.add(KEY, OWNER, rows(1, 2), 0.0)
    assert shown(unwritten.take(PENDING_SECONDS, MOST)) == {KEY: ([(1, False), (2, False)], [])}
    unwritten.save(saved(1, 2), PENDING_SECONDS)
    assert shown(unwritten.take_all(None)) == {KEY: ([], [1, 2])}


def test_what_takes_long_is_cut() -> None:
    unwritten = Unwritten()
    unwritten.add(KEY, OWNER, rows(*range(9)), 0.0)
    unwritten.save(saved(0, 1), 0.0)
    unwritten.save(saved(2, 3), 0.0)
    late = PENDING_SECONDS + 1
    assert shown(unwritten.take(late, 2)) == {KEY: ([(0, True), (1, True)], [])}
    assert shown(unwritten.take(late, 3)) == {KEY: ([(2, True), (3, True), (4, False)], [])}
    assert shown(unwritten.take(late, 9)) == {KEY: ([(5, False), (6, False), (7, False), (8, False)], [])}
    assert not unwritten


def test_one_run_and_all() -> None:
    unwritten = Unwritten()
    other = (2, 1)
    unwritten.add(KEY, OWNER, rows(1), 0.0)
    unwritten.add(other, OWNER, rows(11, 12), 0.0)
    unwritten.save(saved(1), 0.0)
    unwritten.save(saved(12, key=other), 0.0)
    assert shown(unwritten.take_all(2)) == {other: ([(12, True), (11, False)], [])}
    assert shown(unwritten.take_all(7)) == {}
    assert shown(unwritten.take_all(None)) == {KEY: ([(1, True)], [])}
    assert not unwritten


def test_a_run_that_somebody_else_has() -> None:
    unwritten = Unwritten()
    unwritten.add(KEY, OWNER, rows(1, 2), 0.0)
    unwritten.forget(KEY)
    unwritten.forget(KEY)
    assert not unwritten
    assert unwritten.take_all(None) == {}


def test_a_lease_that_was_renewed_does_not_mix_its_rows() -> None:
    unwritten = Unwritten()
    unwritten.add((1, 3), OWNER, rows(1), 0.0)
    unwritten.save(saved(1, key=(1, 4)), 0.0)
    assert shown(unwritten.take_all(None)) == {(1, 4): ([], [1]), (1, 3): ([(1, False)], [])}


def test_it_is_bounded() -> None:
    unwritten = Unwritten()
    unwritten.add(KEY, OWNER, rows(*range(ROWS_MAX - 1)), 0.0)
    unwritten.add(KEY, OWNER, rows(0), 0.0)
    assert not unwritten.full
    unwritten.save(saved(0), 0.0)
    assert unwritten.full
    unwritten.take_all(None)
    assert not unwritten.full
