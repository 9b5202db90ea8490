"""What is no backup, or not the one that was made, is refused before anything of it is used."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fileflux import backup_file
from fileflux.backup_file import DATABASE, Manifest, Part
from fileflux.errors import ConfigError

pytestmark = pytest.mark.unit

FILES = {DATABASE: b"the dump" * 1000, "tls/ca.key": b"a key"}


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A good one."""
    paths = {}
    for number, (name, content) in enumerate(FILES.items()):
        paths[name] = tmp_path / f"part-{number}"
        paths[name].write_bytes(content)
    parts = {name: backup_file.describe(path) for name, path in paths.items()}
    target = tmp_path / "good.backup"
    backup_file.write(target, Manifest("1.0", 3, 16, "2026-11-26T05:00:00+00:00", parts), paths)
    return target


Entries = list[tuple[tarfile.TarInfo, bytes]]


def rewritten(source: Path, change: Callable[[Entries], None]) -> Path:
    with tarfile.open(source) as archive:
        entries: Entries = [(one, archive.extractfile(one).read()) for one in archive.getmembers()]
    change(entries)
    target = source.with_name("changed.backup")
    with tarfile.open(target, "w") as archive:
        for entry, content in entries:
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return target


def with_manifest(**changes: Any) -> Callable[[Entries], None]:
    def change(entries: Entries) -> None:
        raw = json.loads(entries[0][1])
        raw.update(changes)
        entries[0] = (entries[0][0], json.dumps(raw).encode())

    return change


def named(index: int, name: str) -> Callable[[Entries], None]:
    return lambda entries: setattr(entries[index][0], "name", name)


def link(entries: Entries) -> None:
    entries[2][0].type, entries[2][0].linkname = tarfile.SYMTYPE, "/etc/shadow"


def changed_byte(entries: Entries) -> None:
    entries[1] = (entries[1][0], b"T" + entries[1][1][1:])


def test_what_was_written_is_read(backup: Path, tmp_path: Path) -> None:
    assert backup.stat().st_mode & 0o777 == 0o600
    with backup_file.opened(backup) as opened:
        assert (opened.manifest.schema, opened.manifest.postgresql) == (3, 16)
        assert opened.tls == {"ca.key": b"a key"}
        opened.extract_dump(tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == FILES[DATABASE]
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (changed_byte, "has changed"),
        (lambda entries: entries.pop(1), "a part is missing"),
        (lambda entries: entries.pop(0), "does not begin with a manifest"),
        (lambda entries: entries.append(entries[2]), "not the manifest's"),
        (named(2, "../../etc/cron.d/x"), "not the manifest's"),
        (link, "not the manifest's"),
        (with_manifest(format=2), "another version"),
        (with_manifest(parts={}), "names no database"),
        (with_manifest(parts="x"), "cannot be read"),
        (with_manifest(schema="new"), "cannot be read"),
        (
            with_manifest(parts={DATABASE: {"bytes": 1, "sha256": ""}, "tls/../../x": {"bytes": 1, "sha256": ""}}),
            "no hub has",
        ),
        (
            with_manifest(parts={DATABASE: {"bytes": 1, "sha256": ""}, "tls/x": {"bytes": 2**40, "sha256": ""}}),
            "no hub has",
        ),
    ],
)
def test_what_was_changed_is_refused(backup: Path, change: Callable[[Entries], None], why: str) -> None:
    with pytest.raises(ConfigError, match=why), backup_file.opened(rewritten(backup, change)):
        pass


@pytest.mark.parametrize("keep", [0, 100, 600, 2000, 9000])
def test_a_part_of_the_file_is_refused(backup: Path, keep: int) -> None:
    backup.write_bytes(backup.read_bytes()[:keep])
    with pytest.raises(ConfigError, match="no backup of a hub"), backup_file.opened(backup):
        pass


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"), backup_file.opened(tmp_path / "none"):
        pass
    (tmp_path / "text").write_text("no tar" * 1000)
    with pytest.raises(ConfigError, match="no backup"), backup_file.opened(tmp_path / "text"):
        pass


def test_a_backup_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "there"
    target.write_text("older")
    missing = Manifest("1.0", 3, 16, "", {DATABASE: Part(8, "")})
    with pytest.raises(OSError, match="No such file"):
        backup_file.write(tmp_path / "new", missing, {DATABASE: tmp_path / "none"})
    with pytest.raises(FileExistsError):
        backup_file.write(target, Manifest("1.0", 3, 16, "", {}), {})
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert target.read_text() == "older"
