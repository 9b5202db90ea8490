from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import marshmallow as ma
import pytest

from fileflux.storage.pages import After, Filter, Listing, Sort
from fileflux.web.paging import (
    PAGE_MAX,
    FlagFilter,
    IdFilter,
    ListQuery,
    PageQuery,
    SearchFilter,
    Several,
    SortBy,
    TimeFilter,
    encode_cursor,
    encode_place,
    page,
)
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


LIST = Listing(
    lambda values: Row(*values),
    "id",
    "things",
    sorts={
        "name": Sort("text"),
        "size": Sort("number"),
        "ended_at": Sort("time", "coalesce(ended_at, 'infinity')", optional=True, filters=frozenset({"kind"})),
        "seen": Sort("time", needs=frozenset({"owner"})),
    },
    filters={
        "kind": Filter(("kind = %(value)s",), of=("a", "b")),
        "owner": Filter(("owner = %(value)s",)),
        "text": Filter(("text ILIKE %(value)s",), needs=frozenset({"owner"})),
        "end": Filter(("one = %(value)s", "other = %(value)s AND one <> %(value)s"), without=frozenset({"owner"})),
    },
    default="-id",
)
LIST.filters |= {"open": Filter(("open = %(value)s",)), "since": Filter(("at >= %(value)s",))}


class Query(ListQuery):
    sort = SortBy(LIST)
    kind = Several(("a", "b"))
    owner = IdFilter()
    text = SearchFilter()
    end = IdFilter()
    open = FlagFilter()
    since = TimeFilter()


NOON = datetime(2026, 11, 26, 12, 0, 0, 123456, UTC)
PLACES = [
    ("-id", After(None, 7)),
    ("name", After('a"\u00e9\U0001f600', 7)),
    ("-size", After(-(2**40), 7)),
    ("ended_at", After(NOON, MAX_ID)),
    ("-ended_at", After(None, 1)),
]


@pytest.mark.parametrize(("order", "place"), PLACES)
def test_a_cursor_is_a_place_in_one_order(order: str, place: After) -> None:
    cursor = encode_place(order, place)
    loaded = Query().load({"sort": order, "cursor": cursor})
    assert (loaded.after, loaded.sort, loaded.descending) == (place, order.removeprefix("-"), order.startswith("-"))
    for other in {"id", "-id", "name", "-name", "size", "-ended_at", "ended_at"} - {order}:
        with pytest.raises(ma.ValidationError) as refused:
            Query().load({"sort": other, "cursor": cursor})
        assert list(refused.value.messages) == ["cursor"]


def forged(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(list(parts)).encode()).decode()


@pytest.mark.parametrize(
    ("order", "cursor"),
    [("-id", cursor) for cursor in ("", "AAAA", "é", "!", encode_cursor(7), forged("-id", None), forged("-id", 1, 7),
                                     forged("-id", None, 0), forged("-id", None, MAX_ID + 1), forged("-id", None, True),
                                     forged("-id", None, 7, 7), forged("-id", None, 7) + "=", "[" * 4096, "A" * 5000)]
    + [("name", forged("name", key, 7)) for key in (None, 5, "a\0", "\ud800", ["a"], {"a": 1})]
    + [("size", forged("size", key, 7)) for key in (None, "5", 2**63, 1.5, True)]
    + [("ended_at", forged("ended_at", key, 7)) for key in ("", "yesterday", "2026-11-26T12:00:00", "0000-01-01T00:00:00+00:00",
                                                           "2026-11-26T12:00:00+19:00", 5)],
)  # fmt: skip
def test_forged_places_are_refused(order: str, cursor: str) -> None:
    with pytest.raises(ma.ValidationError) as refused:
        Query().load({"sort": order, "cursor": cursor})
    assert list(refused.value.messages) == ["cursor"]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"sort": "ended_at", "owner": "1"}, "sort"),
        ({"sort": "seen"}, "sort"),
        ({"text": "x"}, "text"),
        ({"end": "1", "owner": "1"}, "end"),
        ({"sort": "bogus"}, "sort"),
        ({"sort": "id; DROP TABLE things"}, "sort"),
        ({"sort": "--id"}, "sort"),
        ({"owner": "1.0"}, "owner"),
        ({"owner": " 1"}, "owner"),
        ({"owner": "\u0661"}, "owner"),
        ({"owner": "0"}, "owner"),
        ({"owner": str(MAX_ID + 1)}, "owner"),
        ({"kind": ["c"]}, "kind"),
        ({"kind": ["a", "b", "a"]}, "kind"),
        ({"open": "1"}, "open"),
        ({"open": "True"}, "open"),
        ({"text": "a\0", "owner": "1"}, "text"),
        *(({"since": text}, "since") for text in ("2026-11-26", "2026-11-26T08:00:00", "2026-11-26T08:00:60Z", "0000-01-01T00:00:00Z",
                                                  "10000-01-01T00:00:00Z", "1764144000", "2026-11-26T08:00:00 02:00",
                                                  "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00")),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused(query: dict[str, Any], parameter: str) -> None:
    with pytest.raises(ma.ValidationError) as refused:
        Query().load(query)
    assert list(refused.value.messages) == [parameter]


def test_a_query_becomes_an_ask() -> None:
    loaded = Query().load(
        {"kind": ["a"], "owner": "5", "text": "50%_\\", "open": "false", "since": "2026-11-26T14:00:00.123456+02:00"}
    )
    assert (loaded.limit, loaded.sort, loaded.descending, loaded.after) == (50, "id", True, None)
    assert loaded.filters == {"kind": ["a"], "owner": 5, "text": r"%50\%\_\\%", "open": False, "since": NOON}
    assert Query().load({}).filters == {}
    # PostgreSQL takes no offset of 16 hours or more, RFC 3339 does.
    assert Query().load({"since": "2026-11-27t07:18:00.123456789+19:18"}).filters["since"] == NOON
