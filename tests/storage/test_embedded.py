"""The embedded server with real processes. Hubs are small programs of their own, so that they can be killed."""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fileflux.errors import ConfigError, UnavailableError
from fileflux.protocol.limits import DEFAULT_LIMITS
from fileflux.storage import embedded, launch, process
from fileflux.storage.embedded import EmbeddedPostgres
from fileflux.storage.pool import Database

ROOT = Path(__file__).parents[2]
HUB = """
import sys
from pathlib import Path
from fileflux.storage.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
try:
    print(server.start(), server.pid, flush=True)
except Exception as error:
    print(f"{type(error).__name__}: {error}", flush=True)
    sys.exit(2)
sys.stdin.read()
server.stop()
"""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to change the user")


def until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def query(url: str, sql: str) -> object:
    database = Database(url, DEFAULT_LIMITS, size=1)
    try:
        database.wait_until_ready(10)
        with database.transaction() as tx:
            row = tx.one(sql)
        return None if row is None else row[0]
    finally:
        database.close()


def execute(url: str, sql: str) -> None:
    database = Database(url, DEFAULT_LIMITS, size=1)
    with database.transaction() as tx:
        tx.execute(sql)
    database.close()


class Hub:
    """A process that runs the embedded server; ``url`` and ``postmaster`` are what it said."""

    def __init__(self, data_dir: Path, python: str = sys.executable, **options: object) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join([str(ROOT), *options.pop("paths", [])]),
        }  # type: ignore[misc]  # a list of strings
        self.process = subprocess.Popen(  # type: ignore[call-overload]  # options are the caller's
            [python, "-c", HUB, str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd="/",
            **options,
        )
        self.said = self.process.stdout.readline().strip()
        self.url, _, number = self.said.rpartition(" ")
        self.postmaster = int(number) if number.isdigit() else 0

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def start_hub() -> Iterator[Callable[..., Hub]]:
    """Starts hubs; those that a test leaves running are killed."""
    hubs: list[Hub] = []

    def start(*arguments: Any, **options: Any) -> Hub:
        hubs.append(Hub(*arguments, **options))
        return hubs[-1]

    yield start
    for hub in hubs:
        if hub.process.poll() is None:
            hub.kill()
            if hub.postmaster:
                until(lambda number=hub.postmaster: gone(number))  # type: ignore[misc]  # bound on purpose


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    # The parents of pytest's folders are closed to others already; this one for certain.
    (tmp_path / "closed").mkdir(mode=0o700)
    return tmp_path / "closed" / "data"


@pytest.fixture
def server(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    made = EmbeddedPostgres(data_dir)
    yield made
    made.stop()


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


@as_root
def test_as_root_it_keeps_one_capability_at_most(server: EmbeddedPostgres, data_dir: Path) -> None:
    server.start()
    status = Path(f"/proc/{server.pid}/status").read_text()
    lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert lines["Uid"].split()[0] != "0"
    assert int(lines["CapEff"], 16) == int(lines["CapPrm"], 16) == 1 << 2
    server.stop()
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o711)
        data = Path(folder) / "data"
        data.mkdir(mode=0o711)
        if os.access("/root", os.X_OK) and ROOT.is_relative_to("/root"):
            pytest.skip("the binaries are below /root, so the capability is needed in any case")
        with_open_parents = EmbeddedPostgres(data)
        with_open_parents.start()
        status = Path(f"/proc/{with_open_parents.pid}/status").read_text()
        with_open_parents.stop()
        assert "CapPrm:\t0000000000000000" in status


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


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
@as_root
def test_without_the_capability_the_closed_folder_is_named(data_dir: Path, start_hub: Callable[..., Hub]) -> None:
    def drop() -> None:
        # PR_CAPBSET_DROP of CAP_DAC_READ_SEARCH does not take it from a root process, capset does.
        sets = (ctypes.c_uint32 * 6)()
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        libc = ctypes.CDLL(None)
        libc.capget(header, sets)
        libc.prctl(24, 2, 0, 0, 0)
        for index in range(3):
            sets[index] &= ~(1 << 2)
        libc.capset(header, sets)

    hub = start_hub(data_dir, preexec_fn=drop)
    hub.end()
    assert hub.said.startswith("ConfigError: ")
    assert "CAP_DAC_READ_SEARCH" in hub.said
    assert "cannot enter /" in hub.said
    assert "--data-dir" in hub.said


@as_root
def test_as_an_ordinary_user(start_hub: Callable[..., Hub]) -> None:
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    if python is None:
        pytest.skip("no system Python that an ordinary user can run")
    packages = str(Path(psutil.__file__).parents[1])
    # initdb wants a user that has a name.
    account = pwd.getpwnam("daemon")
    user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    probe = subprocess.run(
        [
            python,
            "-c",
            "import sys, psutil, psycopg2, structlog, fileflux.storage.embedded; print(sys.version_info[:2])",
        ],
        env={"PYTHONPATH": f"{ROOT}:{packages}", "PATH": "/usr/bin:/bin"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        **user,  # type: ignore[call-overload]  # a fixed set
    )
    if probe.returncode != 0:
        pytest.skip(f"the checkout or its packages cannot be read by an ordinary user: {probe.stderr.strip()[-200:]}")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chown(folder, account.pw_uid, account.pw_gid)
        data = Path(folder) / "data"
        hub = start_hub(data, python, paths=[packages], **user)
        assert hub.postmaster, hub.said
        assert psutil.Process(hub.postmaster).uids().real == account.pw_uid
        hub.kill()
        until(lambda: gone(hub.postmaster))
        again = start_hub(data, python, paths=[packages], **user)
        assert query(again.url, "SELECT 1") == 1
        again.end()
        assert gone(again.postmaster)
        # Root can go on with what the user has begun, as that user.
        root = start_hub(data)
        assert psutil.Process(root.postmaster).uids().real == account.pw_uid
        root.end()


@pytest.mark.unit
def test_launcher_and_parent_agree_on_the_prefix() -> None:
    assert launch.MESSAGE_PREFIX == process.LAUNCHER_PREFIX
    assert Path(launch.__file__) == process.LAUNCHER


def test_a_launcher_whose_parent_has_gone_starts_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            launch.__file__,
            "1",
            str(os.getuid()),
            str(os.getgid()),
            "--",
            "/bin/touch",
            str(tmp_path / "x"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == launch.FAILED
    assert "has ended" in done.stderr
    assert not (tmp_path / "x").exists()
