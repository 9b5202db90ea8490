"""Hypothesis strategies for every control message, made from the annotations, so that a new message is tested from its first day."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from fileflux.protocol.fields import Bounds, Kind
from fileflux.protocol.messages import FROM_AGENT, FROM_HUB, Message
from fileflux.protocol.ranges import RangeSet

ALL: tuple[type[Message], ...] = tuple(dict.fromkeys((*FROM_AGENT, *FROM_HUB)))

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=50)
PATHS = st.binary(max_size=60).map(lambda raw: raw.replace(b"\0", b"").decode("utf-8", "surrogateescape"))


def of(hint: Any) -> st.SearchStrategy[Any]:
    origin = get_origin(hint)
    if origin is Annotated:
        base, mark = get_args(hint)
        if isinstance(mark, Bounds):
            if base is str:
                return TEXT
            if base is int:
                low, high = int(mark.low), int(mark.high)
                return st.one_of(st.integers(low, high), st.sampled_from((low, high)))
            return st.floats(mark.low, mark.high, allow_nan=False).map(abs)
        if mark is Kind.RANGES:
            pairs = st.tuples(st.integers(0, 500), st.integers(0, 9)).map(lambda pair: (pair[0], pair[0] + pair[1]))
            return st.lists(pairs, max_size=6).map(lambda ranges: RangeSet.from_ranges(ranges).to_tuple(100))
        if mark is Kind.PATH:
            return PATHS
        return st.binary(min_size=32, max_size=32).map(lambda raw: raw.hex()[: 64 if mark is Kind.DIGEST else 32])
    if origin in (Union, UnionType):
        return st.one_of([st.none() if part is NoneType else of(part) for part in get_args(hint)])
    if origin is Literal:
        return st.sampled_from(get_args(hint))
    if origin is tuple:
        return st.lists(of(get_args(hint)[0]), max_size=3).map(tuple)
    if hint is bool:
        return st.booleans()
    if not is_dataclass(hint):
        raise TypeError(hint)
    hints = get_type_hints(hint, include_extras=True)
    return st.builds(hint, **{field.name: of(hints[field.name]) for field in fields(hint)})


def messages(kinds: tuple[type[Message], ...] = ALL) -> st.SearchStrategy[Message]:
    return st.one_of([of(kind) for kind in kinds])


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=12,
)
