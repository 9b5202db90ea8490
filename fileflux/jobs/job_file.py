"""Files of many jobs: JSON, YAML and CSV to rows, and back. What a field means is not known here; ``web/job_rows.py`` checks the rows.

A row is a mapping of field names. In CSV the names of nested fields have a dot in them (``retry.attempts``) and every value is a text.
"""

from __future__ import annotations

import csv
import functools
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal, NoReturn, get_args

from fileflux.errors import Fault, FluxError
from fileflux.protocol.limits import KIB, MIB

Form = Literal["json", "yaml", "csv"]
FORMS: Final[tuple[Form, ...]] = get_args(Form)
ROWS_MAX: Final = 20_000
ALIASES_MAX: Final = 20_000
YAML_MAX: Final = 8 * MIB
"""Reading it takes a second for each MiB, thirty times as long as JSON."""
CELL_MAX: Final = 512 * KIB
_FORMULA: Final = frozenset("=+-@\t\r")
"""What makes a spreadsheet compute a cell."""


class JobFileError(FluxError):
    """The file as a whole cannot be read; the message names the line where that is known."""

    code = "bad_job_file"
    fault = Fault.USER


@dataclass(frozen=True, slots=True)
class Row:
    """``number``: of the job in its file, from 1; in CSV the line, where the header is line 1."""

    number: int
    fields: dict[str, Any]


def parse(content: bytes, form: Form) -> list[Row]:
    """The rows of a file. Raises JobFileError."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise JobFileError(f"line {line}: the file is not UTF-8: save it as UTF-8") from None
    if "\0" in text:
        raise JobFileError("the file has a NUL character in it: save it as UTF-8 text")
    rows = _from_csv(text) if form == "csv" else _from_document(_json(text) if form == "json" else _yaml(text))
    if len(rows) > ROWS_MAX:
        raise JobFileError(f"the file has {len(rows)} jobs: at most {ROWS_MAX} at once, so cut it into parts")
    return rows


def render_json(jobs: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A list of jobs, in parts; ``parse`` reads it."""
    between = "[\n"
    for job in jobs:
        yield between + json.dumps(job, ensure_ascii=False)
        between = ",\n"
    yield "[]\n" if between == "[\n" else "\n]\n"


def render_yaml(jobs: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """As ``render_json``. Our own few lines: a library for any document takes ten times as long."""
    empty = True
    for job in jobs:
        empty = False
        lines = [line for name, value in job.items() for line in _yaml_lines(name, value)]
        yield "- " + "\n  ".join(lines) + "\n"
    if empty:
        yield "[]\n"


def render_csv(jobs: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> Iterator[str]:
    """As ``render_json``; what a job does not name is an empty cell. A cell that a spreadsheet would compute begins with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    for job in jobs:
        flat = dict(_flat(job))
        writer.writerow([_safe(flat.get(name, "")) for name in columns])
        yield text.getvalue()
        text.seek(0)
        text.truncate()
    yield text.getvalue()


def cell_of(items: Sequence[str]) -> str:
    """A list as a cell that is not empty: ``a;b``, or as JSON where that would be read as another list. ``items_of`` is the inverse."""
    cell = ";".join(items)
    return cell if items and items_of(cell) == list(items) else json.dumps(list(items), ensure_ascii=False)


def items_of(cell: str) -> list[str]:
    """The list that a cell holds: parts between ``;`` and line breaks, or a JSON list of texts."""
    if cell.lstrip().startswith("["):
        with suppress(ValueError, RecursionError):
            items = json.loads(cell)
            if isinstance(items, list) and all(isinstance(item, str) for item in items):
                return items
    return [part.strip() for part in re.split("[;\n]", cell) if part.strip()]


def _from_csv(text: str) -> list[Row]:
    csv.field_size_limit(CELL_MAX)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if not any(header):
            raise JobFileError(
                "line 1: the file has no header: it names the fields, as in name,source_agent,source_path"
            )
        twice = {name for name in header if header.count(name) > 1}
        if twice:
            raise JobFileError(f"line 1: the column {min(twice) or '(without a name)'} is there twice")
        rows: list[Row] = []
        while True:
            line = reader.line_num + 1
            cells = next(reader, None)
            if cells is None:
                return rows
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) > len(header):
                raise JobFileError(
                    f"line {line}: {len(cells)} cells, and the header has {len(header)}: quote what has a comma"
                )
            named = ((name, _unsafe(cell)) for name, cell in zip(header, cells, strict=False))
            rows.append(Row(line, {name: cell for name, cell in named if cell != ""}))
    except csv.Error as error:
        raise JobFileError(f"line {reader.line_num}: this is not CSV: {error}") from None


def _from_document(document: Any) -> list[Row]:
    jobs = document.get("jobs") if isinstance(document, dict) and set(document) == {"jobs"} else document
    if not isinstance(jobs, list):
        raise JobFileError("the file has to be a list of jobs, or {jobs: [...]}")
    rows = []
    for number, fields in enumerate(jobs, 1):
        if not isinstance(fields, dict):
            raise JobFileError(f"job {number} is no mapping of fields: it is {type(fields).__name__}")
        rows.append(Row(number, fields))
    return rows


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise JobFileError(f"line {error.lineno}: this is not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise JobFileError(f"this is not JSON that can be used: {error}") from None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)} appears twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _yaml(text: str) -> Any:
    import yaml

    if len(text) > YAML_MAX:
        raise JobFileError(
            f"the file is too long: {YAML_MAX // MIB} MiB of YAML at most, so cut it into parts or write JSON"
        )
    try:
        if "&" in text:
            _check_aliases(yaml.parse(text, Loader=_loader()))
        return yaml.load(text, Loader=_loader())  # noqa: S506  # nosec B506  # the loader makes nothing but texts, numbers, lists and mappings
    except yaml.MarkedYAMLError as error:
        mark: Any = error.problem_mark or error.context_mark
        hint = ": put values that begin with * in quotes" if "alias" in (error.problem or "") else ""
        where = "" if mark is None else f"line {mark.line + 1}: "
        raise JobFileError(f"{where}this is not YAML: {error.problem}{hint}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise JobFileError(f"this is not YAML that can be used: {' '.join(str(error).split())[:200]}") from None


def _check_aliases(events: Iterable[Any]) -> None:
    """An anchor that holds another's alias doubles with every step, so a file of some lines would fill the memory."""
    import yaml

    anchored: list[bool] = []
    aliases = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            aliases += 1
            if any(anchored) or aliases > ALIASES_MAX:
                mark: Any = event.start_mark
                raise JobFileError(
                    f"line {mark.line + 1}: an alias inside of an anchor, or more than {ALIASES_MAX} aliases, cannot be read"
                )
        elif isinstance(event, yaml.CollectionStartEvent):
            anchored.append(event.anchor is not None)
        elif isinstance(event, yaml.CollectionEndEvent):
            anchored.pop()


@functools.cache
def _loader() -> Any:
    """YAML 1.2's few types: `no` is a text and 06:00 is no number."""
    import yaml

    # The one in C is not there everywhere.
    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    def construct_mapping(loader: Any, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002  # as in the base class
        names = [key.value for key, _ in node.value if isinstance(key.value, str) and key.value != "<<"]
        if len(set(names)) != len(names):
            name = next(name for name in names if names.count(name) > 1)
            raise yaml.constructor.ConstructorError(None, None, f"the key {name} appears twice", node.start_mark)
        return base.construct_mapping(loader, node, deep)

    loader: Any = type("Loader", (base,), {"yaml_implicit_resolvers": {}, "construct_mapping": construct_mapping})
    for tag, pattern, first in _PLAIN:
        loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), first)
    return loader


_PLAIN: Final = (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"^[-+]?[0-9]+$", list("-+0123456789")),
    ("float", r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?$", list("-+.0123456789")),
    ("merge", r"^<<$", ["<"]),
)


def _yaml_lines(name: str, value: Any) -> Iterator[str]:
    """A field as lines without their indent: a scalar, a list of scalars or a mapping of them."""
    if isinstance(value, Mapping) and value:
        yield f"{name}:"
        yield from (f"  {part}: {_yaml_scalar(below)}" for part, below in value.items())
    elif isinstance(value, list | tuple) and value:
        yield f"{name}:"
        yield from (f"- {_yaml_scalar(below)}" for below in value)
    else:
        yield f"{name}: {_yaml_scalar(value)}"


def _yaml_scalar(value: Any) -> str:
    """What every reader of YAML takes for this: a text is in quotes unless it is a word or a path."""
    if not isinstance(value, str):
        return json.dumps(value)
    if _WORD.fullmatch(value) and value.lower() not in _NO_TEXTS:
        return value
    shown = json.dumps(value, ensure_ascii=False)
    return shown if shown.isprintable() else "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in shown)


_WORD: Final = re.compile(r"[A-Za-z/][A-Za-z0-9_./+-]*(?: [A-Za-z0-9_./+-]+)*")
_NO_TEXTS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})


def _flat(fields: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        elif isinstance(value, list | tuple):
            yield above + name, cell_of(value)
        elif isinstance(value, bool):
            yield above + name, "true" if value else "false"
        elif value is not None:
            yield above + name, str(value)


def _safe(cell: str) -> str:
    return f"'{cell}" if cell and (cell[0] in _FORMULA or cell[0] == "'") else cell


def _unsafe(cell: str) -> str:
    """The inverse of ``_safe``."""
    escaped = len(cell) > 1 and cell[0] == "'" and (cell[1] in _FORMULA or cell[1] == "'")
    return cell[1:] if escaped else cell
