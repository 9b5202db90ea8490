"""How PostgreSQL is run as another user, with real processes."""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from fileflux.storage import launch, process
from fileflux.storage.embedded import EmbeddedPostgres
from tests.storage.hubs import ROOT, Hub, gone, query, until

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to change the user")


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
