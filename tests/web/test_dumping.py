"""Answers are what marshmallow would make of them, whichever way they are made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import marshmallow as ma
import pytest
from flask import Flask
from marshmallow import fields

from fileflux.web import account_schemas, agent_schemas, dashboard, job_schemas, schemas
from fileflux.web.dumping import quick

MODULES = (account_schemas, agent_schemas, dashboard, job_schemas, schemas)
SCHEMAS = sorted(
    {
        one
        for module in MODULES
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, ma.Schema) and not one.__name__.endswith(("Query", "In", "Schema"))
    },
    key=lambda one: one.__qualname__,
)
TIMES = [datetime(2026, 1, 2, 3, 4, 5, 678, UTC), datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=5, minutes=30)))]


def sample(field: fields.Field[Any], number: int) -> Any:
    if isinstance(field, fields.Nested):
        one = values(field.schema, number)
        return [one, values(field.schema, number + 1)] if field.many else one
    if isinstance(field, fields.List):
        return (sample(field.inner, number), sample(field.inner, number + 1))
    if isinstance(field, fields.AwareDateTime):
        return TIMES[number % 2]
    if isinstance(field, fields.Boolean):
        return number % 2 == 0
    if isinstance(field, fields.Float):
        return (number, 0.5)[number % 2]
    if isinstance(field, fields.Integer):
        return number
    if isinstance(field, fields.Dict):
        return {"a": number if field.value_field is None else sample(field.value_field, number)}
    return f"text {number} é"


def values(schema: ma.Schema, number: int) -> dict[str, Any]:
    made = {
        field.attribute or name: sample(field, number + index)
        for index, (name, field) in enumerate(schema.dump_fields.items())
    }
    return made | {"nothing_of_the_schema": "secret"}


@pytest.mark.unit
@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda one: one.__qualname__)
def test_both_ways_give_the_same(schema: type[ma.Schema]) -> None:
    given = values(schema(), 3)
    expected = schema().dump(given)
    assert quick(schema).dump(given) == expected
    assert quick(schema).dump(SimpleNamespace(**given)) == expected
    assert "nothing_of_the_schema" not in expected
    # Of a dictionary without this key marshmallow would take the method.
    for name in given.keys() - {"items"}:
        some = {key: value for key, value in given.items() if key != name}
        assert quick(schema).dump(some) == schema().dump(some)
        nothing = given | {name: None}
        assert quick(schema).dump(nothing) == schema().dump(nothing)


@pytest.mark.unit
def test_what_is_not_plain_is_left_to_marshmallow() -> None:
    class Loud(fields.String):
        def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
            return str(value).upper()

    class Hooked(ma.Schema):
        a = fields.String()

        @ma.post_dump
        def more(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
            return data | {"b": 1}

    class Other(ma.Schema):
        loud = Loud()
        below = fields.Nested(Hooked)
        some = fields.String(dump_default="x")

    given = {"loud": "a", "below": {"a": "b"}}
    assert quick(Other).dump(given) == {"loud": "A", "below": {"a": "b", "b": 1}, "some": "x"}
    assert quick(Hooked).dump({"a": 1}) == {"a": "1", "b": 1}


def test_the_answers_of_all_routes_are_made_the_quick_way(app: Flask) -> None:
    slow = [one.__qualname__ for one in SCHEMAS if one.__qualname__.endswith("Page") and "dump" not in vars(quick(one))]
    assert not slow
