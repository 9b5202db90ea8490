"""Row dataclasses whose field names are their columns' names, so that SQL and dataclass cannot drift apart."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = TypeVar("Row", bound="DataclassInstance")

MAX_PAGE = 1000
"""Rows of one page, whatever a caller asks for."""


def columns(row_type: type[DataclassInstance], prefix: str = "") -> str:
    """The select list of ``row_type``, each column with ``prefix`` (an alias and a dot)."""
    return ", ".join(prefix + field.name for field in fields(row_type))


def make(row_type: type[Row], values: tuple[Any, ...] | None) -> Row | None:
    """The row, or None for None."""
    return None if values is None else row_type(*values)


def page_size(limit: int) -> int:
    """``limit`` within 1..MAX_PAGE."""
    return max(1, min(limit, MAX_PAGE))
