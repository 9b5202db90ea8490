"""marshmallow fields that take exactly their own JSON type, within bounds."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

import marshmallow as ma
from marshmallow import fields, validate

_CONTROL: Final = frozenset({"Cc", "Zl", "Zp"})
_RAW_PATTERN: Final = r"^[^\u0000]*$"
_CONTROLS: Final = r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
_NAME: Final = rf"^[^{_CONTROLS}\s#-]([^{_CONTROLS}]*[^{_CONTROLS}\s])?$"
_PATTERN: Final = rf"^[^{_CONTROLS}]*$"
_PLACE_NAME: Final = rf"^[^{_CONTROLS}\s:/\\.#-]([^{_CONTROLS}:/\\]*[^{_CONTROLS}\s:/\\])?$"


class Text(fields.String):
    """A string of ``low`` to ``high`` UTF-8 bytes without NUL and lone surrogates; without control characters unless ``raw``."""

    def __init__(
        self, *, low: int = 0, high: int, raw: bool = False, metadata: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        # The description counts characters, and of those it refuses none that this takes, unless they are outside of ASCII.
        shape = {"minLength": low, "maxLength": high, "pattern": _RAW_PATTERN if raw else _PATTERN}
        super().__init__(metadata=shape | dict(metadata or {}), **kwargs)
        self._low, self._high, self._raw = low, high, raw

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        text = str(super()._deserialize(value, attr, data, **kwargs))
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise ma.ValidationError("Not valid Unicode text.") from None
        if not self._low <= size <= self._high:
            raise ma.ValidationError(f"Must have {self._low} to {self._high} bytes.")
        if "\0" in text or (not self._raw and any(unicodedata.category(char) in _CONTROL for char in text)):
            raise ma.ValidationError("Must not have control characters.")
        return text


class Name(Text):
    """A name that commands can write. They tell it from an id by its first character, ``#``, and from an option by ``-``; ``in_places``: an
    agent's, which stands before the colon in AGENT:PATH.
    """

    def __init__(
        self, *, high: int, in_places: bool = False, metadata: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        self._pattern = re.compile(_PLACE_NAME if in_places else _NAME)
        refused = "contain : / \\ or begin with # - ." if in_places else "begin with # or -"
        self._advice = f"Must not {refused}, nor begin or end with a blank."
        shape = {"pattern": self._pattern.pattern}
        super().__init__(low=1, high=high, metadata=shape | dict(metadata or {}), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if not self._pattern.fullmatch(text):
            raise ma.ValidationError(self._advice)
        return text


class Whole(fields.Integer):
    """A whole number from ``low`` to ``high``; a string or a boolean is not one."""

    def __init__(self, low: int, high: int, **kwargs: Any) -> None:
        super().__init__(strict=True, validate=validate.Range(low, high), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        if type(value) is not int:
            raise self.make_error("invalid")
        return super()._deserialize(value, attr, data, **kwargs)


class Number(fields.Float):
    """A finite number from ``low`` to ``high``; a string or a boolean is not one."""

    def __init__(self, low: float, high: float, **kwargs: Any) -> None:
        super().__init__(validate=validate.Range(low, high), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> float:
        if type(value) not in (int, float):
            raise self.make_error("invalid")
        return super()._deserialize(value, attr, data, **kwargs)


class Flag(fields.Boolean):
    """true or false; not 1, not "yes"."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid")
        return super()._deserialize(value, attr, data, **kwargs)


class Choice(fields.String):
    """One of a few words; ``of`` is what ``typing.get_args`` gives of a Literal."""

    def __init__(self, of: tuple[str, ...], **kwargs: Any) -> None:
        super().__init__(validate=validate.OneOf(of), **kwargs)


class Texts(fields.List[Any]):
    """At most ``most`` texts."""

    def __init__(self, item: fields.Field[Any], most: int, **kwargs: Any) -> None:
        super().__init__(item, validate=validate.Length(max=most), **kwargs)
