"""What a file is called when a newer one takes its name: ``name.~N~``, the highest N the newest (docs/how-to/file-policies.md)."""

from __future__ import annotations

import re
from typing import Final

_VERSION: Final = re.compile(r"(.+)\.~([1-9][0-9]{0,17})~", re.DOTALL)


def version_name(name: str, number: int) -> str:
    """The name of a kept version of ``name``."""
    return f"{name}.~{number}~"


def version_of(name: str) -> tuple[str, int] | None:
    """The name that a kept version had, and its number; None if ``name`` is not of that form. One component only."""
    found = _VERSION.fullmatch(name)
    return None if found is None else (found[1], int(found[2]))


def is_version_name(path: str) -> bool:
    """Whether the last component of a relative path is the name of a kept version."""
    return version_of(path.rpartition("/")[2]) is not None
