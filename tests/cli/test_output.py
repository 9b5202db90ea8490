from __future__ import annotations

import json

import pytest
import yaml

from fileflux.cli.options import Format
from fileflux.cli.output import cell, chosen, clean, print_record, print_records, size

pytestmark = pytest.mark.unit
RECORDS = [{"id": 1, "name": "short", "tags": []}, {"id": 22, "name": "much longer", "tags": ["a", "b"], "hidden": 1}]


def test_a_table_is_aligned_and_shows_its_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_records(RECORDS, ("id", "name", "tags"), Format.TABLE)
    assert capsys.readouterr().out.splitlines() == [
        "ID  NAME         TAGS",
        "1   short        -",
        "22  much longer  a, b",
    ]
    print_records([], ("id",), Format.TABLE)
    assert capsys.readouterr().out == "ID\n"


def test_json_and_yaml_have_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    print_records(RECORDS, ("id",), Format.JSON)
    assert json.loads(capsys.readouterr().out) == RECORDS
    print_records(RECORDS, ("id",), Format.YAML)
    assert yaml.safe_load(capsys.readouterr().out) == RECORDS
    print_record(RECORDS[0], Format.JSON)
    assert json.loads(capsys.readouterr().out) == RECORDS[0]


@pytest.mark.parametrize(
    "text", ["\x1b[2J", "a\r\nb", "\x00", "\u202egnp.exe", "\u200b", "\x9b31m", "\u2028", "\ud800"]
)
def test_nothing_printed_can_steer_the_terminal(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert text not in clean(text)
    assert clean(text).isprintable()
    record = {"name": text, "list": [text]}
    for form in Format:
        print_record(record, form)
        assert all(char == "\n" or char.isprintable() for char in capsys.readouterr().out)


def test_readable_text_stays_as_it_is() -> None:
    assert clean("Größe 文件 🙂") == "Größe 文件 🙂"


def test_cells() -> None:
    assert [cell(value) for value in (None, True, False, 1.5, [], {"a": 1})] == [
        "-",
        "yes",
        "no",
        "1.5",
        "-",
        '{"a": 1}',
    ]


def test_sizes_and_the_short_form() -> None:
    assert [size(count) for count in (0, 1023, 1536, 300 * 2**20, 2**70)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "300.0 MiB",
        "1048576.0 PiB",
    ]
    assert chosen(Format.TABLE, as_json=True) is Format.JSON
    assert chosen(Format.YAML, as_json=False) is Format.YAML
