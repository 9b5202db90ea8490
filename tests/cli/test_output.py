from __future__ import annotations

import json

import pytest
import yaml

from fileflux.cli.options import Format
from fileflux.cli.output import cell, clean, duration, print_record, print_records, size
from fileflux.errors import ConfigError

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


def test_sizes_and_times() -> None:
    assert [size(count) for count in (0, 1023, 1536, 300 * 2**20, 2**70)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "300.0 MiB",
        "1048576.0 PiB",
    ]
    assert [duration(seconds) for seconds in (0, 75.9, 3_661)] == ["0:00", "1:15", "1:01:01"]


def test_fields_choose_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_records(RECORDS[1:], ("id", "name"), Format.JSON, ("name", "hidden"))
    assert json.loads(capsys.readouterr().out) == [{"name": "much longer", "hidden": 1}]
    print_records(RECORDS, ("id", "name"), Format.TABLE, ("tags", "id"))
    assert capsys.readouterr().out.splitlines()[0] == "TAGS  ID"
    print_record(RECORDS[0], Format.TABLE, ("name",))
    assert capsys.readouterr().out == "name  short\n"
    with pytest.raises(ConfigError, match="'nmae'; there are id, name, tags"):
        print_record(RECORDS[0], Format.JSON, ("nmae",))
    print_records([], ("id",), Format.JSON, ("anything",))
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize("columns", [1, 5, 20, 30, 80, 200])
def test_a_table_fits_the_terminal(columns: int, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = [{"id": 1, "name": "x" * 60, "path": "/srv/" + "ä" * 60}, {"id": 2, "name": "文件" * 20, "path": "/a"}]
    print_records(rows, ("id", "name", "path"), Format.TABLE)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    wide = [sum(2 if "\u4e00" <= char <= "\u9fff" else 1 for char in line) for line in lines]
    assert max(wide) <= columns
    # The last column gives way first.
    assert ("x" * 60 in lines[1]) == (columns >= 80)
    assert ("ä" * 60 in lines[1]) == (columns == 200)


def test_a_pipe_gets_whole_values(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    print_records([{"id": 1, "name": "x" * 60}], ("id", "name"), Format.TABLE)
    assert "x" * 60 in capsys.readouterr().out


@pytest.mark.parametrize(
    "value", ["no", "1.0", "=cmd|' /C calc'!A0", "!!python/object:os.system", "- a: b", "\ud800", "&a [*a]"]
)
def test_yaml_gives_back_what_went_in(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_record({"name": value}, Format.YAML)
    assert yaml.safe_load(capsys.readouterr().out) == {"name": value}
