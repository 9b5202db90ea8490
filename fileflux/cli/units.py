"""Sizes and times as people write them."""

from __future__ import annotations

import re
from typing import Final

from fileflux.errors import ConfigError

_SIZES: Final = {"": 1, "B": 1, "KIB": 1024, "K": 1024, "MIB": 1024**2, "M": 1024**2, "GIB": 1024**3, "G": 1024**3}
_TIMES: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_SIZE: Final = re.compile(r"([0-9]{1,12})\s*([A-Za-z]*)")
_TIME: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhd]?)")


def bytes_of(option: str, text: str) -> int:
    """``8388608``, ``512KiB``, ``16M``: powers of two. Raises ConfigError."""
    match = _SIZE.fullmatch(text.strip())
    unit = None if match is None else _SIZES.get(match[2].upper())
    if match is None or unit is None:
        raise ConfigError(f"{option}: {text!r} is no size; write bytes, or as in 512KiB or 16MiB")
    return int(match[1]) * unit


def seconds_of(option: str, text: str) -> float:
    """``10``, ``10s``, ``90m``, ``1h30m``, ``7d``. Raises ConfigError."""
    parts = list(_TIME.finditer(text.strip()))
    if not parts or "".join(part[0] for part in parts) != text.strip():
        raise ConfigError(f"{option}: {text!r} is no time; write seconds, or as in 30s, 90m, 1h30m or 7d")
    return sum(float(part[1]) * _TIMES[part[2]] for part in parts)
