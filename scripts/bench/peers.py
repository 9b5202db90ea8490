"""What the benchmarks compare with: rsync over ssh, with an sshd of our own on loopback. Installs nothing; a missing peer is named."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import psutil


def missing() -> list[str]:
    """Programs of the peer that are not on this machine."""
    places = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return [name for name in ("rsync", "ssh", "sshd", "ssh-keygen") if shutil.which(name, path=places) is None]


class Ssh:
    """A throw-away sshd: own configuration and keys, 127.0.0.1, a free port. ``stop`` it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700)
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
        shutil.copy(folder / "user.pub", folder / "authorized")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        config = folder / "sshd_config"
        config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
            "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\nPidFile none\n"
        )
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        sshd = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen([str(sshd), "-D", "-e", "-f", str(config)], stderr=self._log)
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"sshd did not start: {(self._folder / 'log').read_text()}")

    @property
    def shell(self) -> str:
        """For ``rsync -e``; ssh's default cipher."""
        return (
            f"ssh -p {self.port} -i {self._folder}/user -o StrictHostKeyChecking=no"
            f" -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        )

    def rsync(self, source: Path, destination: Path, *, sync: bool = False) -> tuple[float, float]:
        """Copy the contents of ``source`` into ``destination``; wall seconds, with those of ``sync -f``, and CPU seconds of both sides."""
        user = os.environ.get("USER") or "root"
        before = self._cpu()
        started = time.monotonic()
        subprocess.run(["rsync", "-a", "-e", self.shell, f"{source}/", f"{user}@127.0.0.1:{destination}/"], check=True)
        if sync:
            subprocess.run(["sync", "-f", str(destination)], check=True)
        wall = time.monotonic() - started
        time.sleep(0.1)
        return wall, self._cpu() - before

    def _cpu(self) -> float:
        server = psutil.Process(self._process.pid).cpu_times()
        own = os.times()
        return (
            server.user
            + server.system
            + server.children_user
            + server.children_system
            + own.children_user
            + own.children_system
        )

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._log.close()
