from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from fileflux.protocol.fields import Bounds
from fileflux.protocol.shapes import Invalid, shape_of

pytestmark = pytest.mark.unit


@dataclass(frozen=True)
class Inner:
    number: Annotated[int, Bounds(0, 9)]


@dataclass(frozen=True)
class Outer:
    inner: Inner
    many: tuple[Inner, ...]
    maybe: Annotated[str, Bounds(1, 3)] | None = None
    needed: Annotated[int, Bounds(0, 9)] | None = 4


def test_reads_and_writes() -> None:
    shape = shape_of(Outer)
    made = shape.decode({"inner": {"number": 1}, "many": [{"number": 2}], "unknown": 3})
    assert made == Outer(Inner(1), (Inner(2),))
    assert shape.encode(made) == {"inner": {"number": 1}, "many": [{"number": 2}], "needed": 4}
    # null has to be said where it is not the default.
    assert shape.encode(Outer(Inner(1), (), needed=None))["needed"] is None
    assert shape_of(Outer) is shape


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (None, "payload"),
        ({}, "inner"),
        ({"inner": {}}, "inner.number"),
        ({"inner": {"number": 10}}, "inner.number"),
        ({"inner": {"number": 1}, "many": [{"number": 1}, {"number": True}]}, "many[1].number"),
        ({"inner": {"number": 1}, "many": [], "maybe": ""}, "maybe"),
    ],
)
def test_says_where_it_is_wrong(data: Any, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        shape_of(Outer).decode(data)
    assert caught.value.field == field


def test_annotations_without_a_form_are_a_mistake_of_ours() -> None:
    @dataclass(frozen=True)
    class Strange:
        data: bytes

    with pytest.raises(TypeError, match="no form on the wire"):
        shape_of(Strange)
