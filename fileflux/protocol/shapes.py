"""Readers and writers of message classes, compiled once per class from the annotations (``messages.py`` lists the field types).

A reader takes a value as JSON gave it and returns the field's value, or raises Invalid with the path to what is wrong. A writer does the
reverse and cleans texts. Both are closures, so that the hot messages (a thousand items in one text) cost one call a field.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import partial
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from fileflux.protocol.fields import Bounds, Kind
from fileflux.protocol.limits import MAX_ITEMS, MAX_PATH_BYTES

Reader = Callable[[Any], Any]
Writer = Callable[[Any], Any]

RANGES_MAX: Final = 10_000
"""Pairs in one Ranges field."""
_INDEX_MAX: Final = 2**32 - 1
_UNREADABLE: Final = re.compile("[\\x00\\ud800-\\udfff]")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_PART: Final = re.compile(r"[0-9a-f]{32}")


class Invalid(Exception):  # noqa: N818  # never leaves the codec, which turns it into an error of the protocol
    """A value is not what its field allows; ``field`` is the path to it."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self._steps: list[str] = []

    def within(self, step: str) -> Invalid:
        """The same, seen from one level further out."""
        self._steps.append(step)
        return self

    @property
    def field(self) -> str:
        path = ""
        for step in reversed(self._steps):
            path += step if step.startswith("[") or not path else f".{step}"
        return path or "payload"


@dataclass(frozen=True, slots=True)
class Shape:
    """How one class is read and written."""

    decode: Reader
    encode: Writer


_shapes: dict[type[Any], Shape] = {}


def shape_of(cls: type[Any]) -> Shape:
    """The shape of a message or item class, compiled at its first use.

    Raises TypeError for an annotation that has no form on the wire.
    """
    shape = _shapes.get(cls)
    if shape is None:
        shape = _shapes[cls] = _compile_class(cls)
    return shape


def _compile_class(cls: type[Any]) -> Shape:
    hints = get_type_hints(cls, include_extras=True)
    readers: list[tuple[str, Reader, Any]] = []
    writers: list[tuple[str, Writer, bool]] = []
    for field in fields(cls):
        shape = _compile(hints[field.name])
        readers.append((field.name, shape.decode, field.default))
        writers.append((field.name, shape.encode, field.default is None))

    def decode(data: Any) -> Any:
        if type(data) is not dict:
            raise Invalid("must be an object")
        values = []
        for name, read, default in readers:
            if name in data:
                try:
                    values.append(read(data[name]))
                except Invalid as error:
                    raise error.within(name) from None
            elif default is MISSING:
                raise Invalid("is missing").within(name)
            else:
                values.append(default)
        return cls(*values)

    def encode(message: Any) -> Any:
        data = {}
        for name, write, optional in writers:
            value = getattr(message, name)
            if value is None and optional:
                continue
            try:
                data[name] = write(value)
            except Invalid as error:
                raise error.within(name) from None
        return data

    return Shape(decode, encode)


def _compile(hint: Any) -> Shape:
    origin = get_origin(hint)
    if origin is Annotated:
        base, mark = get_args(hint)
        return _compile_marked(base, mark)
    if origin in (Union, UnionType):
        inner = [part for part in get_args(hint) if part is not NoneType]
        if len(inner) == 1:
            return _optional(_compile(inner[0]))
    if origin is Literal:
        check = partial(_choice, frozenset(get_args(hint)))
        return Shape(check, check)
    if origin is tuple:
        return _sequence(_compile(get_args(hint)[0]))
    if hint is bool:
        return Shape(_boolean, _boolean)
    if is_dataclass(hint) and isinstance(hint, type):
        return shape_of(hint)
    raise TypeError(f"no form on the wire for {hint!r}")


def _compile_marked(base: Any, mark: Any) -> Shape:
    match mark:
        case Bounds(low=low, high=high):
            if base is int:
                integer = partial(_integer, int(low), int(high))
                return Shape(integer, integer)
            if base is float:
                number = partial(_number, low, high)
                return Shape(number, number)
            return Shape(partial(_text, int(low), int(high)), partial(_clean, int(high)))
        case Kind.PATH:
            return Shape(_read_path, _write_path)
        case Kind.DIGEST:
            digest = partial(_pattern, _DIGEST, "must be 64 lower-case hex digits")
            return Shape(digest, digest)
        case Kind.PART:
            part = partial(_pattern, _PART, "must be 32 lower-case hex digits")
            return Shape(part, part)
        case Kind.RANGES:
            return Shape(_read_ranges, _write_ranges)
        case _:
            raise TypeError(f"no form on the wire for {mark!r}")


def _optional(shape: Shape) -> Shape:
    read, write = shape.decode, shape.encode
    return Shape(
        lambda value: None if value is None else read(value),
        lambda value: None if value is None else write(value),
    )


def _sequence(shape: Shape) -> Shape:
    def decode(value: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise Invalid("must be a list")
        return tuple(each(value, shape.decode))

    def encode(value: Any) -> list[Any]:
        return each(value, shape.encode)

    def each(values: Any, convert: Callable[[Any], Any]) -> list[Any]:
        if len(values) > MAX_ITEMS:
            raise Invalid(f"has more than {MAX_ITEMS} elements")
        made: list[Any] = []
        try:
            for value in values:
                made.append(convert(value))  # noqa: PERF401  # its length says which element was wrong
        except Invalid as error:
            raise error.within(f"[{len(made)}]") from None
        return made

    return Shape(decode, encode)


def _integer(low: int, high: int, value: Any) -> int:
    if type(value) is not int:
        raise Invalid("must be an integer")
    if not low <= value <= high:
        raise Invalid(f"must be from {low} to {high}")
    return value


def _number(low: float, high: float, value: Any) -> float:
    if type(value) is not float and type(value) is not int:
        raise Invalid("must be a number")
    if not low <= value <= high:
        raise Invalid(f"must be from {low} to {high}")
    return float(value)


def _boolean(value: Any) -> bool:
    if value is not True and value is not False:
        raise Invalid("must be true or false")
    return value


def _choice(choices: frozenset[str], value: Any) -> str:
    if not isinstance(value, str) or value not in choices:
        raise Invalid(f"must be one of {', '.join(sorted(choices))}")
    return value


def _text(low: int, high: int, value: Any) -> str:
    if type(value) is not str:
        raise Invalid("must be a text")
    if not low <= len(value) <= high:
        raise Invalid(f"must have {low} to {high} characters")
    if _UNREADABLE.search(value):
        raise Invalid("must not hold NUL or a lone surrogate")
    return value


def _clean(high: int, value: Any) -> str:
    if not isinstance(value, str):
        raise Invalid("must be a text")
    return _UNREADABLE.sub("\ufffd", value[:high])


def _pattern(pattern: re.Pattern[str], problem: str, value: Any) -> str:
    if type(value) is not str or not pattern.fullmatch(value):
        raise Invalid(problem)
    return value


def _read_path(value: Any) -> str:
    if type(value) is str:
        try:
            raw = value.encode()
        except UnicodeEncodeError:
            raise Invalid('must not hold a lone surrogate: names that are not UTF-8 are {"b64": …}') from None
    elif type(value) is dict and type(value.get("b64")) is str:
        try:
            raw = base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError):
            raise Invalid("must be base64").within("b64") from None
        value = raw.decode("utf-8", "surrogateescape")
        if not _UNREADABLE.search(value):
            # One name, one form: otherwise two spellings of a path would compare as different.
            raise Invalid("is UTF-8: send it as text").within("b64")
    else:
        raise Invalid('must be a text or {"b64": …}')
    if len(raw) > MAX_PATH_BYTES:
        raise Invalid(f"must have at most {MAX_PATH_BYTES} bytes")
    if b"\0" in raw:
        raise Invalid("must not hold NUL")
    path: str = value
    return path


def _write_path(value: Any) -> Any:
    if not isinstance(value, str):
        raise Invalid("must be a text")
    try:
        raw = value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise Invalid("is not a path as os.fsdecode gives it") from None
    if len(raw) > MAX_PATH_BYTES or b"\0" in raw:
        raise Invalid(f"must have at most {MAX_PATH_BYTES} bytes and no NUL")
    if _UNREADABLE.search(value):
        return {"b64": base64.b64encode(raw).decode("ascii")}
    return value


def _read_ranges(value: Any) -> tuple[tuple[int, int], ...]:
    if type(value) is not list:
        raise Invalid("must be a list of [first, last]")
    return _check_ranges(value, list)


def _write_ranges(value: Any) -> list[tuple[int, int]]:
    return list(_check_ranges(value, tuple))


def _check_ranges(value: Any, pair_type: type[Any]) -> tuple[tuple[int, int], ...]:
    if len(value) > RANGES_MAX:
        raise Invalid(f"has more than {RANGES_MAX} ranges")
    made: list[tuple[int, int]] = []
    following = 0
    for pair in value:
        if type(pair) is not pair_type or len(pair) != 2 or type(pair[0]) is not int or type(pair[1]) is not int:
            raise Invalid("must be [first, last]").within(f"[{len(made)}]")
        first, last = pair
        if not following <= first <= last <= _INDEX_MAX:
            raise Invalid("must be ascending ranges that do not touch").within(f"[{len(made)}]")
        made.append((first, last))
        following = last + 2
    return tuple(made)
