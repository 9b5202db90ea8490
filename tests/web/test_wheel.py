from __future__ import annotations

import base64
import csv
import hashlib
import io
import tomllib
import zipfile
from email.parser import HeaderParser
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from fileflux.errors import ConfigError, UnavailableError
from fileflux.storage.migrate import find_folder
from fileflux.web import wheel

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {"fileflux": ROOT / "fileflux", "flux_agent": ROOT / "agent" / "flux_agent"}


def contents(made: wheel.Wheel) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(made.content)) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == len(set(archive.namelist()))
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return contents(wheel.own_wheel())


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Packages of their own, so that a test can put into them what it likes."""
    for package in ("fileflux", "flux_agent"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    places = lambda name: SimpleNamespace(submodule_search_locations=[str(tmp_path / name)])  # noqa: E731
    monkeypatch.setattr(wheel.util, "find_spec", places)
    return tmp_path


def test_every_module_and_migration_is_in_it_as_it_is_here() -> None:
    files = contents(wheel.build())
    expected = {
        f"{package}/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for package, folder in SOURCES.items()
        for pattern in ("*.py", "py.typed")
        for path in folder.rglob(pattern)
    }
    assert len(expected) > 100
    assert expected.items() <= files.items()
    migrations = {path.name: path.read_bytes() for path in find_folder().glob("*.sql")}
    place = f"fileflux-{wheel.own_wheel().version}.data/data/share/fileflux/migrations/"
    found = {name.removeprefix(place): content for name, content in files.items() if name.startswith(place)}
    assert found == migrations != {}


def test_what_else_is_in_it_is_what_a_built_package_has_too(files: dict[str, bytes]) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    data = [name for name in files if name.split("/")[0] in SOURCES and not name.endswith(".py")]
    assert "fileflux/web/installers/install.sh" in data
    for name in data:
        package, _, inside = name.partition("/")
        folder = SOURCES[package]
        assert any(folder / inside in folder.glob(pattern) for pattern in declared[package]), name


def test_the_record_lists_every_file_with_its_hash_and_size(files: dict[str, bytes]) -> None:
    (name,) = [name for name in files if name.endswith(".dist-info/RECORD")]
    rows = list(csv.reader(io.StringIO(files[name].decode())))
    assert [row[0] for row in rows] == list(files)
    assert rows.pop() == [name, "", ""]
    for path, recorded, size in rows:
        digest = base64.urlsafe_b64encode(hashlib.sha256(files[path]).digest()).rstrip(b"=").decode()
        assert (recorded, int(size)) == (f"sha256={digest}", len(files[path])), path


def test_name_and_metadata_are_those_of_the_installation(files: dict[str, bytes]) -> None:
    made, own = wheel.own_wheel(), metadata.distribution("fileflux")
    assert made.name == f"fileflux-{made.version}-py3-none-any.whl"
    assert made.version == own.version
    assert made.sha256 == hashlib.sha256(made.content).hexdigest()
    info = f"fileflux-{made.version}.dist-info"
    described = HeaderParser().parsestr(files[f"{info}/METADATA"].decode())
    requirements = described.get_all("Requires-Dist")
    assert requirements == own.requires
    assert any(line.startswith("gevent") for line in requirements)
    assert any('extra == "hub"' in line for line in requirements)
    assert "flux-agent = flux_agent.cli:main" in files[f"{info}/entry_points.txt"].decode()
    assert "Root-Is-Purelib: true\nTag: py3-none-any\n" in files[f"{info}/WHEEL"].decode()
    assert {name for name in files if name.startswith(info)} == {
        f"{info}/{name}"
        for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "top_level.txt", "licenses/LICENSE")
    }


def test_the_same_files_give_the_same_bytes() -> None:
    one, two = wheel.build(), wheel.build()
    assert one == two
    with zipfile.ZipFile(io.BytesIO(one.content)) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_nothing_else_that_lies_in_a_checkout_leaves_it(checkout: Path) -> None:
    package = checkout / "fileflux"
    for name in (
        ".env", ".hidden.py", "notes.txt", "app.py~", "app.py.orig", "secret.key", "two words.py", "module.pyc", "tests.log",
        "__pycache__/app.cpython-311.pyc", ".git/config.py", "web/static/index.html", "web/static/assets/x.js", "web/installers/__pycache__/x.sh", "web/notes.txt",
        "web/installers/.install.sh.swp",
    ):  # fmt: skip
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("private")
    (package / "linked.py").symlink_to(ROOT / "pyproject.toml")
    (package / "linked").symlink_to(ROOT / "tests")
    for name in ("good.py", "web/installers/install.sh", "web/installers/deep/unit.service"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("public")
    found = {name for name in contents(wheel.build()) if name.startswith("fileflux/")}
    assert found == {
        f"fileflux/{name}"
        for name in ("__init__.py", "good.py", "web/installers/install.sh", "web/installers/deep/unit.service")
    }


def test_it_is_bounded(checkout: Path) -> None:
    with (checkout / "fileflux" / "huge.py").open("wb") as file:
        file.truncate(wheel.SIZE_MAX + 1)
    with pytest.raises(UnavailableError, match="larger than 64 MiB"):
        wheel.build()


def test_without_an_installation_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    old_build = SimpleNamespace(read_text=lambda _name: None)
    for found in ([], [old_build]):
        monkeypatch.setattr(wheel.metadata, "distributions", lambda name, found=found: found)
        with pytest.raises(UnavailableError, match="install it with pip"):
            wheel.build()


def test_half_an_installation_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> Path:
        raise ConfigError("no database migrations; install fileflux again")

    monkeypatch.setattr(wheel, "find_folder", gone)
    with pytest.raises(UnavailableError, match="install fileflux again"):
        wheel.build()
    monkeypatch.setattr(wheel.util, "find_spec", lambda _name: None)
    with pytest.raises(UnavailableError, match="the package fileflux is not installed"):
        wheel.build()


@pytest.mark.parametrize("version", ["../1", "1/2", "x", "", "1'; id", "1\n"])
def test_a_version_that_would_not_be_a_name(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    odd = SimpleNamespace(read_text=lambda _name: "Name: fileflux\n", version=version, files=[])
    monkeypatch.setattr(wheel.metadata, "distributions", lambda name: [odd])
    with pytest.raises(UnavailableError, match="cannot be part of a wheel's name"):
        wheel.build()
