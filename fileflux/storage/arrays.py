"""Columns of many rows as array literals: one parameter a column instead of one for each value of each row.

Five hundred rows of twenty columns as VALUES are ten thousand constants, which the driver quotes and the server plans one by one: 15 ms of both.
"""

from __future__ import annotations

from collections.abc import Iterable


def numbers(values: Iterable[int | None]) -> str:
    """For ``bigint[]`` and ``int[]``."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def flags(values: Iterable[bool]) -> str:
    """For ``bool[]``."""
    return "{" + ",".join(["t" if value else "f" for value in values]) + "}"


def binaries(values: Iterable[bytes | None]) -> str:
    """For ``bytea[]``."""
    return "{" + ",".join(["NULL" if value is None else f'"\\\\x{value.hex()}"' for value in values]) + "}"


def texts(values: Iterable[str | None]) -> str:
    """For ``text[]``. NUL and lone surrogates are refused by the driver, as in any other parameter."""
    return "{" + ",".join(["NULL" if value is None else f'"{_escaped(value)}"' for value in values]) + "}"


def _escaped(value: str) -> str:
    if "\\" in value or '"' in value:
        return value.replace("\\", "\\\\").replace('"', '\\"')
    return value
