"""Prints results on stdout: a plain table for people, JSON or YAML for programs."""

from __future__ import annotations

import json
import re
import shutil
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fileflux.cli.options import Format
from fileflux.errors import ConfigError

Record = Mapping[str, Any]

_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?\+00:00")
_GAP: Final = "  "
_LAST_NARROWEST: Final = 12
_NARROWEST: Final = 6
"""A column is not cut below this to make room for the others: what is left of it would say nothing."""


def print_records(records: Sequence[Record], columns: Sequence[str], form: Format, fields: Sequence[str] = ()) -> None:
    """A list: a table of ``columns``, or every field as JSON or YAML; with ``fields`` those only. Raises ConfigError for one that is not there."""
    chosen_fields = _checked(records, fields)
    if form is not Format.TABLE:
        _print_data([_picked(record, chosen_fields) for record in records], form)
        return
    names = chosen_fields or columns
    rows = [[clean(name.upper().replace("_", " ")) for name in names]]
    rows += [[cell(record.get(name)) for name in names] for record in records]
    widths = [max(_width(row[index]) for row in rows) for index in range(len(names))]
    limit = _terminal_width()
    if limit is not None:
        _narrow(widths, limit)
    for row in rows:
        line = _GAP.join(_fit(text, width) for text, width in zip(row, widths, strict=True)).rstrip()
        print(line if limit is None else _cut(line, limit))


def print_record(record: Record, form: Format, fields: Sequence[str] = ()) -> None:
    """One thing: its fields, one a line."""
    shown = _picked(record, _checked([record], fields))
    if form is not Format.TABLE:
        _print_data(shown, form)
        return
    width = max((len(name) for name in shown), default=0)
    for name, value in shown.items():
        print(f"{clean(name).ljust(width)}  {cell(value)}".rstrip())


def cell(value: Any) -> str:
    """A value as one line of text that cannot steer the terminal."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(clean(item) for item in value) or "-"
    if isinstance(value, list | dict):
        return json.dumps(value)
    text = str(value)
    time = _TIME.fullmatch(text)
    return f"{time[1]} {time[2]}Z" if time else clean(text)


def clean(text: str) -> str:
    """Control and invisible characters become escapes: names of files and agents are chosen by others."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode("ascii") if unicodedata.category(char) in _HIDDEN else char
        for char in text
    )


def size(count: float) -> str:
    """Bytes for people: 1536 is "1.5 KiB"."""
    value = float(count)
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def duration(seconds: float) -> str:
    """Time for people: 75 is "1:15"."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _print_data(data: Any, form: Format) -> None:
    if form is Format.JSON:
        print(json.dumps(data, indent=2))
        return
    import yaml

    print(yaml.safe_dump(data, sort_keys=False), end="")


def _checked(records: Sequence[Record], fields: Sequence[str]) -> Sequence[str]:
    known = {name for record in records for name in record}
    unknown = [name for name in fields if name not in known]
    if unknown and records:
        raise ConfigError(f"there is no field {unknown[0]!r}; there are {', '.join(sorted(known))}")
    return fields


def _picked(record: Record, fields: Sequence[str]) -> dict[str, Any]:
    return {name: record.get(name) for name in fields} if fields else dict(record)


def _terminal_width() -> int | None:
    """Columns of the terminal that shows stdout; a file or a pipe takes lines of any length."""
    return max(1, shutil.get_terminal_size().columns) if sys.stdout.isatty() else None


def _narrow(widths: list[int], limit: int) -> None:
    """Take from the last column, which says why, then from the widest ones until all fit: half a time or status says nothing."""
    room = limit - len(_GAP) * (len(widths) - 1)
    widths[-1] = max(min(widths[-1], _LAST_NARROWEST), widths[-1] - max(0, sum(widths) - room))
    while sum(widths) > room:
        widest = max(range(len(widths)), key=lambda index: widths[index])
        if widths[widest] <= _NARROWEST:
            return
        widths[widest] -= 1


def _width(text: str) -> int:
    """Columns on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def _fit(text: str, width: int) -> str:
    """Exactly so wide."""
    text = _cut(text, width)
    return text + " " * (width - _width(text))


def _cut(text: str, width: int) -> str:
    if _width(text) <= width:
        return text
    room, kept = width - 1, ""
    for char in text:
        room -= _width(char)
        if room < 0:
            break
        kept += char
    return f"{kept}…"
