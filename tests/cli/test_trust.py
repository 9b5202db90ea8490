"""The command line and hubs over TLS: each failure is one line that says what to do."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from fileflux.cli import credentials
from fileflux.cli.client import HubClient
from fileflux.cli.options import ExitCode
from fileflux.cli.trust import check_ca_file, tls_advice
from fileflux.errors import ConfigError, FluxError, UnavailableError
from tests.certificates import Authority
from tests.cli.conftest import Command
from tests.cli.stub import StubHub
from tests.cli.test_login import USER, password, tokens

__all__ = ["password"]

ROUTES = {
    "GET /api/x": (200, {"ok": True}),
    "POST /api/auth/login": (200, tokens(1)),
    "GET /api/auth/user": (200, USER),
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@contextmanager
def tls_hub(authority: Authority, certificate: Path | None = None) -> Iterator[StubHub]:
    stub = StubHub(ROUTES)
    context = authority.server_context(certificate)
    stub._server.socket = context.wrap_socket(stub._server.socket, server_side=True, do_handshake_on_connect=False)
    stub._server.handle_error = lambda *_: None  # Handshakes that fail are what is tested.
    stub.url = stub.url.replace("http:", "https:")
    with stub:
        yield stub


def test_the_given_ca_alone_is_trusted_whatever_the_environment_says(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = str(Authority(tmp_path, "other").file)
    with tls_hub(authority) as hub:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", other)
        monkeypatch.setenv("CURL_CA_BUNDLE", other)
        with HubClient(hub.url, ca_file=str(authority.file)) as client:
            assert client.get("/api/x") == {"ok": True}
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.file))
        with HubClient(hub.url, ca_file=other) as client, pytest.raises(UnavailableError, match="--ca-file"):
            client.get("/api/x")
        # Without a choice of ours it is as everywhere with requests.
        with HubClient(hub.url) as client:
            assert client.get("/api/x") == {"ok": True}
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        monkeypatch.delenv("CURL_CA_BUNDLE")
        with HubClient(hub.url) as client, pytest.raises(UnavailableError, match="its CA is not known here"):
            client.get("/api/x")


@pytest.mark.parametrize(
    ("names", "age", "said"),
    [
        (("hub.example", "10.0.0.1"), timedelta(), "other names.*--tls-name"),
        (("127.0.0.1",), timedelta(days=500), "expired.*SIGHUP"),
        (("127.0.0.1",), timedelta(days=-5), "not valid yet"),
    ],
)
def test_a_refused_certificate_says_what_to_do(
    authority: Authority, names: tuple[str, ...], age: timedelta, said: str
) -> None:
    with (
        tls_hub(authority, authority.issue("bad", names, age)) as hub,
        HubClient(hub.url, ca_file=str(authority.file)) as client,
        pytest.raises(UnavailableError, match=said) as caught,
    ):
        client.get("/api/x")
    assert "\n" not in caught.value.message


def test_https_to_a_port_without_tls(authority: Authority) -> None:
    with (
        StubHub(ROUTES) as hub,
        HubClient(hub.url.replace("http:", "https:"), ca_file=str(authority.file)) as client,
        pytest.raises(UnavailableError, match="does not speak TLS"),
    ):
        client.get("/api/x")


def test_http_to_a_port_with_tls() -> None:
    answer = (400, b"This port speaks https", {"Content-Type": "text/plain"})
    with (
        StubHub({"GET /api/x": answer}) as hub,
        HubClient(hub.url) as client,
        pytest.raises(FluxError, match="write https://"),
    ):
        client.get("/api/x")


@pytest.mark.usefixtures("password")
@pytest.mark.parametrize("before", [True, False])
def test_the_ca_is_kept_with_the_login(
    fileflux: Command,
    login_file: Path,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: bool,
) -> None:
    monkeypatch.chdir(authority.file.parent)
    option = ["--ca-file", authority.file.name]
    command = ["login", "URL", "--email", "a@b", "--password-stdin"]
    with tls_hub(authority) as hub:
        command[1] = hub.url
        code, _, err = fileflux(*((option + command) if before else (command + option)))
        assert code == ExitCode.OK, err
        monkeypatch.chdir(tmp_path)
        assert credentials.load(login_file).ca_file == str(authority.file)
        assert fileflux("whoami")[0] == ExitCode.OK
        # For another hub it does not count.
        code, _, err = fileflux("--url", hub.url.replace("127.0.0.1", "localhost"), "--token", "t", "whoami")
        assert (code, "its CA is not known here" in err) == (ExitCode.TEMPORARY, True)
        monkeypatch.setenv("FILEFLUX_CA_FILE", str(tmp_path / "gone.pem"))
        code, _, err = fileflux("whoami")
        assert (code, err.count("\n"), "gone.pem" in err) == (ExitCode.USAGE, 1, True)


@pytest.mark.unit
def test_what_is_no_ca_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").write_text("")
    for name in ("text", "empty", "gone", "."):
        with pytest.raises(ConfigError, match="--ca-file"):
            check_ca_file(str(tmp_path / name))


@pytest.mark.unit
def test_advice_without_a_reason_of_the_library_is_still_one_line() -> None:
    assert tls_advice("https://hub", ValueError("odd\nthing")) == "no TLS connection to https://hub: odd"
    outer = ValueError("outer")
    outer.__cause__ = ssl.SSLEOFError(8, "EOF occurred")
    assert tls_advice("https://hub", outer) == "no TLS connection to https://hub: the other end closed the connection"


def test_a_proxy_is_used_for_https_unless_the_host_is_excepted(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []

    def proxy(listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                asked.append(client.recv(4096).partition(b"\r\n")[0])
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener, tls_hub(authority) as hub:
        thread = threading.Thread(target=proxy, args=(listener,))
        thread.start()
        for name in ("no_proxy", "NO_PROXY", "https_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{listener.getsockname()[1]}")
        with HubClient(hub.url, ca_file=str(authority.file)) as client:
            with pytest.raises(UnavailableError, match=r"cannot reach the hub.*407"):
                client.get("/api/x")
            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
            assert client.get("/api/x") == {"ok": True}
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert asked
    assert all(line.startswith(b"CONNECT 127.0.0.1:") for line in asked)
