"""What the hub's doctor finds, one layer at a time; the whole of it beside a real hub is in tests/integration."""

from __future__ import annotations

import os
import resource
import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fileflux import hub_doctor
from fileflux.backup import LAST_BACKUP
from fileflux.errors import ConfigError, UnavailableError
from fileflux.protocol.limits import DEFAULT_LIMITS
from fileflux.serve import ServeSettings, lock_data_dir
from fileflux.storage import dump, settings
from fileflux.storage.pool import Database
from fileflux.web import own_ca
from flux_agent.doctor_report import Check, Report, as_text

NOW = datetime.now(UTC)


class NoWorkers:
    """Starting a process takes half a second: one test does it."""

    error: Exception | None = None

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def start(self) -> None:
        if self.error is not None:
            raise self.error

    def run(self, *_: Any, **__: Any) -> None:
        pass

    def stop(self) -> None:
        pass


@pytest.fixture
def here(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> ServeSettings:
    monkeypatch.setattr(hub_doctor, "WorkerPool", NoWorkers)
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    return ServeSettings(folder, port=0, database_url=database_url)


def look(found: ServeSettings) -> dict[str, Check]:
    report = hub_doctor.examine(lambda: found)
    for check in report.checks:
        assert check.status in ("ok", "skipped") or check.advice or check.status == "fail"
    assert as_text(report)
    return {check.name: check for check in report.checks}


def test_all_is_well(here: ServeSettings) -> None:
    found = look(here)
    assert list(found) == [
        *("configuration", "data folder", "hub", "port", "database", "schema", "connections", "clock", "open files"),
        *("backup", "tls", "workers"),
    ]
    states = {name: check.status for name, check in found.items() if check.status != "ok"}
    assert states == {"backup": "warn", "tls": "skipped"}


def test_a_configuration_that_cannot_be_used() -> None:
    def load() -> ServeSettings:
        raise ConfigError("port must be 0 to 65535, not 70000")

    report: Report = hub_doctor.examine(load)
    assert (report.exit_code, [check.found for check in report.checks]) == (2, ["port must be 0 to 65535, not 70000"])


@pytest.mark.parametrize(
    ("name", "status", "found"),
    [("new", "ok", "will be made"), ("file", "fail", "no folder that this user"), ("file/below", "fail", "closed to")],
)
def test_data_folders(here: ServeSettings, tmp_path: Path, name: str, status: str, found: str) -> None:
    (tmp_path / "file").touch(mode=0o600)
    check = hub_doctor._data_folder(replace(here, data_dir=tmp_path / name))
    assert (check.status, found in check.found) == (status, True), check


def test_a_folder_that_is_open_full_or_of_somebody_else(here: ServeSettings) -> None:
    here.data_dir.chmod(0o755)
    check = hub_doctor._data_folder(here)
    assert (check.status, check.advice) == ("warn", f"chmod 700 {here.data_dir}")
    full = replace(here, limits=DEFAULT_LIMITS.with_overrides({"data_free_min": 2**52}))
    assert "make room" in hub_doctor._data_folder(full).advice
    if os.geteuid() == 0:
        os.chown(here.data_dir, 65534, -1)
        assert "belongs to another user" in hub_doctor._data_folder(here).found


def test_a_hub_that_runs_and_does_not_answer(here: ServeSettings) -> None:
    lock = lock_data_dir(here.data_dir)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    found = look(replace(here, port=port))
    os.close(lock)
    assert (found["hub"].status, found["port"].status) == ("warn", "skipped")
    assert "another --host, --port or --tls" in found["hub"].advice
    assert look(here)["hub"].found == "not running"


def test_a_port_that_is_taken(here: ServeSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = look(replace(here, port=other.getsockname()[1]))["port"]
    assert (taken.status, "choose another --port" in taken.advice) == ("fail", True)
    assert look(replace(here, host="192.0.2.1", port=8040))["port"].status == "fail"


def test_databases(here: ServeSettings, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = look(replace(here, database_url=str(here.database_url).replace("fileflux:", "fileflux:wrong")))
    assert (wrong["database"].status, wrong["schema"].status) == ("fail", "skipped")
    assert "check the database URL" in wrong["database"].found
    fresh = look(replace(here, database_url=None))
    assert (fresh["database"].status, fresh["open files"].status) == ("ok", "ok")
    with database.transaction() as tx:
        settings.put(tx, LAST_BACKUP, (NOW - timedelta(days=8)).isoformat())
    assert look(here)["backup"].status == "warn"
    with database.transaction() as tx:
        settings.put(tx, LAST_BACKUP, NOW.isoformat())
    assert look(here)["backup"].status == "ok"
    for number, status in ((10_000, "fail"), (1, "ok"), (0, "ok")):
        monkeypatch.setattr(dump, "schema_number", lambda _tx, number=number: number)
        assert look(here)["schema"].status == status


@pytest.mark.unit
def test_what_is_only_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [hub_doctor._clock(apart).status for apart in (0.5, 5, 500)] == ["ok", "warn", "fail"]
    assert [hub_doctor._connections(20, used, running=False).status for used in (3, 18)] == ["ok", "fail"]
    assert hub_doctor._connections(20, 20, running=True).status == "ok"
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (1024, 4096))
    assert [hub_doctor._descriptors(agents).status for agents in (0, 1000, 10_000)] == ["ok", "ok", "fail"]
    assert "LimitNOFILE" in hub_doctor._descriptors(10_000).advice


def test_certificates(here: ServeSettings, tmp_path: Path) -> None:
    auto = replace(here, tls_auto=True)
    assert "made at the first start" in hub_doctor._tls(auto).found
    own_ca.ensure(here.data_dir / "tls", ["hub.example"], NOW)
    check = hub_doctor._tls(auto)
    assert (check.status, "for hub.example" in check.found) == ("ok", True), check
    (here.data_dir / "tls" / own_ca.CA_CERTIFICATE).write_text("damaged")
    assert hub_doctor._tls(auto).status == "fail"

    ca = own_ca.make_ca(NOW)
    for life, status in ((365, "ok"), (5, "warn"), (-1, "fail")):
        issued = own_ca.issue(ca, ["hub.example"], NOW - timedelta(days=2), timedelta(days=2 + life))
        (tmp_path / "pem").write_bytes(issued.key_pem() + issued.certificate_pem())
        check = hub_doctor._tls(replace(here, tls_files=(tmp_path / "pem", tmp_path / "pem")))
        assert check.status == status, check
    (tmp_path / "other").write_bytes(ca.key_pem())
    check = hub_doctor._tls(replace(here, tls_files=(tmp_path / "pem", tmp_path / "other")))
    assert (check.status, "does not belong" in check.found) == ("fail", True)


def test_workers(here: ServeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NoWorkers, "error", UnavailableError("no memory"))
    assert look(here)["workers"].status == "fail"
