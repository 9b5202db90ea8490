"""Rows of a job file (``jobs/job_file.py``) as jobs, and jobs as rows: the fields of the API, but agents by name.

``source_agent`` and ``destination_agent`` hold names; ``source_agent_id`` and ``destination_agent_id`` are taken too. In CSV, where all is text,
each cell becomes what its field wants.
"""

from __future__ import annotations

import difflib
import functools
import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import marshmallow as ma
from marshmallow import fields

from fileflux.jobs.job_file import Form, Row, items_of
from fileflux.web.job_schemas import JobIn, Posted, job_fields
from fileflux.web.problems import flatten

Kind = Literal["text", "whole", "number", "flag", "list"]
ROLES: Final = ("source", "destination")
TEXT_MAX: Final = 300
"""Characters of one message, and of a field's name in it."""
ERRORS_MAX: Final = 40
"""Of one kind, of one row."""
CANDIDATES_MAX: Final = 50
"""Names that are compared with one that is not known: each costs 20 µs, and a file may have 20,000 of those."""
_NEEDED: Final = {
    "name": "x",
    "source_agent_id": 1,
    "source_path": "/a",
    "destination_agent_id": 2,
    "destination_path": "/b",
}
"""Fields without a default, for a job that would be good with them."""
_TRUE: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class Checked:
    """A row that is a job, or why it is none: ``errors`` by field."""

    row: int
    name: str
    posted: Posted | None
    errors: Mapping[str, list[str]]


@functools.cache
def kinds() -> Mapping[str, Kind]:
    """What each field of a job takes, by its name in CSV, agents' names among them; in the order of the columns."""
    named = {f"{role}_agent": "text" for role in ROLES} | dict(_kinds(JobIn(), ""))
    first = ("name", "source_agent", "source_path", "destination_agent", "destination_path")
    return {name: named[name] for name in (*first, *named)}  # type: ignore[misc]  # mypy takes the values for any text


def columns() -> list[str]:
    """Of an export, those that it needs."""
    return list(kinds())


def check(row: Row, form: Form, agents: Mapping[str, int]) -> Checked:
    """Read a row as a job; every error of it at once. ``agents``: ids by name, of those that a job may use."""
    given, errors = dict(row.fields), dict[str, list[str]]()
    name = str(given.get("name", ""))[:TEXT_MAX]
    if form == "csv":
        given = _typed(given, errors)
    for role in ROLES:
        _with_agent(given, role, agents, errors)
    unknown = [name for name in given if name not in _data_keys()]
    for field in unknown[:ERRORS_MAX]:
        errors[str(field)[:TEXT_MAX]] = [_unknown(str(field), [*_data_keys(), "source_agent", "destination_agent"])]
    given = {name: value for name, value in given.items() if name in _data_keys()}
    posted = _loaded(given, errors)
    return Checked(row.number, name if posted is None else posted.spec.name, None if errors else posted, errors)


def _loaded(given: Mapping[str, Any], errors: dict[str, list[str]]) -> Posted | None:
    try:
        posted: Posted = _schema().load(given)
    except ma.ValidationError as error:
        _add(errors, error)
    else:
        return posted
    # The rules between fields are looked at only where each field is good by itself: those that are not are left out for that.
    wrong = {name.partition(".")[0] for name in errors}
    rest = {name: value for name, value in given.items() if name not in wrong}
    if len(rest) < len(given):
        try:
            _schema().load(_NEEDED | rest)
        except ma.ValidationError as error:
            _add(errors, error)
    return None


def _add(errors: dict[str, list[str]], error: ma.ValidationError) -> None:
    for field, texts in itertools.islice(flatten(error.messages), ERRORS_MAX):
        errors.setdefault(field[:TEXT_MAX], [text[:TEXT_MAX] for text in texts])


def as_row(posted: Posted, agents: Mapping[int, str]) -> dict[str, Any]:
    """The fields of a job that are not as they would be without them; agents by name, or by id where one has none any more."""
    shown = {**job_fields(posted.spec), "enabled": posted.enabled}
    row: dict[str, Any] = {"name": shown.pop("name")}
    for role in ROLES:
        agent_id = shown.pop(f"{role}_agent_id")
        known = agents.get(agent_id)
        row |= {f"{role}_agent_id": agent_id} if known is None else {f"{role}_agent": known}
        row[f"{role}_path"] = shown.pop(f"{role}_path")
    return row | {name: _plain(value) for name, value in shown.items() if value != _defaults()[name]}


@functools.cache
def _schema() -> JobIn:
    return JobIn()


@functools.cache
def _data_keys() -> frozenset[str]:
    return frozenset(field.data_key or name for name, field in _schema().fields.items()) - {"ad_hoc"}


@functools.cache
def _defaults() -> Mapping[str, Any]:
    made: Posted = JobIn().load(_NEEDED)
    return {**job_fields(made.spec), "enabled": made.enabled}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _kinds(schema: ma.Schema, above: str) -> Iterator[tuple[str, Kind]]:
    for field_name, field in schema.fields.items():
        name = above + (field.data_key or field_name)
        if name == "ad_hoc":
            continue  # A job that is made for one run is in no file.
        if isinstance(field, fields.Nested):
            yield from _kinds(field.schema, f"{name}.")
        elif isinstance(field, fields.Boolean):
            yield name, "flag"
        elif isinstance(field, fields.Integer):
            yield name, "whole"
        elif isinstance(field, fields.Float):
            yield name, "number"
        else:
            yield name, "list" if isinstance(field, fields.List) else "text"


def _typed(cells: Mapping[str, str], errors: dict[str, list[str]]) -> dict[str, Any]:
    """The cells as what their fields take, nested ones in their mappings; what does not fit stays a text, which the schema refuses."""
    typed: dict[str, Any] = {}
    for name, cell in cells.items():
        kind = kinds().get(name)
        if kind is None:
            errors[name[:TEXT_MAX]] = [_unknown(name, kinds())]
            continue
        above, _, last = name.rpartition(".")
        place = typed.setdefault(above, {}) if above else typed
        place[last] = _value(cell, kind)
    return typed


def _value(cell: str, kind: Kind) -> Any:
    if kind == "list":
        return items_of(cell)
    if kind == "flag":
        return _TRUE.get(cell.strip().lower(), cell)
    if kind in ("whole", "number"):
        try:
            return int(cell) if kind == "whole" or cell.strip().lstrip("+-").isdigit() else float(cell)
        except ValueError:
            return cell
    return cell


def _with_agent(given: dict[str, Any], role: str, agents: Mapping[str, int], errors: dict[str, list[str]]) -> None:
    """The agent's id in the place of its name."""
    name = given.pop(f"{role}_agent", None)
    if name is None:
        if f"{role}_agent_id" not in given:
            errors[f"{role}_agent"] = ["Missing: the name of an agent, or its id as " + f"{role}_agent_id."]
            given[f"{role}_agent_id"] = 1
        elif given[f"{role}_agent_id"] not in agents.values():
            errors[f"{role}_agent_id"] = ["There is no such agent, or it is revoked."]
        return
    if f"{role}_agent_id" in given:
        errors[f"{role}_agent"] = [f"Given twice: leave out this or {role}_agent_id."]
        return
    found = agents.get(name) if isinstance(name, str) else None
    if found is None:
        errors[f"{role}_agent"] = [
            f"There is no agent {str(name)[:80]!r}, or it is revoked.{_nearest(str(name), agents)}"
        ]
    given[f"{role}_agent_id"] = found or (1 if role == "source" else 2)


def _unknown(name: str, known: Collection[str]) -> str:
    return f"Unknown field.{_nearest(name, known)}"


def _nearest(name: str, known: Collection[str]) -> str:
    alike = (other for other in known if other[:1] == name[:1] and abs(len(other) - len(name)) <= 3)
    close = difflib.get_close_matches(name, list(itertools.islice(alike, CANDIDATES_MAX)), 1) if len(name) < 80 else []
    return f" Did you mean {close[0]}?" if close else ""
