"""Real proxies of other projects, each a process with a configuration of its own on 127.0.0.1: nginx, haproxy, squid, Caddy.

The configurations that docs/operations.md recommends are taken from there, so that what people read is what is tried.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "operations.md"
SHIPPED_NGINX = Path("/etc/nginx/nginx.conf")
SHIPPED_SQUID = Path("/etc/squid/squid.conf")
NCSA = Path("/usr/lib/squid/basic_ncsa_auth")
START_S = 20.0
STARTS = 3
"""A port that was free a moment ago may be taken by now."""

Configure = Callable[[str], str]
"""The part of a configuration that is about one site, for the address to listen on (``127.0.0.1:PORT``)."""


def find(program: str) -> str | None:
    """The program's path; the system's folders are looked at too, which only root has in PATH."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin")


def needs(*programs: str) -> None:
    """Skip the test without these programs; fail where nothing may be skipped (CI)."""
    lacking = [program for program in programs if find(program) is None]
    if lacking:
        text = f"not installed: {', '.join(lacking)} (scripts/test-needs.sh installs them)"
        assert os.environ.get("CI") != "true", text
        pytest.skip(text)


def snippet(name: str, changes: Mapping[str, str]) -> str:
    """A configuration from docs/operations.md, with places of this test for the ones that people are shown there.

    Every text in ``changes`` must be in it.
    """
    found = re.search(rf"<!-- snippet: {re.escape(name)} -->\n```\w*\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert found is not None, f"{DOCUMENT} has no snippet {name}"
    text = found[1]
    for shown, ours in changes.items():
        assert shown in text, f"the snippet {name} does not say {shown!r} any more"
        text = text.replace(shown, ours)
    return text


class Proxy:
    """One process in a folder that its own user may enter, too. Use as a context manager."""

    def __init__(self, command: Callable[[Path], list[str]], files: Callable[[Path, str], Mapping[str, str]]) -> None:
        self._command = command
        self._files = files
        self.folder = Path()
        self.port = 0
        self._popen: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="fileflux-proxy-"))
        self.folder.chmod(0o777)
        try:
            for _ in range(STARTS):
                if self._start():
                    return self
            raise AssertionError(f"{self._popen and self._popen.args} does not start: {self.text('output')[-2000:]}")
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        if self._popen is not None and self._popen.poll() is None:
            self._popen.terminate()
            try:
                self._popen.wait(10)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def tls_url(self) -> str:
        return f"https://{self.address}"

    @property
    def pid(self) -> int:
        assert self._popen is not None
        return self._popen.pid

    def text(self, name: str) -> str:
        """A file of its folder, empty if it is not there; ``output`` is what the process printed."""
        path = self.folder / name
        return path.read_text(errors="replace") if path.exists() else ""

    def _start(self) -> bool:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        for name, text in self._files(self.folder, self.address).items():
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(0o644)
        command = self._command(self.folder)
        with (self.folder / "output").open("wb") as output:
            self._popen = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=self.folder
            )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                listening = probe.connect_ex(("127.0.0.1", self.port)) == 0
            if self._popen.poll() is not None:
                return False
            if listening:
                return True
            time.sleep(0.02)
        raise AssertionError(f"{command} does not listen: {self.text('output')[-2000:]}")


def nginx_as_shipped(hub: str) -> Proxy:
    """Everything as the package has it, and a server that does nothing but ``proxy_pass``."""
    return nginx(lambda address: f"server {{ listen {address}; location / {{ proxy_pass http://{hub}; }} }}")


def nginx(site: Configure) -> Proxy:
    """``site`` goes to where the package includes /etc/nginx/sites-enabled; of the rest, only places of files are changed.

    Its access log is ``access.log``, with the package's format.
    """
    shipped = SHIPPED_NGINX.read_text()

    def files(folder: Path, address: str) -> dict[str, str]:
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        places = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
        text = shipped
        for shown, ours in {
            "pid /run/nginx.pid;": f"pid {folder}/pid;",
            "error_log /var/log/nginx/error.log;": f"error_log {folder}/error.log;",
            "access_log /var/log/nginx/access.log;": f"access_log {folder}/access.log;",
            "include /etc/nginx/conf.d/*.conf;": f"include {folder}/places.conf;",
            "include /etc/nginx/sites-enabled/*;": f"include {folder}/site.conf;",
        }.items():
            assert shown in text, f"{SHIPPED_NGINX} is not as the package has it: it does not say {shown!r}"
            text = text.replace(shown, ours)
        return {"nginx.conf": text, "places.conf": places, "site.conf": site(address)}

    return Proxy(
        lambda folder: [
            str(find("nginx")), "-p", str(folder), "-e", f"{folder}/error.log",
            "-c", f"{folder}/nginx.conf", "-g", "daemon off;",
        ],
        files,
    )  # fmt: skip


def haproxy(site: Configure) -> Proxy:
    """``site`` holds ``frontend`` and ``backend`` with the time-outs that it cares for; the others are the package's."""
    head = (
        "global\n    maxconn 200\n"
        "defaults\n    mode http\n    timeout connect 5000\n    timeout client 50000\n    timeout server 50000\n"
    )
    return Proxy(
        lambda folder: [str(find("haproxy")), "-db", "-f", f"{folder}/haproxy.cfg"],
        lambda _folder, address: {"haproxy.cfg": head + site(address)},
    )


def caddy(site: Configure) -> Proxy:
    """``site`` is one site block. No certificates are fetched, nothing is stored outside of the folder."""

    def files(folder: Path, address: str) -> dict[str, str]:
        options = (
            f"{{\n admin off\n auto_https disable_redirects\n default_bind 127.0.0.1\n grace_period 1s\n"
            f" storage file_system {folder}/storage\n}}\n"
        )
        return {"Caddyfile": options + site(address)}

    return Proxy(
        lambda folder: [str(find("caddy")), "run", "--config", f"{folder}/Caddyfile", "--adapter", "caddyfile"], files
    )


def squid(user: str, password: str, changes: Mapping[str, str]) -> Proxy:
    """The package's configuration with the snippet ``squid`` of docs/operations.md, and one user. Its access log is ``access.log``."""
    shipped = SHIPPED_SQUID.read_text()

    def files(folder: Path, address: str) -> dict[str, str]:
        if os.geteuid() == 0:
            os.chown(folder, pwd.getpwnam("proxy").pw_uid, -1)
        ours = snippet("squid", {**changes, "/etc/squid/fileflux.users": f"{folder}/users"})
        included = "include /etc/squid/conf.d/*.conf"
        assert included in shipped, f"{SHIPPED_SQUID} is not as the package has it"
        text = shipped.replace(included, ours)
        text, ports = re.subn(r"^http_port 3128$", f"http_port {address}", text, flags=re.MULTILINE)
        assert ports == 1
        places = (
            f"pid_filename {folder}/pid\ncache_log {folder}/cache.log\naccess_log stdio:{folder}/access.log\n"
            f"coredump_dir {folder}\npinger_enable off\nshutdown_lifetime 0 seconds\nmax_filedescriptors 1024\n"
            "cache_mem 8 MB\nvisible_hostname localhost\nlogfile_rotate 0\n"
        )
        return {"squid.conf": text + "\n" + places, "users": _users(user, password)}

    return Proxy(lambda folder: [str(find("squid")), "-N", "-f", f"{folder}/squid.conf"], files)


def _users(user: str, password: str) -> str:
    """A password file as htpasswd makes it."""
    digest = subprocess.run(
        ["openssl", "passwd", "-apr1", "-stdin"], input=password, text=True, capture_output=True, check=True
    )
    return f"{user}:{digest.stdout.strip()}\n"


class TemporaryFiles:
    """Watches how much the children of a proxy keep in files that they have deleted already, as nginx does. Use as a context manager."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop)
        self.most = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _loop(self) -> None:
        while not self._stop.wait(0.01):
            self.most = max(self.most, self._now())

    def _now(self) -> int:
        total = 0
        for child in psutil.Process(self._proxy.pid).children():
            folder = f"/proc/{child.pid}/fd"
            try:
                for name in os.listdir(folder):
                    if os.readlink(f"{folder}/{name}").endswith(" (deleted)"):
                        total += os.stat(f"{folder}/{name}").st_blocks * 512
            except OSError:
                continue
        return total
