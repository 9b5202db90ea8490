"""Lists: ``{"items": […], "next_cursor": "…" | null}`` with ``?limit=&cursor=&sort=`` and filters by field.

A list that can be sorted and filtered is three things. In the storage module of the table, what its indexes serve::

    LIST = Listing(lambda v: UserRow(*v), _COLUMNS, "users",
                   sorts={"email": Sort("text"), "created_at": Sort("time"),
                          "last_login_at": Sort("time", "coalesce(last_login_at, 'infinity')", optional=True)},
                   filters={"role": Filter(("role = %(value)s",), of=("admin", "viewer")), "email": Filter(("email = %(value)s",))},
                   default="id")

the query's schema, with one field per filter under the filter's name (``IdFilter``, ``FlagFilter``, ``TimeFilter``, ``TextFilter``,
``SearchFilter``, ``Several``; a default is a ``load_default``)::

    class UserQuery(ListQuery):
        sort = SortBy(rows.LIST)
        role = Several(tuple(Role))
        email = TextFilter(254)

and the view, which gets the loaded query as an ``Ask``::

    @users.route("GET", "/api/users", query=UserQuery, returns=schemas.UserPage)
    def list_users(query: Ask) -> dict[str, Any]:
        with deps().database.transaction() as tx:
            found = rows.LIST.page(tx, query)
        return listed(query, found, _fields)

What no index serves, by ``Sort.filters``, ``Sort.needs``, ``Filter.needs`` and ``Filter.without``, is a 422 that says so. A plain list,
by id alone, does with ``PageQuery`` and ``page``.

A cursor names the order it belongs to, and the last row's place in it. A forged one is refused when it could not have been given
out; else it shows rows that its user may see anyway.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol, TypeVar

import marshmallow as ma
from marshmallow import fields, validate

from fileflux.storage.pages import After, Ask, Found, Key, Listing, Sort, contains
from fileflux.web.fields import Text
from fileflux.web.resource import MAX_ID

PAGE_MAX: Final = 200
PAGE_DEFAULT: Final = 50
LIMIT_MAX: Final = 10**18
"""What is no more worth the reading as a number of rows."""
_VERSION: Final = "1:"
MAX_CURSOR: Final = 4096
"""Characters: a sort key is a name, at most 255 characters of four bytes, each escaped in JSON."""
MAX_SEARCH: Final = 255
_NOT_A_CURSOR: Final = "Not a cursor of this list and order; use next_cursor of the page before with the same sort."
_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)


class Row(Protocol):
    @property
    def id(self) -> int: ...


AnyRow = TypeVar("AnyRow", bound=Row)
FoundRow = TypeVar("FoundRow")


class Limit(fields.Integer):
    """Rows wanted; more than a page holds is a page, fewer than one is one."""

    def __init__(self, load_default: int = PAGE_DEFAULT) -> None:
        about = f"1 to {PAGE_MAX}; what lies outside is capped"
        super().__init__(
            load_default=load_default,
            metadata={"description": about, "minimum": -LIMIT_MAX, "maximum": LIMIT_MAX},
        )

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        text = value if isinstance(value, str) and value.isascii() and len(value) <= len(str(-LIMIT_MAX)) else ""
        if not text.removeprefix("-").isdecimal() or abs(int(text)) > LIMIT_MAX:
            raise self.make_error("invalid")
        return min(max(super()._deserialize(value, attr, data, **kwargs), 1), PAGE_MAX)


class Cursor(fields.String):
    """Loads to the id after which the page begins."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        value = super()._deserialize(value, attr, data, **kwargs)
        try:
            text = base64.urlsafe_b64decode(value.encode("ascii")).decode("ascii")
            number = int(text.removeprefix(_VERSION))
        except ValueError:
            number = 0
        if not 0 < number <= MAX_ID or value != encode_cursor(number):
            raise ma.ValidationError("Not a cursor; use next_cursor of the page before.")
        return number


class SortBy(fields.String):
    """The order of a list: a field that ``listing`` can be sorted by, with ``-`` in front for the other direction."""

    def __init__(self, listing: Listing[Any], text: str = "") -> None:
        names = [sign + name for name in listing.sorts for sign in ("", "-")]
        super().__init__(
            load_default=None,
            validate=validate.OneOf(names),
            metadata={
                "description": f"a field, `-` in front for descending; {listing.default} unless given. {text}".rstrip(
                    ". "
                )
            },
        )
        self.listing = listing


class IdFilter(fields.Integer):
    """A row's id in a query."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(load_default=None, validate=validate.Range(1, MAX_ID), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        if not (isinstance(value, str) and len(value) < 20 and value.isdecimal() and value.isascii()):
            raise self.make_error("invalid")
        return super()._deserialize(value, attr, data, **kwargs)


class FlagFilter(fields.Boolean):
    """``true`` or ``false`` in a query."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(truthy={"true"}, falsy={"false"}, **({"load_default": None} | kwargs))


class TextFilter(Text):
    """A whole text, as it is stored."""

    def __init__(self, high: int, **kwargs: Any) -> None:
        super().__init__(low=1, high=high, load_default=None, **kwargs)


class SearchFilter(Text):
    """A part of a text, in any case. Loads to the pattern for ``ILIKE %(value)s``."""

    def __init__(self, high: int = MAX_SEARCH, **kwargs: Any) -> None:
        super().__init__(low=1, high=high, raw=True, load_default=None, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        return contains(super()._deserialize(value, attr, data, **kwargs))


class TimeFilter(fields.DateTime):
    """A time as RFC 3339 has it, with its offset; loads to an aware datetime."""

    default_error_messages = {"invalid": "Not a time like 2026-11-26T08:00:00Z (a + is written %2B in an address)."}  # noqa: RUF012  # as in the base class

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(load_default=None, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> datetime:
        text = value.upper() if isinstance(value, str) and _RFC3339.fullmatch(value) else ""
        when: datetime = super()._deserialize(text, attr, data, **kwargs)
        try:
            # PostgreSQL knows no offset of 16 hours or more.
            return when.astimezone(UTC)
        except OverflowError:
            raise self.make_error("invalid") from None


class Several(fields.List[Any]):
    """Any of a few words; the parameter may be given several times."""

    def __init__(self, of: Sequence[str], **kwargs: Any) -> None:
        words = fields.String(validate=validate.OneOf(list(of)))
        super().__init__(words, load_default=None, validate=validate.Length(max=len(of)), **kwargs)


class PageQuery(ma.Schema):
    """What every list takes."""

    limit = Limit()
    cursor = Cursor(load_default=None, metadata={"description": "next_cursor of the page before"})


class ListQuery(ma.Schema):
    """What a list with an order takes; a subclass adds ``sort`` (``SortBy``) and the filters. Loads to an ``Ask``."""

    limit = Limit()
    cursor = fields.String(
        load_default=None,
        validate=validate.Length(max=MAX_CURSOR),
        metadata={"description": "next_cursor of the page before, with the same sort"},
    )

    @ma.post_load
    def to_ask(self, data: dict[str, Any], **_: Any) -> Ask:
        sort_field = self.fields["sort"]
        assert isinstance(sort_field, SortBy)  # noqa: S101  # a mistake of the class, not of the request
        listing = sort_field.listing
        order = data.pop("sort") or listing.default
        limit, cursor = data.pop("limit"), data.pop("cursor")
        filters = {name: value for name, value in data.items() if value is not None and value != []}
        name = order.removeprefix("-")
        wrong: dict[str, list[str]] = {}
        for parameter, why in listing.refusals(name, frozenset(filters)):
            wrong.setdefault(parameter, []).append(why)
        if wrong:
            raise ma.ValidationError(wrong)
        after = None if cursor is None else _decode(cursor, order, listing.sorts[name])
        return Ask(limit, name, order.startswith("-"), after, filters)


def encode_cursor(row_id: int) -> str:
    return base64.urlsafe_b64encode(f"{_VERSION}{row_id}".encode()).decode("ascii")


def page(rows: Sequence[AnyRow], limit: int, render: Callable[[AnyRow], dict[str, Any]]) -> dict[str, Any]:
    """Make the answer from ``limit + 1`` rows: one more than shown tells whether another page follows."""
    shown = rows[:limit]
    more = len(rows) > limit
    return {"items": [render(row) for row in shown], "next_cursor": encode_cursor(shown[-1].id) if more else None}


def listed(ask: Ask, found: Found[FoundRow], render: Callable[[FoundRow], dict[str, Any]]) -> dict[str, Any]:
    """Make the answer from what ``Listing.page`` found for ``ask``."""
    order = ("-" if ask.descending else "") + ask.sort
    return {
        "items": [render(row) for row in found.rows],
        "next_cursor": None if found.after is None else encode_place(order, found.after),
    }


def encode_place(order: str, after: After) -> str:
    """The cursor of a place in ``order``."""
    key = after.key.isoformat() if isinstance(after.key, datetime) else after.key
    return base64.urlsafe_b64encode(json.dumps([order, key, after.id]).encode("ascii")).decode("ascii")


def _decode(cursor: str, order: str, sort: Sort) -> After:
    try:
        parts = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")).decode("ascii"))
        if not (isinstance(parts, list) and len(parts) == 3 and parts[0] == order):
            raise ValueError(cursor)
        after = After(_key(parts[1], order, sort), parts[2])
        if type(after.id) is not int or not 0 < after.id <= MAX_ID or encode_place(order, after) != cursor:
            raise ValueError(cursor)
    except (ValueError, RecursionError):
        raise ma.ValidationError({"cursor": [_NOT_A_CURSOR]}) from None
    return after


def _key(given: Any, order: str, sort: Sort) -> Key:
    """The sort key of a cursor, if it can be one of this order."""
    by_id = order.removeprefix("-") == "id"
    if given is None or by_id:
        if given is None and (by_id or sort.optional):
            return None
    elif sort.kind == "time" and isinstance(given, str):
        when = datetime.fromisoformat(given)
        offset = when.utcoffset()
        if offset is not None and abs(offset) < timedelta(hours=16):
            return when
    elif sort.kind == "text" and isinstance(given, str):
        given.encode()
        if "\0" not in given:
            return given
    elif sort.kind == "number" and type(given) is int and abs(given) <= MAX_ID:
        return given
    raise ValueError(given)
