"""A real hub with TLS, and clients that are not ours: requests, websocket-client, openssl."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
import websocket

from fileflux.cli.credentials import Login, load
from tests.certificates import Authority
from tests.integration.harness import EMAIL, Hub, wait_for

QUICK = {"FILEFLUX_LIMITS_HANDSHAKE_TIMEOUT": "2", "FILEFLUX_LIMITS_LOGIN_ATTEMPTS": "3"}


class Files:
    """A hub with a certificate from files, which tests replace."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.file = folder / "hub.pem"
        self.put(self.authority.issue("first"))
        env = QUICK | {"FILEFLUX_TLS_CERT": str(self.file), "FILEFLUX_TLS_KEY": str(self.file)}
        self.hub = Hub(folder, env=env, ca_file=str(self.authority.file)).start()

    def put(self, source: Path | bytes) -> None:
        self.file.write_bytes(source if isinstance(source, bytes) else source.read_bytes())

    def log(self) -> str:
        return self.hub.running.text()

    def hang_up(self) -> str:
        """SIGHUP to the arbiter; what is logged then."""
        before = len(self.log())
        os.kill(self.hub.running.pid, signal.SIGHUP)
        return wait_for(
            "a line about the certificate", lambda: "certificate" in self.log()[before:] and self.log()[before:]
        )

    def connect(self, authority: Authority | None = None) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=(authority or self.authority).file)
        sock = socket.create_connection(("127.0.0.1", self.hub.port), timeout=10)
        return context.wrap_socket(sock, server_hostname="127.0.0.1")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    files = Files(tmp_path_factory.mktemp("files"))
    yield files
    files.hub.stop()


@pytest.fixture(scope="module")
def auto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("auto")
    env = QUICK | {"FILEFLUX_TLS": "auto", "FILEFLUX_TLS_NAME": "hub.example", "FILEFLUX_TRUSTED_PROXY": "127.0.0.1/32"}
    hub = Hub(folder, env=env, ca_file=str(folder / "hub" / "tls" / "ca.pem")).start()
    yield hub
    hub.stop()


def ask(sock: ssl.SSLSocket, path: str = "/healthz") -> bytes:
    """One request on a connection that stays open."""
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: hub\r\n\r\n".encode())
    answer = b""
    while b'{"status":"ok"}' not in answer:
        data = sock.recv(4096)
        assert data, answer
        answer += data
    return answer


def serial(sock: ssl.SSLSocket) -> str:
    certificate = sock.getpeercert()
    assert certificate is not None
    return str(certificate["serialNumber"])


def open_websocket(hub: Hub, token: str) -> websocket.WebSocket:
    return websocket.create_connection(
        f"wss://127.0.0.1:{hub.port}/ws/agent",
        header=[f"Authorization: Bearer {token}"],
        sslopt={"ca_certs": hub.ca_file},
        timeout=10,
    )


def test_rest_and_the_scheme(auto: Hub) -> None:
    assert auto.client.url.startswith("https://127.0.0.1:")
    answer = requests.get(f"{auto.client.url}/healthz", verify=auto.ca_file, timeout=10)
    assert answer.json() == {"status": "ok"}
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{auto.client.url}/healthz", timeout=10)
    script = requests.get(f"{auto.client.url}/install.sh", verify=auto.ca_file, timeout=10)
    assert auto.client.url in script.text, "the script names the hub as the request did"
    told = requests.get(
        f"{auto.client.url}/install.sh", verify=auto.ca_file, timeout=10, headers={"X-Forwarded-Proto": "http"}
    )
    assert f"http://127.0.0.1:{auto.port}" in told.text, "a trusted proxy knows how it was asked"
    for name in ("localhost", "127.0.0.1", "hub.example", "::1", socket.gethostname()):
        sock = socket.create_connection(("127.0.0.1", auto.port), timeout=10)
        context = ssl.create_default_context(cafile=auto.ca_file)
        with context.wrap_socket(sock, server_hostname=name) as tls:
            assert ask(tls).startswith(b"HTTP/1.1 200")


def test_the_ca_is_public_and_its_hash_is_in_the_token(auto: Hub, tmp_path: Path) -> None:
    ca = requests.get(f"{auto.client.url}/ca.pem", verify=auto.ca_file, timeout=10)
    assert ca.content == Path(auto.ca_file or "").read_bytes()
    token = auto.enrol("pinned", tmp_path)[1].read_text()
    printed = subprocess.run(["openssl", "x509", "-noout", "-fingerprint", "-sha256"], input=ca.content, capture_output=True, check=True)  # fmt: skip
    assert token.partition(".")[2] == printed.stdout.decode().strip().partition("=")[2].replace(":", "").lower()


def test_a_websocket_is_refused_without_a_token_and_taken_with_either_form(auto: Hub, tmp_path: Path) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        open_websocket(auto, "ffx_" + "x" * 43)
    assert caught.value.status_code == 401
    _, path = auto.enrol("by-hand", tmp_path)
    whole = path.read_text()
    for token in (whole, whole.partition(".")[0]):
        channel = open_websocket(auto, token)
        assert channel.getstatus() == 101
        channel.ping("are you there")
        opcode, frame = channel.recv_data_frame(control_frame=True)
        assert (opcode, bytes(frame.data)) == (websocket.ABNF.OPCODE_PONG, b"are you there")
        # What is no hello is answered by a close frame, through the pump.
        channel.send("[]")
        while opcode != websocket.ABNF.OPCODE_CLOSE:
            opcode, frame = channel.recv_data_frame(control_frame=True)
        channel.shutdown()


def test_large_messages_reach_the_pump_whole(auto: Hub, tmp_path: Path) -> None:
    """Records of TLS end where they like: each ping behind a part of a message shows that nothing waits unseen."""
    channel = open_websocket(auto, auto.enrol("large", tmp_path)[1].read_text())
    kind = websocket.ABNF.OPCODE_BINARY
    for size in (16_000, 16_384, 70_000, 300_000, 700_000):
        channel.send_frame(websocket.ABNF.create_frame(bytes(size), kind, fin=0))
        channel.ping(f"behind {size}")
        opcode, frame = channel.recv_data_frame(control_frame=True)
        assert (opcode, bytes(frame.data)) == (websocket.ABNF.OPCODE_PONG, f"behind {size}".encode())
        kind = websocket.ABNF.OPCODE_CONT
    channel.shutdown()


def test_by_hand_with_a_ca_file(auto: Hub, tmp_path: Path) -> None:
    config = {"XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path)}

    def fileflux(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "fileflux.cli.main", *arguments], input=stdin, env=os.environ | config,
                              capture_output=True, text=True, timeout=60, check=False)  # fmt: skip

    login = ["login", auto.client.url, "--email", EMAIL, "--password-stdin"]
    refused = fileflux(*login, stdin=auto.password)
    assert (refused.returncode, refused.stderr.count("\n")) == (5, 1)
    assert "--ca-file" in refused.stderr
    assert fileflux(*login, "--ca-file", auto.ca_file or "", stdin=auto.password).returncode == 0
    assert fileflux("agents", "list").returncode == 0
    kept: Login | None = load(tmp_path / "fileflux" / "credentials.json")
    assert kept is not None
    assert kept.ca_file == auto.ca_file


def test_the_hubs_own_certificate_survives_a_restart_and_sighup(auto: Hub) -> None:
    server = Path(auto.ca_file or "").parent / "server.pem"
    before, pid = server.read_bytes(), auto.server_pid
    os.kill(auto.running.pid, signal.SIGHUP)
    wait_for("the reload", lambda: "same as before" in auto.running.text())
    # The client's connection is open and idle: it does not hold up the stop.
    auto.running.stop()
    auto.start()
    assert auto.server_pid != pid
    assert server.read_bytes() == before
    assert auto.client.get("/healthz") == {"status": "ok"}
    server.unlink()
    os.kill(auto.running.pid, signal.SIGHUP)
    wait_for("the renewal", lambda: "new TLS certificate" in auto.running.text())
    assert auto.client.get("/healthz") == {"status": "ok"}


def failed_logins(hub: Hub, addresses: list[str]) -> list[int]:
    url = f"{hub.client.url}/api/auth/login"
    return [
        requests.post(url, json={"email": f"nobody{number}@{address}.test", "password": "wrong"}, verify=hub.ca_file, timeout=10,
                      headers={"X-Forwarded-For": f"9.9.9.9, {address}", "X-Forwarded-Proto": "https"}).status_code
        for number, address in enumerate(addresses)
    ]  # fmt: skip


def test_a_trusted_proxy_tells_who_is_throttled(auto: Hub) -> None:
    assert failed_logins(auto, ["203.0.113.1"] * 4 + ["203.0.113.2"]) == [401, 401, 401, 429, 401]


def test_nobody_else_does(files: Files) -> None:
    assert failed_logins(files.hub, [f"203.0.113.{number}" for number in range(4)]) == [401, 401, 401, 429]


def test_sighup_changes_the_certificate_for_new_connections_only(files: Files, tmp_path: Path) -> None:
    """F29: the certificate is replaced, expires, comes from another CA, and is damaged, while a request's connection and an agent's live on."""
    pid = files.hub.server_pid
    old = files.connect()
    channel = open_websocket(files.hub, files.hub.enrol("lives-on", tmp_path)[1].read_text())
    first = serial(old)

    def old_ones_live() -> None:
        ask(old)
        channel.ping("x")
        assert channel.recv_data_frame(control_frame=True)[0] == websocket.ABNF.OPCODE_PONG

    files.put(files.authority.issue("second"))
    assert "new TLS certificate" in files.hang_up()
    with files.connect() as new:
        second = serial(new)
        ask(new)
    assert second != first
    old_ones_live()

    for damaged in (b"garbage", files.file.read_bytes()[:300]):
        files.put(damaged)
        said = files.hang_up()
        assert str(files.file) in said
        assert "Traceback" not in said
        with files.connect() as new:
            assert serial(new) == second
    old_ones_live()

    files.put(files.authority.issue("expired", age=timedelta(days=500)))
    files.hang_up()
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        files.connect()
    old_ones_live()

    other = Authority(tmp_path, "other")
    files.put(other.issue("hub"))
    files.hang_up()
    with pytest.raises(ssl.SSLCertVerificationError, match=r"unable to get local issuer|self-signed"):
        files.connect()
    files.connect(other).close()
    old_ones_live()

    files.put(files.authority.issue("last"))
    files.hang_up()
    files.connect().close()
    assert files.hub.server_pid == pid, "nothing was restarted"
    old.close()
    channel.close()


def test_plain_http_on_the_port_is_told_to_use_https(files: Files) -> None:
    answer = requests.get(f"http://127.0.0.1:{files.hub.port}/healthz", timeout=10)
    assert answer.status_code == 400
    assert "https://" in answer.text


def test_a_hundred_half_handshakes_and_silences_leave_nothing_behind(files: Files) -> None:
    """W20. Bytes that are no TLS, handshakes that stop, and handshakes with nothing behind them."""
    server = psutil.Process(files.hub.server_pid)
    files.connect().close()
    descriptors = server.num_fds()
    half = [socket.create_connection(("127.0.0.1", files.hub.port), timeout=15) for _ in range(100)]
    for number, sock in enumerate(half):
        sock.sendall((b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00", b"SSH-2.0-x\r\n", bytes(500))[number % 5])
    silent = [files.connect() for _ in range(10)]
    with files.connect() as meanwhile:
        ask(meanwhile)
    for sock in (*half, *silent):
        try:
            while sock.recv(1000):
                pass
        except ConnectionResetError:
            pass
        sock.close()
    wait_for("the descriptors", lambda: server.num_fds() <= descriptors, 10)
    assert "Traceback" not in files.log()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is the client that can ask for it")
def test_no_renegotiation(files: Files) -> None:
    """W20. ``R`` on a line of its own makes openssl ask for it."""
    command = [
        "openssl",
        "s_client",
        "-connect",
        f"127.0.0.1:{files.hub.port}",
        "-CAfile",
        str(files.authority.file),
        "-tls1_2",
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        lines: list[str] = []
        for line in client.stdout:
            lines.append(line)
            if "Verify return code" in line:
                break
        client.stdin.write("R\n")
        client.stdin.flush()
        rest, _ = client.communicate(timeout=20)
    assert "RENEGOTIATING" in rest
    assert "no renegotiation" in rest
    with files.connect() as still:
        ask(still)


def test_no_tls_before_1_2(files: Files) -> None:
    for version in ("-tls1", "-tls1_1"):
        command = [
            "openssl",
            "s_client",
            "-connect",
            f"127.0.0.1:{files.hub.port}",
            version,
            "-cipher",
            "ALL:@SECLEVEL=0",
        ]
        done = subprocess.run(command, input="", capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode != 0
        assert "protocol version" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tls-cert", "good.pem"], "tls_key is missing"),
        (["--tls-key", "good.pem"], "tls_cert is missing"),
        (["--tls-cert", "gone.pem", "--tls-key", "good.pem"], "gone.pem"),
        (["--tls-cert", "good.pem", "--tls-key", "other.pem"], "does not belong"),
        (["--tls-cert", "good.pem", "--tls-key", "empty.pem"], "no private key"),
        (["--tls", "auto", "--tls-cert", "good.pem", "--tls-key", "good.pem"], "not both"),
        (["--tls", "yes"], "auto or off"),
        (["--trusted-proxy", "everybody"], "--trusted-proxy"),
    ],
)
def test_a_hub_that_cannot_serve_says_why_and_ends(tmp_path: Path, arguments: list[str], said: str) -> None:
    authority = Authority(tmp_path)
    authority.issue("good")
    authority.issue("other")
    (tmp_path / "empty.pem").write_text("")
    command: list[Any] = [
        sys.executable,
        "-m",
        "fileflux.cli.main",
        "serve",
        "--port",
        "0",
        "--data-dir",
        "data",
        *arguments,
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert said in done.stderr
