"""The embedded server, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fileflux.errors import ConfigError, UnavailableError
from fileflux.protocol.limits import DEFAULT_LIMITS
from fileflux.storage import embedded
from fileflux.storage.embedded import EmbeddedPostgres
from fileflux.storage.pool import Database
from tests.storage.hubs import Hub, execute, gone, query, until


def test_from_nothing_and_again_on_its_data(server: EmbeddedPostgres, data_dir: Path) -> None:
    url = server.start()
    assert server.start() == url == server.url
    assert query(url, "SHOW server_version_num") >= "160000"  # type: ignore[operator]  # it is a text
    execute(url, "CREATE TABLE kept AS SELECT 42 AS n")
    first = server.pid
    assert first is not None
    server.stop()
    assert gone(first)
    assert server.pid is None
    started = time.monotonic()
    server.start()
    assert time.monotonic() - started < 2.0
    assert query(server.url, "SELECT n FROM kept") == 42


def test_only_its_own_user_gets_in(server: EmbeddedPostgres, data_dir: Path) -> None:
    before = {path: path.stat().st_mode for path in data_dir.parent.parents}
    url = server.start()
    assert {path: path.stat().st_mode for path in data_dir.parent.parents} == before
    assert data_dir.stat().st_mode & 0o777 == 0o700
    assert (data_dir / "postgres").stat().st_mode & 0o777 == 0o700
    password = data_dir / "postgres-password"
    assert password.stat().st_mode & 0o777 == 0o600
    assert password.read_text() in url
    assert not (data_dir / "postgres-password.new").exists()
    with pytest.raises(ConfigError, match="password"):
        query(url.replace(password.read_text(), "guess"), "SELECT 1")
    assert query(url, "SHOW listen_addresses") == ""


def test_a_killed_server_is_started_again(server: EmbeddedPostgres) -> None:
    url = server.start()
    execute(url, "CREATE TABLE kept AS SELECT 42 AS n")
    assert not server.ensure_running()
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: server.pid is None)
    assert server.ensure_running()
    assert server.url == url
    assert query(url, "SELECT n FROM kept") == 42
    assert not server.ensure_running()


def test_a_busy_server_that_is_killed_is_started_again(server: EmbeddedPostgres) -> None:
    url = server.start()
    busy = Database(url, DEFAULT_LIMITS, size=1)

    def lose() -> None:
        with busy.transaction() as tx:
            tx.execute("SELECT 1")
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            until(lambda: server.pid is None)
            # The backend of the open transaction may still hold the old shared memory.
            assert server.ensure_running()

    with pytest.raises(UnavailableError):
        lose()
    busy.close()
    assert query(url, "SELECT 1") == 1


def test_it_ends_with_a_killed_hub_and_the_next_takes_over(data_dir: Path, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub(data_dir)
    execute(hub.url, "CREATE TABLE kept AS SELECT 42 AS n")
    hub.kill()
    successor = start_hub(data_dir)
    assert gone(hub.postmaster)
    assert successor.postmaster != hub.postmaster
    assert query(successor.url, "SELECT n FROM kept") == 42
    successor.kill()
    until(lambda: gone(successor.postmaster))


def test_hub_and_server_killed_at_once(data_dir: Path, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub(data_dir)
    execute(hub.url, "CREATE TABLE kept AS SELECT 42 AS n")
    os.kill(hub.process.pid, signal.SIGSTOP)
    os.kill(hub.postmaster, signal.SIGKILL)
    hub.kill()
    assert (data_dir / "postgres" / "postmaster.pid").exists()
    successor = start_hub(data_dir)
    assert query(successor.url, "SELECT n FROM kept") == 42
    successor.end()
    assert gone(successor.postmaster)


def test_a_pid_file_that_names_a_stranger(server: EmbeddedPostgres, data_dir: Path) -> None:
    server.start()
    pid_file = data_dir / "postgres" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.stop()
    account = (data_dir / "postgres").stat()
    user = {"user": account.st_uid, "group": account.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    stranger = subprocess.Popen(["sleep", "60"], cwd="/", **user)  # type: ignore[call-overload]  # one of two fixed sets
    try:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        assert query(server.start(), "SELECT 1") == 1
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait(10)


def test_one_hub_per_data_folder(server: EmbeddedPostgres, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "PREDECESSOR_S", 0.3)
    url = server.start()
    second = EmbeddedPostgres(data_dir)
    with pytest.raises(ConfigError, match="another hub"):
        second.start()
    second.stop()
    assert query(url, "SELECT 1") == 1
    server.stop()
    second.start()
    second.stop()


def test_an_initialisation_that_was_cut_off(server: EmbeddedPostgres, data_dir: Path) -> None:
    (data_dir / "postgres.new" / "base").mkdir(parents=True)
    (data_dir / "postgres-password").write_text("")
    assert query(server.start(), "SELECT 1") == 1
    assert not (data_dir / "postgres.new").exists()


def test_a_path_too_long_for_a_socket(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / ("long" * 25) / "data")
    url = server.start()
    try:
        assert query(url, "SELECT 1") == 1
        folder = server._cluster.socket_folder()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert not folder.is_relative_to(tmp_path)
    finally:
        server.stop()
    assert not folder.exists()
    folder.symlink_to(tmp_path)
    try:
        with pytest.raises(ConfigError, match="remove it"):
            server.start()
    finally:
        folder.unlink()


def test_what_is_wrong_with_the_folder_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "other" / "postgres").mkdir(parents=True)
    for folder, sentence in ((tmp_path / "file" / "x", "data folder"), (tmp_path / "other", "PG_VERSION")):
        server = EmbeddedPostgres(folder)
        with pytest.raises(ConfigError, match=sentence) as caught:
            server.start()
        assert "\n" not in caught.value.message
        assert server.pid is None


def test_a_server_that_does_not_start_says_why(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir, settings={"shared_buffers": "nonsense"})
    with pytest.raises(ConfigError, match="shared_buffers") as caught:
        server.start()
    assert "\n" not in caught.value.message
