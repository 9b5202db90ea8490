"""The hub on a PostgreSQL of somebody else: over TCP, with a password, as a role that owns its database and nothing more."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fileflux.storage.cluster import Cluster
from fileflux.storage.embedded import EmbeddedPostgres
from tests.conftest import administer
from tests.integration.conftest import Site
from tests.integration.flow import CommandLine, everybody_does_everything
from tests.integration.harness import Hub, wait_for
from tests.integration.invariants import check_logs

PASSWORD = secrets.token_urlsafe(16)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``postgresql://…@127.0.0.1:PORT/`` of a PostgreSQL 18 with the databases ``hub`` and ``other``."""
    folder: Path = tmp_path_factory.mktemp("external")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    postgres = EmbeddedPostgres(folder, version=18, settings={"listen_addresses": "127.0.0.1", "port": str(port)})
    postgres.start()
    owner = f"postgresql://fileflux:{Cluster(folder).password}@127.0.0.1:{port}/postgres"
    administer(
        owner,
        f"CREATE ROLE hub LOGIN PASSWORD '{PASSWORD}'",
        "CREATE DATABASE hub OWNER hub",
        "CREATE DATABASE other OWNER hub",
    )
    yield f"postgresql://hub:{PASSWORD}@127.0.0.1:{port}/"
    postgres.stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, server: str) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    secret = folder / "database-url"
    secret.write_text(f"{server}hub")
    site = Site(folder, hub_env={"FILEFLUX_DATABASE_URL_FILE": str(secret)})
    try:
        yield site
    finally:
        site.stop()


def test_everything_over_rest_and_command_line(site: Site, tmp_path: Path) -> None:
    """As against the embedded database (test_operations.py)."""
    everybody_does_everything(site, tmp_path)
    assert site.hub.client.get("/api/settings")["database"] == "external"
    assert not (site.folder / "hub" / "postgres").exists()
    check_logs(site)
    assert PASSWORD not in site.hub.running.text()


def test_a_backup_of_it_makes_another_hub(site: Site, server: str, tmp_path: Path) -> None:
    fileflux, file = CommandLine(site), tmp_path / "hub.backup"
    assert fileflux.process("backup", str(file)).returncode == 0
    other = tmp_path / "other-url"
    other.write_text(f"{server}other")
    refused = fileflux.process("restore", str(file), "--data-dir", str(tmp_path / "new"))
    assert (refused.returncode, "a hub uses this database" in refused.stderr) == (2, True), refused.stderr
    fileflux.env["FILEFLUX_DATABASE_URL_FILE"] = str(other)
    done = fileflux.process("restore", str(file), "--data-dir", str(tmp_path / "new"))
    assert done.returncode == 0, done.stderr
    again = fileflux.process("restore", str(file), "--data-dir", str(tmp_path / "third"))
    assert (again.returncode, "not empty" in again.stderr) == (2, True), again.stderr
    fileflux.env["FILEFLUX_PORT"] = "0"
    report = fileflux.process("doctor", "--data-dir", str(tmp_path / "new"))
    assert (report.returncode, "PostgreSQL 18" in report.stdout) == (0, True), report.stdout


def test_a_database_that_cannot_be_used_is_one_line(server: str, tmp_path: Path) -> None:
    """And it ends, rather than trying for ever; the other reasons are in tests/storage/test_refusals.py."""
    env = {"FILEFLUX_DATABASE_URL": server.replace(PASSWORD, f"not-{PASSWORD}") + "hub", "FILEFLUX_LOG_FORMAT": "json"}
    process = Hub(tmp_path, env=env).begin()
    wait_for("the hub to end", lambda: process.popen.poll() is not None)
    lines = [line for line in process.text().splitlines() if "password authentication failed" in line]
    assert len(lines) == 1
    assert "check the database URL" in json.loads(lines[0])["event"]
    assert process.popen.returncode != 0
    assert PASSWORD not in process.text()
    assert "Traceback" not in process.text()
