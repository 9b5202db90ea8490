"""Marks on the fields of control messages, read by ``codec.py``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Bounds:
    """Inclusive bounds of a number, or of a text's length in characters."""

    low: float
    high: float


class Kind(Enum):
    """Fields with a form of their own on the wire; described in ``messages.py``."""

    PATH = "path"
    DIGEST = "digest"
    PART = "part"
    RANGES = "ranges"
