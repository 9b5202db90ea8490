"""Values on their way into the database and rows on their way out of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg2.extras import Json

from fileflux.errors import FluxError, RefusedPathError

MAX_TEXT = 4096
"""Characters kept of a text that others wrote (a reason, a message): enough for any path, too little to fill a disk with."""


def safe_text(value: str) -> str:
    """``value`` as PostgreSQL can hold it, cut to MAX_TEXT: NUL and lone surrogates become visible escapes.

    For texts that are only shown. What a program reads back must be refused instead of changed: see ``exact_text``.
    """
    cut = value[:MAX_TEXT].replace("\0", "\\x00")
    return cut.encode("utf-8", "backslashreplace").decode("utf-8")


def exact_text(value: str, what: str) -> str:
    """``value`` itself. Raises FluxError (code ``bad_value``) when PostgreSQL cannot hold it."""
    if "\0" in value:
        raise FluxError(f"{what} contains a NUL character", code="bad_value")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise FluxError(f"{what} is not valid Unicode text", code="bad_value") from None
    return value


def exact_json(value: Mapping[str, Any], what: str) -> Json:
    """A jsonb parameter equal to ``value``. Raises FluxError (code ``bad_value``) when PostgreSQL cannot hold one of its texts."""
    _check_exact(value, what)
    return Json(value)


def safe_json(value: Mapping[str, Any]) -> Json:
    """A jsonb parameter for facts that are only shown; every text in it went through ``safe_text``."""
    return Json({safe_text(str(key)): _safe(item) for key, item in value.items()})


def name_to_bytes(name: str) -> bytes:
    """A file name as its file system holds it. The locale has no say in it, so that every hub stores the same bytes.

    Raises RefusedPathError for a name that has no bytes (a surrogate that stands for none).
    """
    try:
        return name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise RefusedPathError(f"{safe_text(name)}: the name cannot be encoded") from None


def shown_name(path: bytes) -> str:
    """``path`` as text for people: bytes that are no UTF-8, and NUL, become escapes."""
    return path.decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def optional_bytes(value: memoryview | bytes | None) -> bytes | None:
    """A bytea column as bytes."""
    return None if value is None else bytes(value)


def _check_exact(value: Any, what: str) -> None:
    match value:
        case str():
            exact_text(value, what)
        case Mapping():
            for key, item in value.items():
                exact_text(str(key), what)
                _check_exact(item, what)
        case list() | tuple():
            for item in value:
                _check_exact(item, what)
        case _:
            pass


def _safe(value: Any) -> Any:
    match value:
        case str():
            return safe_text(value)
        case None | bool() | int() | float():
            # NaN and the infinities are no JSON.
            return value if not isinstance(value, float) or abs(value) < float("inf") else str(value)
        case Mapping():
            return {safe_text(str(key)): _safe(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_safe(item) for item in value]
        case _:
            return safe_text(str(value))
