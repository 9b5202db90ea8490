from __future__ import annotations

from dataclasses import dataclass

import marshmallow as ma
import pytest

from fileflux.web.paging import PAGE_MAX, PageQuery, encode_cursor, page
from fileflux.web.resource import MAX_ID

pytestmark = pytest.mark.unit


@dataclass(frozen=True)
class Row:
    id: int


def test_a_page_says_whether_another_follows() -> None:
    rows = [Row(number) for number in (9, 8, 7)]
    full = page(rows, 2, lambda row: {"id": row.id})
    assert full["items"] == [{"id": 9}, {"id": 8}]
    assert PageQuery().load({"cursor": full["next_cursor"]})["cursor"] == 8
    assert page(rows[:2], 2, lambda row: {"id": row.id})["next_cursor"] is None
    assert page([], 2, lambda row: {}) == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("given", "used"), [("-1", 1), ("0", 1), ("7", 7), ("200", 200), ("201", 200), ("1000000000", PAGE_MAX)]
)
def test_limits_are_capped(given: str, used: int) -> None:
    assert PageQuery().load({"limit": given})["limit"] == used


@pytest.mark.parametrize("given", ["", "x", "1.5", "--1", "1" * 40, "\u0661", "1;drop table"])
def test_limits_that_are_no_number_are_refused(given: str) -> None:
    with pytest.raises(ma.ValidationError):
        PageQuery().load({"limit": given})


@pytest.mark.parametrize("cursor", ["", "0", "AAAA", "!!!", "é", "MTo=", encode_cursor(0), encode_cursor(-5), encode_cursor(MAX_ID + 1),
                                    encode_cursor(7) + "=", "MTowNw=="])  # fmt: skip
def test_forged_cursors_are_refused(cursor: str) -> None:
    with pytest.raises(ma.ValidationError):
        PageQuery().load({"cursor": cursor})
