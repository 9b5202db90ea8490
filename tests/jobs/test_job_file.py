"""Files of jobs: what is read, what is refused and where, and that what is written is read again."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fileflux.jobs.job_file import (
    FORMS,
    Form,
    JobFileError,
    Row,
    cell_of,
    items_of,
    parse,
    render_csv,
    render_json,
    render_yaml,
)

pytestmark = pytest.mark.unit

JOBS: list[dict[str, Any]] = [
    {"name": "nightly", "schedule": "*/5 * * * *", "expected_by": "06:00", "tags": ["no", "yes"], "enabled": False},
    {"name": "=cmd|' /C calc'!A0", "include": ["'-rf", "@x"], "description": 'two\nlines, "quoted"', "parallel": 3},
    {"name": "überweg 日本", "retry": {"attempts": 1, "delay": 0.5}},
]


def render(form: Form, jobs: list[dict[str, Any]]) -> bytes:
    columns = ["name", "schedule", "expected_by", "tags", "enabled", "include", "description", "parallel"]
    parts = {
        "json": lambda: render_json(jobs),
        "yaml": lambda: render_yaml(jobs),
        "csv": lambda: render_csv(jobs, [*columns, "retry.attempts", "retry.delay"]),
    }[form]()
    return "".join(parts).encode()


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_what_is_written_is_read_again(form: Form) -> None:
    assert [row.fields for row in parse(render(form, JOBS), form)] == JOBS
    assert parse(render(form, []), form) == []


def test_a_spreadsheet_computes_nothing_and_every_cell_comes_back() -> None:
    text = render("csv", JOBS).decode()
    assert "\r\n'=cmd" in text
    assert [row.fields for row in parse(text.encode(), "csv")] == [
        {"name": "nightly", "schedule": "*/5 * * * *", "expected_by": "06:00", "tags": "no;yes", "enabled": "false"},
        {"name": JOBS[1]["name"], "include": "'-rf;@x", "description": JOBS[1]["description"], "parallel": "3"},
        {"name": JOBS[2]["name"], "retry.attempts": "1", "retry.delay": "0.5"},
    ]


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["a: b", "- a", "yes", "No", "~", "1e5", "0x1F", "a #b", "a:", "=", "<<", "2026-01-01", "a  b", "\ufeffa", "x\x85\u2028", "null", ".inf"]
)  # fmt: skip
VALUES = TEXTS | st.booleans() | st.none() | st.integers(-(2**40), 2**40) | st.sampled_from([0.5, 20.0, 1e9])
FIELDS = VALUES | st.lists(TEXTS, max_size=3) | st.dictionaries(st.sampled_from(["settle", "marker"]), VALUES)


@given(st.lists(st.dictionaries(st.sampled_from(["name", "tags", "watch"]), FIELDS, min_size=1), max_size=3))
def test_whatever_the_values_are_every_reader_of_yaml_reads_them(jobs: list[dict[str, Any]]) -> None:
    text = "".join(render_yaml(jobs))
    assert [row.fields for row in parse(text.encode(), "yaml")] == jobs
    assert yaml.safe_load(text) == jobs


@given(st.lists(TEXTS | st.sampled_from(["a;b", '["x"]', "[a]*", " "]), max_size=3))
def test_a_cell_holds_any_list(items: list[str]) -> None:
    assert items_of(cell_of(items)) == items


def test_lists_as_people_write_them() -> None:
    assert items_of(" *.csv; /in/**\n[ab]*;") == ["*.csv", "/in/**", "[ab]*"]
    assert (cell_of(["a", "b"]), cell_of([]), cell_of(["a;b"])) == ("a;b", "[]", '["a;b"]')


def test_csv_counts_lines_and_leaves_empty_cells_out() -> None:
    rows = parse(b'\xef\xbb\xbfname, tags\r\n\r\na,"x\ny"\r\nb,\r\n', "csv")
    assert rows == [Row(3, {"name": "a", "tags": "x\ny"}), Row(5, {"name": "b"})]


def test_yaml_has_few_types_and_anchors_that_hold_no_others() -> None:
    text = b"base: &b {parallel: 2}\njobs: []\n"
    with pytest.raises(JobFileError, match="list of jobs"):
        parse(text, "yaml")
    rows = parse(
        b"- &b {name: a, parallel: 2, on: off, at: 06:00, x: ~, day: 2026-01-02}\n- {<<: *b, name: b}\n", "yaml"
    )
    assert rows[0].fields == {"name": "a", "parallel": 2, "on": "off", "at": "06:00", "x": None, "day": "2026-01-02"}
    assert rows[1].fields == {**rows[0].fields, "name": "b"}


@pytest.mark.parametrize(
    ("form", "content", "message"),
    [
        ("yaml", b"- a: *x\n", "line 1: .*alias: put values that begin with \\* in quotes"),
        ("yaml", b"- name: a\n  name: b\n", "line 1: .*name appears twice"),
        ("yaml", b"a: &a [1]\nb: &b [*a, *a]\nc: &c [*b, *b]\n", "line 2: an alias inside of an anchor"),
        ("yaml", b"- !!python/object/apply:os.system [ls]\n", "line 1: this is not YAML"),
        ("yaml", b"- [\n", "line 2: this is not YAML"),
        ("yaml", b"[" * 5000, "not YAML"),
        ("yaml", b"- 3\n", "job 1 is no mapping"),
        ("yaml", b"#" * (8 * 2**20 + 1), "8 MiB of YAML at most"),
        ("json", b"[{]", "line 1: this is not JSON"),
        ("json", b'[{"a": 1, "a": 2}]', "the key a appears twice"),
        ("json", b'[{"a": NaN}]', "NaN is no number"),
        ("json", b"[" * 100_000, "not JSON"),
        ("json", b'{"name": "a"}', "list of jobs"),
        ("csv", b"", "line 1: the file has no header"),
        ("csv", b"name,name\n", "line 1: the column name is there twice"),
        ("csv", b"name\na,b\n", "line 2: 2 cells, and the header has 1"),
        ("csv", b'name\n"a\n', "this is not CSV"),
        ("csv", b"name\na\x00b\n", "NUL"),
        ("csv", b"name\n\xff\n", "line 2: the file is not UTF-8"),
        ("csv", b"name\n" + b"a\n" * 20_001, "at most 20000 at once"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(form: Form, content: bytes, message: str) -> None:
    with pytest.raises(JobFileError, match=message):
        parse(content, form)


def test_all_forms_are_named() -> None:
    assert FORMS == ("json", "yaml", "csv")
