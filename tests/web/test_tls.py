"""The hub's TLS on real sockets: who gets in, who is sent away how, and certificates that change."""

from __future__ import annotations

import gc
import socket
import ssl
import warnings
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import gevent
import gevent.socket
import psutil
import pytest
from gevent import server as gevent_server
from structlog.testing import capture_logs

from fileflux.actors.kernel.tls import TlsError, TlsFailure, TlsSocket, client_context, client_handshake
from fileflux.clock import FakeClock, SystemClock
from fileflux.errors import ConfigError
from fileflux.protocol.limits import Limits
from fileflux.web.tls import HubTls
from tests.certificates import Authority

LIMITS = Limits(handshake_timeout=0.5)


class Port:
    """A listener that echoes over TLS."""

    def __init__(self, tls: HubTls) -> None:
        self._server = gevent_server.StreamServer(("127.0.0.1", 0), self._serve)
        self._tls = tls
        self._server.start()
        self.address: tuple[str, int] = self._server.address
        self.serving = 0

    def _serve(self, client: socket.socket, address: tuple[str, int]) -> None:
        self.serving += 1
        try:
            tls = self._tls.accept(client, address[0])
            while tls is not None and (data := tls.recv(1000)):
                tls.sendall(data)
        finally:
            self.serving -= 1

    def connect(self) -> socket.socket:
        return gevent.socket.create_connection(self.address, timeout=10)

    def talk(self, authority: Authority, name: str = "localhost") -> TlsSocket:
        tls = client_handshake(self.connect(), client_context(authority.file), name, 10)
        tls.sendall(b"hello")
        assert tls.recv(100) == b"hello"
        return tls

    def stop(self) -> None:
        self._server.stop(timeout=1)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def server_file(authority: Authority, tmp_path: Path) -> Path:
    path = tmp_path / "server.pem"
    path.write_bytes(authority.issue().read_bytes())
    return path


@pytest.fixture
def tls(server_file: Path) -> HubTls:
    return HubTls(lambda: (server_file, server_file), LIMITS, SystemClock())


@pytest.fixture
def port(tls: HubTls) -> Iterator[Port]:
    port = Port(tls)
    yield port
    port.stop()


def serial(tls: TlsSocket) -> str:
    return str(tls.tls.getpeercert()["serialNumber"])


def read_all(sock: socket.socket) -> bytes:
    found = b""
    while data := sock.recv(1000):
        found += data
    return found


def test_a_new_certificate_is_for_new_connections(
    port: Port, tls: HubTls, authority: Authority, server_file: Path
) -> None:
    old = port.talk(authority)
    server_file.write_bytes(authority.issue("second").read_bytes())
    with capture_logs() as logs:
        tls.reload()
    assert [line["log_level"] for line in logs] == ["info"]
    new = port.talk(authority)
    assert serial(new) != serial(old)
    old.sendall(b"still here")
    assert old.recv(100) == b"still here"
    with capture_logs() as logs:
        tls.reload()
    assert "same" in logs[0]["event"]
    old.close()
    new.close()


@pytest.mark.parametrize("damage", ["gone", "garbage", "other key"])
def test_a_bad_pair_keeps_the_old_one_and_says_why_in_one_line(
    port: Port, tls: HubTls, authority: Authority, server_file: Path, damage: str
) -> None:
    with port.talk(authority) as first:
        before = serial(first)
    if damage == "gone":
        server_file.unlink()
    elif damage == "garbage":
        server_file.write_bytes(b"garbage")
    else:
        mark = b"-----BEGIN CERTIFICATE"
        key = authority.issue("other").read_bytes().partition(mark)[0]
        server_file.write_bytes(key + mark + server_file.read_bytes().partition(mark)[2])
    with capture_logs() as logs:
        tls.reload()
    (line,) = logs
    assert line["log_level"] == "error"
    assert str(server_file) in line["reason"]
    with port.talk(authority) as again:
        assert serial(again) == before


def test_clients_of_another_ca_and_of_other_names_fail_clearly(
    port: Port, authority: Authority, tmp_path: Path
) -> None:
    for trusted, name, failure in (
        (Authority(tmp_path, "stranger"), "localhost", TlsFailure.UNKNOWN_CA),
        (authority, "hub.example", TlsFailure.NAME_MISMATCH),
    ):
        sock = port.connect()
        with pytest.raises(TlsError) as caught:
            client_handshake(sock, client_context(trusted.file), name, 10)
        assert caught.value.failure is failure
        sock.close()
    port.talk(authority).close()


def test_an_expired_certificate_serves_with_a_warning(authority: Authority) -> None:
    expired = authority.issue("expired", age=timedelta(days=500))
    assert "expired" in HubTls(lambda: (expired, expired), LIMITS, SystemClock()).warnings[0]


def test_what_cannot_serve_at_all_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        HubTls(lambda: (tmp_path / "none", tmp_path / "none"), LIMITS, SystemClock())


def test_the_hubs_own_certificate_is_renewed_in_time_without_being_told(tmp_path: Path) -> None:
    clock = FakeClock(wall=SystemClock().utc_now())
    names = ["localhost"]
    tls = HubTls.auto(tmp_path / "tls", lambda: names, LIMITS, clock)
    ca, context = tls.ca_pem, tls.context
    names.append("new.example")
    tls.reload()
    assert tls.context is not context, "the machine was given another name"
    context = tls.context

    def connect() -> None:
        left, right = gevent.socket.socketpair()
        left.close()
        assert tls.accept(right, "peer") is None

    connect()
    clock.advance(360 * 86400)
    connect()
    assert tls.context is context
    clock.advance(10 * 86400)
    connect()
    assert tls.context is not context
    assert tls.ca_pem == ca == (tmp_path / "tls" / "ca.pem").read_bytes()


@pytest.mark.parametrize("method", [b"GET", b"POST", b"HEAD"])
def test_plain_http_is_told_to_use_https(port: Port, method: bytes) -> None:
    with port.connect() as sock:
        sock.sendall(method + b" / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n" + b"x" * 100_000)
        answer = read_all(sock)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"https://" in answer


@pytest.mark.parametrize(
    "first", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01", b"SSH-2.0-x\r\n", bytes(2000), b"\xff" * 2000]
)
def test_what_is_no_handshake_is_closed_within_the_deadline(port: Port, first: bytes) -> None:
    with port.connect() as sock, capture_logs() as logs:
        sock.sendall(first)
        with gevent.Timeout(LIMITS.handshake_timeout + 2):
            try:
                read_all(sock)
            except ConnectionResetError:
                pass
    assert all(line["log_level"] == "debug" for line in logs), "anyone could fill the log"


def test_a_hundred_half_handshakes_leave_nothing_behind(port: Port, authority: Authority) -> None:
    port.talk(authority).close()
    gevent.sleep(0.05)
    descriptors = psutil.Process().num_fds()
    socks = [port.connect() for _ in range(100)]
    for number, sock in enumerate(socks):
        sock.sendall(b"\x16\x03\x01"[: number % 4])
    # Others are served meanwhile.
    port.talk(authority).close()
    for sock in socks:
        assert read_all(sock) == b""
        sock.close()
    with gevent.Timeout(5):
        while port.serving:
            gevent.sleep(0.01)
    gc.collect()
    assert psutil.Process().num_fds() <= descriptors


def test_no_tls_before_1_2(port: Port, authority: Authority) -> None:
    context = client_context(authority.file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with port.connect() as sock, pytest.raises(TlsError) as caught:
        client_handshake(sock, context, "localhost", 10)
    assert caught.value.failure is TlsFailure.VERSION


def test_tls_1_2_works_and_http_1_1_is_chosen(port: Port, authority: Authority) -> None:
    context = client_context(authority.file)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2", "http/1.1"])
    with client_handshake(port.connect(), context, "localhost", 10) as tls:
        assert (tls.tls.version(), tls.tls.selected_alpn_protocol()) == ("TLSv1.2", "http/1.1")
        tls.sendall(b"x")
        assert tls.recv(10) == b"x"
