"""One way to read every list: page by page, by keyset, with filters and orders out of allow-lists.

A page begins behind the last row of the one before, found again by its place in the order: pages stay right while rows come and go,
and the thousandth costs what the first does. That holds only while an index has the order, so a ``Listing`` says which filters an
order can be combined with, and ``refusals`` what it would have to scan for.

An index that begins with a column of few values (a status) has the order of each value only. ``spread`` asks for one branch per value:
PostgreSQL reads the beginning of each and merges them, instead of sorting.

With a filter PostgreSQL would often read the table's own order and skip what does not fit, since it believes that what fits is spread
evenly. It is not: a run's files lie together, and a million rows are skipped first. So the indexes that begin with a filter have the
order under a spelling of their own (``narrowed``: ``(id + 0)``), which no other index can serve.
"""

# ruff: noqa: S608  # SQL is put together from names in this package only; every value is a parameter
from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from fileflux.errors import LocalProtocolError
from fileflux.storage.pool import Transaction
from fileflux.storage.rows import page_size

Row = TypeVar("Row")
Key = str | int | datetime | None

SQL_TYPES = {"number": "bigint", "text": "text", "time": "timestamptz"}
MAX_BRANCHES = 32
"""Two ends of a run times its ten statuses, and room."""
SEARCH_ROWS = 20_000
"""Rows that a page of a search looks at: 30 ms. A page may then have few rows, or none, and still say where the next one begins."""


@dataclass(frozen=True, slots=True)
class Sort:
    """An order by the column of the row that has the sort's name; rows with the same value are ordered by id.

    ``sql`` is what the index has, if that is not the column itself: for a time that can be missing ``coalesce(ended_at, 'infinity')``
    with ``optional``, which puts rows without it behind all others (in front, when descending). ``narrowed`` is how it is spelled in the
    indexes that begin with a filter, by the filter's name; the first one given counts. ``filters`` are those that can be combined with it (None: all), ``needs`` those
    without which it is refused. ``spread``: with the filter of this name (``""``: always) the one named behind it is written out value by
    value, asked for or not.
    """

    kind: Literal["number", "text", "time"]
    sql: str = ""
    optional: bool = False
    filters: frozenset[str] | None = None
    needs: frozenset[str] = frozenset()
    spread: Mapping[str, str] = field(default_factory=dict)
    narrowed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition; its value is the parameter ``%(value)s``, and ``{key}`` in it is the sort key as it is spelled for the page.

    Several conditions are alternatives, read one by one; a row for which more than one holds counts once. ``of``: the filter takes a list of these values, and
    the condition holds for one of them. ``needs``: refused unless one of these filters is given. ``without``: refused together with one
    of these. ``search``: no index knows the condition, so a page looks at SEARCH_ROWS rows at most; it is over selected columns, and goes
    with the order by id only.
    """

    conditions: tuple[str, ...]
    of: tuple[str, ...] = ()
    needs: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    search: bool = False


@dataclass(frozen=True, slots=True)
class After:
    """A place in an order: behind the row with this value and id."""

    key: Key
    id: int


@dataclass(frozen=True, slots=True)
class Ask:
    """Which page is wanted. ``filters`` without those that are not asked for; ``sort`` is a name of the listing's sorts."""

    limit: int
    sort: str = "id"
    descending: bool = False
    after: After | None = None
    filters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found(Generic[Row]):
    """A page; ``after`` is where the next one begins, None at the end."""

    rows: list[Row]
    after: After | None


class Listing(Generic[Row]):
    """The list of one table. ``default`` is the order as the API writes it: ``-id``.

    ``select`` and ``source`` are what stands behind SELECT and FROM; ``make`` makes a row of their values; ``always`` are conditions of
    every page. Orders by ``id`` are always there; give ``id`` in ``sorts`` to say what it can be combined with.
    """

    def __init__(
        self,
        make: Callable[[tuple[Any, ...]], Row],
        select: str,
        source: str,
        *,
        sorts: Mapping[str, Sort] | None = None,
        filters: Mapping[str, Filter] | None = None,
        default: str = "id",
        always: Sequence[str] = (),
        search_rows: int = SEARCH_ROWS,
    ) -> None:
        self._make = make
        self._select = select
        self._source = source
        self.sorts: dict[str, Sort] = {"id": Sort("number")} | dict(sorts or {})
        self.filters: dict[str, Filter] = dict(filters or {})
        self.default = default
        self._always = tuple(always)
        self._search_rows = search_rows

    def refusals(self, sort: str, given: frozenset[str]) -> Iterator[tuple[str, str]]:
        """(parameter, why) for each thing of a query that no index serves; nothing when it can be answered."""
        order = self.sorts[sort]
        if order.needs and not order.needs & given:
            yield "sort", f"Needs {_names(order.needs)}."
        elif order.filters is not None and not given <= order.filters:
            allowed = f"only with {_names(order.filters)}" if order.filters else "only without filters"
            yield (
                "sort",
                f"This order is there {allowed}: there is no index for it with {_names(given - order.filters)}.",
            )
        for name in sorted(given):
            condition = self.filters[name]
            if condition.needs and not condition.needs & given:
                yield name, f"Needs {_names(condition.needs)}: everything would have to be searched."
            if condition.without & given:
                yield name, f"Cannot be combined with {_names(condition.without & given)}."

    def page(self, tx: Transaction, ask: Ask) -> Found[Row]:
        """Read one page. Raises LocalProtocolError for what ``refusals`` names."""
        if any(self.refusals(ask.sort, frozenset(ask.filters))):
            raise LocalProtocolError(f"no index serves sort={ask.sort} with {_names(ask.filters)}")
        limit = page_size(ask.limit)
        sql, params = self.statement(ask, limit + 1)
        found = [self._make(values[:-1]) for values in tx.all(sql, params)]
        shown = found[:limit]
        if len(found) > limit:
            return Found(shown, self._place(ask.sort, shown[-1]))
        return Found(shown, self._end_of_search(tx, ask))

    def statement(self, ask: Ask, limit: int) -> tuple[str, dict[str, Any]]:
        """The SQL of a page and its parameters; for ``page`` and for tests that look at its plan."""
        looked_at, searched = self._apart(ask)
        if not searched:
            return self._keyset(ask, limit)
        sql, params = self._keyset(looked_at, self._search_rows)
        conditions = []
        for name, value in searched.items():
            params[name] = value
            conditions += [text.replace("%(value)s", f"%({name})s") for text in self.filters[name].conditions]
        direction = "DESC" if ask.descending else "ASC"
        found = f"SELECT * FROM ({sql}) AS seen WHERE {' AND '.join(conditions)} ORDER BY sort_key {direction} LIMIT %(hits)s"
        return found, params | {"hits": limit}

    def _apart(self, ask: Ask) -> tuple[Ask, dict[str, Any]]:
        """The page without its searches, and these."""
        searched = {name: value for name, value in ask.filters.items() if self.filters[name].search}
        rest = {name: value for name, value in ask.filters.items() if name not in searched}
        return replace(ask, filters=rest), searched

    def _end_of_search(self, tx: Transaction, ask: Ask) -> After | None:
        """Where a search goes on that looked at all the rows it may; None when it came to the end."""
        looked_at, searched = self._apart(ask)
        if not searched:
            return None
        sql, params = self._keyset(looked_at, self._search_rows)
        last = tx.one(
            f"SELECT id FROM ({sql}) AS seen OFFSET %(seen)s LIMIT 1", params | {"seen": self._search_rows - 1}
        )
        return None if last is None else After(None, int(last[0]))

    def _keyset(self, ask: Ask, limit: int) -> tuple[str, dict[str, Any]]:
        order = self.sorts[ask.sort]
        key = next((sql for name, sql in order.narrowed.items() if name in ask.filters), order.sql or ask.sort)
        direction, compared = ("DESC", "<") if ask.descending else ("ASC", ">")
        by_id = ask.sort == "id"
        conditions, params = list(self._always), dict[str, Any](limit=limit)
        if ask.after is not None:
            missing = order.optional and ask.after.key is None
            params |= {"after": ask.after.id, "key": "infinity" if missing else ask.after.key}
            place = "%(after)s" if by_id else f"(%(key)s::{SQL_TYPES[order.kind]}, %(after)s)"
            conditions.append(f"{key if by_id else f'({key}, id)'} {compared} {place}")
        choices = self._choices(ask, order, key, params)
        ordered = f"{key} {direction}" if by_id else f"{key} {direction}, id {direction}"
        branches = [self._branch([*conditions, *chosen], key, ordered) for chosen in choices]
        if len(branches) == 1:
            return branches[0], params
        merged = " UNION ALL ".join(f"({branch})" for branch in branches)
        place, outer = ("sort_key", f"sort_key {direction}")
        if not by_id:
            place, outer = f"{place}, id", f"{outer}, id {direction}"
        twice = any(len(self.filters[name].conditions) > 1 for name in ask.filters)
        chosen = f"DISTINCT ON ({place}) *" if twice else "*"
        return f"SELECT {chosen} FROM ({merged}) AS found ORDER BY {outer} LIMIT %(limit)s", params

    def _branch(self, conditions: Sequence[str], key: str, ordered: str) -> str:
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return f"SELECT {self._select}, {key} AS sort_key FROM {self._source}{where} ORDER BY {ordered} LIMIT %(limit)s"

    def _choices(self, ask: Ask, order: Sort, key: str, params: dict[str, Any]) -> list[tuple[str, ...]]:
        """The conditions of each branch; puts their values into ``params``."""
        spread = {name for cause, name in order.spread.items() if not cause or cause in ask.filters}
        alternatives: list[list[str]] = []
        for name in sorted(spread | ask.filters.keys()):
            condition = self.filters[name]
            if condition.of:
                values = list(dict.fromkeys(ask.filters.get(name, condition.of)))
            else:
                values = [ask.filters[name]]
            below: list[str] = []
            for number, value in enumerate(values):
                params[f"{name}_{number}"] = value
                named = (text.replace("%(value)s", f"%({name}_{number})s") for text in condition.conditions)
                below += [text.replace("{key}", key) for text in named]
            alternatives.append(below)
        choices = list(itertools.product(*alternatives))
        if len(choices) > MAX_BRANCHES:
            raise LocalProtocolError(f"{len(choices)} branches for one page")
        return choices

    def _place(self, sort: str, row: Row) -> After:
        values: Any = row
        return After(None if sort == "id" else getattr(values, sort), values.id)


def contains(text: str) -> str:
    r"""A pattern for ``ILIKE %(value)s`` that finds ``text`` anywhere; ``%``, ``_`` and ``\`` in it stand for themselves."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _names(names: Mapping[str, Any] | frozenset[str]) -> str:
    return " or ".join(sorted(names))
