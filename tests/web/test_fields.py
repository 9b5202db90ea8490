"""Fields take their own JSON type only."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
import pytest

from fileflux.web.fields import Choice, Flag, Name, Number, Text, Texts, Whole

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (Text(low=1, high=4), "äö"),
        (Text(high=4), ""),
        (Text(high=9, raw=True), "a\nb\x1b"),
        (Whole(1, 3), 3),
        (Number(0, 1), 1),
        (Number(0, 1), 0.5),
        (Flag(), False),
        (Choice(("a", "b")), "b"),
        (Texts(Text(high=1), 2), ["a", "b"]),
    ],
)
def test_good_values_pass_unchanged(field: ma.fields.Field, value: Any) -> None:
    assert field.deserialize(value) == value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (Text(low=1, high=4), ""),
        (Text(low=1, high=4), "äöü"),
        (Text(high=9), 1),
        (Text(high=9), None),
        (Text(high=9), b"a"),
        (Text(high=9), "a\nb"),
        (Text(high=9), "a\u2028b"),
        (Text(high=9, raw=True), "a\0"),
        (Text(high=9, raw=True), "\ud800"),
        (Whole(1, 3), "2"),
        (Whole(1, 3), True),
        (Whole(1, 3), 2.0),
        (Whole(1, 3), 0),
        (Whole(1, 3), 10**400),
        (Number(0, 1), "0.5"),
        (Number(0, 1), False),
        (Number(0, 1), float("nan")),
        (Number(0, 1), float("inf")),
        (Number(0, 1), 10**400),
        (Flag(), 1),
        (Flag(), "true"),
        (Choice(("a", "b")), "c"),
        (Choice(("a", "b")), ["a"]),
        (Texts(Text(high=1), 2), ["a", "b", "c"]),
        (Texts(Text(high=1), 2), "ab"),
    ],
)
def test_bad_values_are_refused(field: ma.fields.Field, value: Any) -> None:
    with pytest.raises(ma.ValidationError):
        field.deserialize(value)


class _Named(ma.Schema):
    agent = Name(high=100, in_places=True)
    job = Name(high=100)


@pytest.mark.parametrize("name", ["web-1", "a b", "Büro 3", "x#1", "x-", "日本", '"><img src=x>', "a" * 100])
def test_names_that_commands_can_write(name: str) -> None:
    assert _Named().load({"agent": name, "job": name}) == {"agent": name, "job": name}


@pytest.mark.parametrize("name", ["", " ", " a", "a ", "\u00a0a", "#3", "-x", "a\nb", "a\0"])
def test_names_that_they_cannot(name: str) -> None:
    assert _Named().validate({"agent": name, "job": name}).keys() == {"agent", "job"}


@pytest.mark.parametrize("name", ["a:b", "a/b", "a\\b", ".", "..", ".a", "b:"])
def test_an_agents_name_stands_before_a_colon(name: str) -> None:
    assert _Named().validate({"agent": name, "job": name}).keys() == {"agent"}
