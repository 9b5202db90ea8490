"""The one file of a backup: a tar with a manifest first, then the database's dump and the hub's TLS files.

It is written beside its name and renamed when it is whole and on the disk; whoever can read it can be this hub, so it is for its
owner only. Read, nothing of it is believed before the manifest's hashes are.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import secrets
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final

from fileflux.errors import ConfigError

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
MANIFEST_MAX: Final = 1024 * 1024
DATABASE: Final = "database.dump"
TLS_FOLDER: Final = "tls/"
TLS_MAX: Final = 1024 * 1024
"""Bytes of one TLS file."""
PARTS_MAX: Final = 64
_TLS_NAME: Final = re.compile(r"tls/[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_BLOCK: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """``schema`` is the number of the newest migration, ``postgresql`` the server's major version, ``created_at`` RFC 3339."""

    fileflux: str
    schema: int
    postgresql: int
    created_at: str
    parts: Mapping[str, Part]
    format: int = FORMAT


def write(target: Path, manifest: Manifest, files: Mapping[str, Path]) -> None:
    """Write the parts in this order. ``target`` must not exist. Raises OSError; then nothing is left."""
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as out:
            with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
                text = json.dumps(asdict(manifest), indent=2).encode() + b"\n"
                archive.addfile(_entry(MANIFEST, len(text)), io.BytesIO(text))
                for name, path in files.items():
                    with path.open("rb") as content:
                        archive.addfile(_entry(name, manifest.parts[name].bytes), content)
            out.flush()
            os.fsync(descriptor)
        # Not replaced if somebody has made it meanwhile.
        os.link(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def describe(path: Path) -> Part:
    with path.open("rb") as file:
        return Part(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


@contextmanager
def opened(path: Path) -> Iterator[Backup]:
    """A backup whose manifest and hashes are right. Raises ConfigError for everything else."""
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
            yield Backup(path, archive)
    except OSError as error:
        raise ConfigError(f"cannot read {error.filename or path}: {error.strerror or error}") from None
    except (tarfile.TarError, EOFError) as error:
        raise ConfigError(f"{path} is no backup of a hub, or it is damaged ({error})") from None


class Backup:
    """An open backup; made by ``opened``."""

    def __init__(self, path: Path, archive: tarfile.TarFile) -> None:
        self._path = path
        self._archive = archive
        self._entries: dict[str, tarfile.TarInfo] = {}
        first = archive.next()
        if first is None or first.name != MANIFEST or not first.isfile() or first.size > MANIFEST_MAX:
            raise self._bad("it does not begin with a manifest")
        self.manifest = self._parse(self._content(first).read(MANIFEST_MAX))
        while (entry := archive.next()) is not None:
            known = self.manifest.parts.get(entry.name)
            if known is None or entry.name in self._entries or not entry.isfile() or entry.size != known.bytes:
                raise self._bad(f"the part {entry.name[:100]!r} is not the manifest's")
            self._entries[entry.name] = entry
        if self._entries.keys() != self.manifest.parts.keys():
            raise self._bad("a part is missing")
        for name, entry in self._entries.items():
            if hashlib.file_digest(self._content(entry), "sha256").hexdigest() != self.manifest.parts[name].sha256:  # type: ignore[arg-type]  # a tar's member reads like a file
                raise self._bad(f"the content of {name} has changed")

    @property
    def tls(self) -> dict[str, bytes]:
        """The TLS files by their names below the data folder's ``tls``."""
        return {
            name.removeprefix(TLS_FOLDER): self._content(entry).read()
            for name, entry in self._entries.items()
            if name.startswith(TLS_FOLDER)
        }

    def extract_dump(self, target: Path) -> None:
        """Write the database's dump to ``target``, for its owner only."""
        content = self._content(self._entries[DATABASE])
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            while block := content.read(_BLOCK):
                out.write(block)

    def _content(self, entry: tarfile.TarInfo) -> IO[bytes]:
        content = self._archive.extractfile(entry)
        if content is None:
            raise self._bad(f"{entry.name[:100]!r} is no file")
        return content

    def _parse(self, text: bytes) -> Manifest:
        try:
            raw: Any = json.loads(text)
            if raw["format"] != FORMAT:
                raise self._bad(f"its format is {raw['format']!r}: it needs another version of fileflux")
            parts = {str(name): Part(int(part["bytes"]), str(part["sha256"])) for name, part in raw["parts"].items()}
            manifest = Manifest(
                str(raw["fileflux"]), int(raw["schema"]), int(raw["postgresql"]), str(raw["created_at"]), parts
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise self._bad("its manifest cannot be read") from None
        tls = [name for name in parts if name != DATABASE]
        if DATABASE not in parts or len(parts) > PARTS_MAX:
            raise self._bad("its manifest names no database")
        if not all(_TLS_NAME.fullmatch(name) and parts[name].bytes <= TLS_MAX for name in tls):
            raise self._bad("its manifest names a part that no hub has")
        return manifest

    def _bad(self, why: str) -> ConfigError:
        return ConfigError(f"{self._path} is no backup of a hub, or it is damaged: {why}")


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    return entry
