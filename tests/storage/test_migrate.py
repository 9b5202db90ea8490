from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fileflux.errors import ConfigError, FluxError
from fileflux.protocol.limits import DEFAULT_LIMITS
from fileflux.storage.migrate import find_folder, load, migrate
from fileflux.storage.pool import Database
from tests.conftest import administer, with_database


@pytest.fixture
def empty(postgres_url: str) -> Iterator[Database]:
    name = f"fileflux_empty_{os.getpid()}"
    administer(postgres_url, f"CREATE DATABASE {name} TEMPLATE template0")
    database = Database(with_database(postgres_url, name), DEFAULT_LIMITS)
    yield database
    database.close()
    administer(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


def tables(database: Database) -> set[str]:
    with database.transaction() as tx:
        return {row[0] for row in tx.all("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


def test_everything_is_applied_once(empty: Database) -> None:
    count = len(load(find_folder()))
    assert migrate(empty) == count
    assert migrate(empty) == 0
    assert {"agents", "agent_tokens", "users", "jobs", "runs", "transfers", "run_directories", "audit"} <= tables(empty)


def test_two_hubs_at_once(empty: Database) -> None:
    start, applied = threading.Barrier(2), list[int]()

    def work() -> None:
        start.wait(10)
        applied.append(migrate(empty))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(applied) == 2
    assert sum(applied) == len(load(find_folder()))


def test_a_schema_of_other_files_is_refused(empty: Database, tmp_path: Path) -> None:
    (tmp_path / "0001_one.sql").write_text("CREATE TABLE one (id int);\n")
    (tmp_path / "0002_two.sql").write_text("CREATE TABLE two (id int);\n")
    assert migrate(empty, tmp_path) == 2
    (tmp_path / "0001_one.sql").write_text("CREATE TABLE one (id bigint);\n")
    with pytest.raises(ConfigError, match="0001_one"):
        migrate(empty, tmp_path)


def test_a_newer_schema_is_refused(empty: Database, tmp_path: Path) -> None:
    (tmp_path / "0001_one.sql").write_text("CREATE TABLE one (id int);\n")
    (tmp_path / "0002_two.sql").write_text("CREATE TABLE two (id int);\n")
    assert migrate(empty, tmp_path) == 2
    (tmp_path / "0002_two.sql").unlink()
    with pytest.raises(ConfigError, match="upgrade"):
        migrate(empty, tmp_path)


def test_a_migration_is_applied_whole_or_not_at_all(empty: Database, tmp_path: Path) -> None:
    (tmp_path / "0001_one.sql").write_text("CREATE TABLE one (id int);\n")
    (tmp_path / "0002_two.sql").write_text("CREATE TABLE two (id int); SELECT 1 / 0;\n")
    with pytest.raises(FluxError, match="division by zero"):
        migrate(empty, tmp_path)
    assert tables(empty) == {"one", "schema_migrations"}
    (tmp_path / "0002_two.sql").write_text("CREATE TABLE two (id int);\n")
    assert migrate(empty, tmp_path) == 1


@pytest.mark.unit
@pytest.mark.parametrize(
    "names", [["0001_a.sql", "0003_b.sql"], ["0001_a.sql", "0001_b.sql"], ["1_a.sql"], ["0001-A.sql"]]
)
def test_names_out_of_line_are_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1;")
    with pytest.raises(ConfigError):
        load(tmp_path)


@pytest.mark.unit
def test_the_files_of_an_installation_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fileflux.storage import migrate as module

    folder = tmp_path / "share" / "fileflux" / "migrations"
    shutil.copytree(find_folder(), folder)
    monkeypatch.setattr(module, "__file__", str(tmp_path / "lib" / "fileflux" / "storage" / "migrate.py"))
    monkeypatch.setattr(module.sys, "prefix", str(tmp_path))
    assert find_folder() == folder
    monkeypatch.setattr(module.sys, "prefix", str(tmp_path / "elsewhere"))
    with pytest.raises(ConfigError, match="install"):
        find_folder()
