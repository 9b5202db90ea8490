"""Lists: ``{"items": […], "next_cursor": "…" | null}`` with ``?limit=&cursor=``.

A cursor is the id of the last row of a page. A forged one shows rows that its user may see anyway.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

import marshmallow as ma
from marshmallow import fields

from fileflux.web.resource import MAX_ID

PAGE_MAX: Final = 200
PAGE_DEFAULT: Final = 50
_VERSION: Final = "1:"


class Row(Protocol):
    @property
    def id(self) -> int: ...


AnyRow = TypeVar("AnyRow", bound=Row)


class Limit(fields.Integer):
    """Rows wanted; more than a page holds is a page, fewer than one is one."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        if not (isinstance(value, str) and len(value) < 20 and value.removeprefix("-").isdecimal() and value.isascii()):
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


class PageQuery(ma.Schema):
    """What every list takes."""

    limit = Limit(load_default=PAGE_DEFAULT, metadata={"description": f"1 to {PAGE_MAX}; what lies outside is capped"})
    cursor = Cursor(load_default=None, metadata={"description": "next_cursor of the page before"})


def encode_cursor(row_id: int) -> str:
    return base64.urlsafe_b64encode(f"{_VERSION}{row_id}".encode()).decode("ascii")


def page(rows: Sequence[AnyRow], limit: int, render: Callable[[AnyRow], dict[str, Any]]) -> dict[str, Any]:
    """Make the answer from ``limit + 1`` rows: one more than shown tells whether another page follows."""
    shown = rows[:limit]
    more = len(rows) > limit
    return {"items": [render(row) for row in shown], "next_cursor": encode_cursor(shown[-1].id) if more else None}
