"""Prints results on stdout: a plain table for people, JSON or YAML for programs."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fileflux.cli.options import Format

Record = Mapping[str, Any]

_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def print_records(records: Sequence[Record], columns: Sequence[str], form: Format) -> None:
    """A list: a table of ``columns``, or every field as JSON or YAML."""
    if form is not Format.TABLE:
        _print_data(list(records), form)
        return
    rows = [[name.upper().replace("_", " ") for name in columns]]
    rows += [[cell(record.get(name)) for name in columns] for record in records]
    widths = [max(len(row[index]) for row in rows) for index in range(len(columns))]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def print_record(record: Record, form: Format) -> None:
    """One thing: its fields, one a line."""
    if form is not Format.TABLE:
        _print_data(dict(record), form)
        return
    width = max((len(name) for name in record), default=0)
    for name, value in record.items():
        print(f"{name.ljust(width)}  {cell(value)}".rstrip())


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
    return clean(str(value))


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


def chosen(form: Format, *, as_json: bool) -> Format:
    """``--json`` is short for ``-o json``."""
    return Format.JSON if as_json else form


def _print_data(data: Any, form: Format) -> None:
    if form is Format.JSON:
        print(json.dumps(data, indent=2))
        return
    import yaml

    print(yaml.safe_dump(data, sort_keys=False), end="")
