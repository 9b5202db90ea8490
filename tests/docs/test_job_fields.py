"""The page of a job's fields says what the hub's schema says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import marshmallow as ma
import pytest
from marshmallow import fields, validate

from fileflux.cli.job_options import OPTIONS
from fileflux.cli.job_shown import DEFAULTS
from fileflux.web.job_schemas import JobIn
from tests.docs.runner import ROOT

pytestmark = pytest.mark.unit

PAGE = ROOT / "docs" / "how-to" / "job-fields.md"
WORDS = {"": (ma.missing, "", [], None), "both": (["mtime", "mode"],), "by hand": (None,), "by events": (None,)}
WORDS |= {"off": (None,), "nothing": (None,), "none": (None,), "`.fileflux-archive`": ("",)}
"""What stands in the page for a default that would say nothing as it is."""


def told() -> dict[str, tuple[str, str, str]]:
    """Values, default and meaning by field."""
    rows = re.findall(r"^\| `([a-z_.]+)` \| (.*?) \| (.*?) ?\| (.*?) \|$", PAGE.read_text(), re.MULTILINE)
    return {name: (values, default, meaning) for name, values, default, meaning in rows}


def declared(schema: ma.Schema, above: str = "") -> Iterator[tuple[str, fields.Field[Any]]]:
    for own_name, field in schema.fields.items():
        name = above + (field.data_key or own_name)
        yield name, field
        if isinstance(field, fields.Nested):
            yield from declared(field.schema, f"{name}.")


def in_words(value: Any) -> str:
    shown = (
        str(value).lower() if isinstance(value, bool) else f"{value:.0f}" if isinstance(value, float) else str(value)
    )
    return f"`{shown}`"


FIELDS = dict(declared(JobIn()))


def test_every_field_has_its_line() -> None:
    assert list(told()) == list(FIELDS)


@pytest.mark.parametrize("name", FIELDS)
def test_the_line_is_true(name: str) -> None:
    field = FIELDS[name]
    values, default, meaning = told()[name]
    assert meaning
    usual = ma.missing if name == "retry" else DEFAULTS.get(name, field.load_default)
    assert usual in WORDS[default] if default in WORDS else default == in_words(usual)
    for validator in (field.inner if isinstance(field, fields.List) else field).validators:
        if isinstance(validator, validate.OneOf):
            assert values == ", ".join(f"`{choice}`" for choice in validator.choices)
        if isinstance(validator, validate.Range):
            assert values == (
                "an agent" if name.endswith("_id") else f"{validator.min} to {validator.max:.0f}".replace(".0 ", " ")
            )


def test_the_defaults_of_the_command_line_are_those_of_the_hub() -> None:
    loaded = {name: field.load_default for name, field in FIELDS.items() if "." not in name}
    made = {name: value() if callable(value) else value for name, value in loaded.items() if value is not ma.missing}
    assert {name: value for name, value in made.items() if name != "enabled"} == DEFAULTS


def test_every_field_has_an_option() -> None:
    by_places = {"name", "source_agent_id", "source_path", "destination_agent_id", "destination_path"}
    by_commands = {"enabled", "ad_hoc", "retry"}
    given = {name.replace(".", "_") for name in FIELDS}
    assert given - set(OPTIONS) == by_places | by_commands
