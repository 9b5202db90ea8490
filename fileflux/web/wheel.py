"""The hub's own wheel, made from what is installed here, so that an agent installed from this hub always fits it.

It works for an ordinary installation and for an editable one of a checkout, where no wheel was ever built. Only what a wheel of this
project has is taken: modules, data of the known folders, migrations and the distribution's own metadata; whatever else lies in a
checkout stays there, because anybody may fetch the wheel. The built user interface stays too: it is larger than all the rest, and every
machine that gets an agent would fetch it for nothing. The same files always give the same bytes.
"""

from __future__ import annotations

import base64
import csv
import functools
import hashlib
import io
import os
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Final

from fileflux.errors import ConfigError, UnavailableError
from fileflux.protocol.limits import MIB
from fileflux.storage.migrate import find_folder

SIZE_MAX: Final = 64 * MIB
"""Of all files together, before compression: ten times what hub and agent need."""

_NAME: Final = "fileflux"
_PACKAGES: Final = ("fileflux", "flux_agent")
_DATA_FOLDERS: Final = frozenset({"fileflux/web/installers"})
_MODULE_NAMES: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\.py|py\.typed")
_DATA_NAMES: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]*")
_VERSION: Final = re.compile(r"[0-9][A-Za-z0-9.!+_]*")
_METADATA_FILES: Final = re.compile(r"METADATA|entry_points\.txt|top_level\.txt|licenses/[A-Za-z0-9._/-]+")
_WHEEL: Final = f"Wheel-Version: 1.0\nGenerator: {_NAME}\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""The oldest that a zip archive can say."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """A finished wheel; ``sha256`` in hex, of ``content``."""

    name: str
    version: str
    content: bytes
    sha256: str


@functools.cache
def own_wheel() -> Wheel:
    """The wheel of this installation, made once. Call it before the hub serves: it takes a tenth of a second. Raises UnavailableError."""
    return build()


def build() -> Wheel:
    """Make the wheel. Raises UnavailableError when this program is not installed, or not in a way that a wheel can be made of."""
    version, described = _metadata()
    info = f"{_NAME}-{version}.dist-info"
    places = [*_package_files(), *_migrations(f"{_NAME}-{version}.data/data/share/fileflux/migrations")]
    places += [(f"{info}/{name}", path) for name, path in described]
    files = [*_read(places), (f"{info}/WHEEL", _WHEEL.encode())]
    files.append((f"{info}/RECORD", _record(files, f"{info}/RECORD")))
    content = _zip(files)
    return Wheel(f"{_NAME}-{version}-py3-none-any.whl", version, content, hashlib.sha256(content).hexdigest())


def _metadata() -> tuple[str, list[tuple[str, Path]]]:
    """The version, and the files of the installed distribution that belong into a wheel, by their names below ``.dist-info``."""
    for distribution in metadata.distributions(name=_NAME):
        # A checkout may hold the metadata of an old build too; only an installation has this file.
        if distribution.read_text("METADATA") is None:
            continue
        # A wheel's file name has `-` between its parts, so none inside them.
        version = distribution.version.replace("-", "_")
        if not _VERSION.fullmatch(version):
            raise UnavailableError(f"the version {version[:100]!r} cannot be part of a wheel's name")
        found = []
        for path in distribution.files or ():
            folder, _, name = path.as_posix().partition("/")
            if folder.endswith(".dist-info") and _METADATA_FILES.fullmatch(name) and ".." not in path.parts:
                found.append((name, Path(str(path.locate()))))
        return version, sorted(found)
    raise UnavailableError("this hub runs from files that are not installed: install it with pip to serve installers")


def _package_files() -> Iterator[tuple[str, Path]]:
    for package in _PACKAGES:
        spec = util.find_spec(package)
        folders = spec.submodule_search_locations if spec else None
        if not folders:
            raise UnavailableError(f"the package {package} is not installed: install {_NAME} again")
        for folder, below, names in os.walk(folders[0]):
            place = Path(package, Path(folder).relative_to(folders[0])).as_posix()
            is_data = any(place == data or place.startswith(f"{data}/") for data in _DATA_FOLDERS)
            below[:] = sorted(name for name in below if _DATA_NAMES.fullmatch(name) and name != "__pycache__")
            for name in sorted(names):
                path = Path(folder, name)
                if (_MODULE_NAMES.fullmatch(name) or (is_data and _DATA_NAMES.fullmatch(name))) and _is_plain(path):
                    yield f"{place}/{name}", path


def _migrations(place: str) -> Iterator[tuple[str, Path]]:
    try:
        folder = find_folder()
    except ConfigError as error:
        raise UnavailableError(error.message) from error
    for path in sorted(folder.glob("*.sql")):
        yield f"{place}/{path.name}", path


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.suffix != ".pyc"


def _read(places: list[tuple[str, Path]]) -> Iterator[tuple[str, bytes]]:
    left = SIZE_MAX
    for name, path in places:
        with path.open("rb") as file:
            content = file.read(left + 1)
        left -= len(content)
        if left < 0:
            raise UnavailableError(
                f"the installed package is larger than {SIZE_MAX // MIB} MiB: no wheel is made of it"
            )
        yield name, content


def _record(files: list[tuple[str, bytes]], own_name: str) -> bytes:
    """Every file with its hash and size; the record itself has neither."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for name, content in files:
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.writerow((name, f"sha256={digest}", len(content)))
    rows.writerow((own_name, "", ""))
    return text.getvalue().encode()


def _zip(files: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            entry = zipfile.ZipInfo(name, _TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()
