"""The whole way over real sockets: proxy, TLS, the pinned CA, and what is said about each thing that can be wrong with them."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from datetime import timedelta

import pytest
from cryptography.x509.oid import NameOID

from fileflux.actors.kernel.resolver import Resolver
from fileflux.actors.kernel.tls import TlsSocket
from fileflux.clock import FakeClock, SystemClock
from fileflux.errors import ConfigError
from flux_agent.transports.network import Network
from flux_agent.transports.reach import ReachError
from tests.agent.transports.stand_ins import (
    Listening,
    Server,
    Tunnel,
    hub_like,
    network,
    page,
    pin_of,
    read_head,
    reply,
)

TIMEOUT = 5.0


def fails(way: Network, layer: str, timeout: float = TIMEOUT) -> str:
    with pytest.raises(ReachError) as caught:
        way.connect(timeout).close()
    assert caught.value.layer == layer, caught.value
    assert caught.value.retryable
    return str(caught.value)


def asks(way: Network) -> bytes:
    """A request over a new connection, and its answer."""
    with way.connect(TIMEOUT) as connection:
        connection.sendall(f"GET /healthz HTTP/1.1\r\nHost: {way.hub.authority}\r\n\r\n".encode())
        return connection.recv(1000)


# The way


def test_plain_http():
    with Server(hub_like()) as server:
        way = network(server.url)
        assert asks(way).startswith(b"HTTP/1.1 200")
        assert way.hub.url == server.url
        assert way.peer == server.authority


def test_tls_with_a_ca_file(authority, tls):
    with Server(hub_like(), tls) as server:
        way = network(server.url, ca_file=str(authority.file))
        assert asks(way).startswith(b"HTTP/1.1 200")
        with way.connect(TIMEOUT) as connection:
            assert isinstance(connection, TlsSocket)
            assert connection.tls.version() in ("TLSv1.2", "TLSv1.3")
            assert connection.gettimeout() == TIMEOUT


def test_ipv6_and_a_name(authority, tls):
    try:
        server = Server(hub_like(), tls, "::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    with server:
        assert asks(network(server.url, ca_file=str(authority.file))).startswith(b"HTTP/1.1 200")
    with Server(hub_like(), tls) as server:
        way = network(f"https://localhost:{server.port}", ca_file=str(authority.file))
        assert asks(way).startswith(b"HTTP/1.1 200")


def test_everything_ends_with_the_deadline(authority):
    class Silent(Listening):
        def serve(self, connection: socket.socket) -> None:
            while connection.recv(4096):
                pass

    with Silent() as server:
        begun = time.monotonic()
        said = fails(network(f"https://{server.authority}", ca_file=str(authority.file)), "tls", 0.5)
        assert "does not answer the TLS handshake" in said
        said = fails(network(f"https://{server.authority}", proxy=f"http://{server.authority}"), "proxy", 0.5)
        assert "does not answer within 0.5 s" in said
        assert "firewall" in fails(network(f"https://{server.authority}", ca_pin="sha256:" + "0" * 64), "tls", 0.5)
        assert time.monotonic() - begun < 6


def test_a_slow_name_server_costs_the_deadline():
    may_end = threading.Event()

    def slow(host: str, port: int) -> list[object]:
        may_end.wait(30)
        return []

    way = network("https://hub.example")
    way._resolver = Resolver(slow)
    begun = time.monotonic()
    assert "check this machine's DNS" in fails(way, "dns", 0.3)
    assert time.monotonic() - begun < 3
    may_end.set()


def test_a_hub_that_moves_is_found_again():
    """Nothing that a name server said is kept from one connection to the next."""
    with Server(hub_like()) as first, Server(hub_like()) as second:
        way = network("http://localhost:1")
        there = [first.port, second.port]
        way._resolver = Resolver(lambda host, port: [(socket.AF_INET, ("127.0.0.1", there.pop(0)))])
        for server in (first, second):
            with way.connect(TIMEOUT) as connection:
                assert connection.getpeername()[1] == server.port


# The proxy


def test_both_kinds_of_hub_through_a_proxy(authority, tls):
    for context, flags in ((None, {}), (tls, {"ca_file": str(authority.file)})):
        with Server(hub_like(), context) as server, Tunnel() as proxy:
            way = network(server.url, proxy=proxy.url, **flags)
            assert asks(way).startswith(b"HTTP/1.1 200")
            assert proxy.targets == [server.authority]
            assert way.peer == f"{server.authority} via {proxy.url}"


def test_the_proxy_of_the_environment_and_no_proxy(authority, tls):
    with Server(hub_like(), tls) as server, Tunnel() as proxy:
        trusted = {"ca_file": str(authority.file)}
        asks(network(server.url, {"HTTPS_PROXY": proxy.url}, **trusted))
        assert len(proxy.targets) == 1
        asks(network(server.url, {"HTTPS_PROXY": proxy.url, "NO_PROXY": "127.0.0.0/8"}, **trusted))
        asks(network(server.url, {"HTTPS_PROXY": proxy.url}, proxy="none", **trusted))
        assert len(proxy.targets) == 1


def test_the_proxy_looks_the_hub_up_itself(authority, tls):
    """Behind such a proxy the hub's name often means nothing to this machine."""
    with Server(hub_like(), tls) as server, Tunnel() as proxy:
        way = network(f"https://localhost:{server.port}", proxy=proxy.url, ca_file=str(authority.file))
        asked = []
        way._resolver = Resolver(lambda host, port: asked.append(host) or [(socket.AF_INET, (host, port))])
        asks(way)
        assert asked == ["127.0.0.1"]
        assert proxy.targets == [f"localhost:{server.port}"]


def test_credentials_go_to_the_proxy_and_the_token_does_not(authority, tls):
    with Server(hub_like(), tls) as server, Tunnel("us@er:s3cret") as proxy:
        trusted = {"ca_file": str(authority.file)}
        asks(network(server.url, proxy=f"http://us%40er:s3cret@{proxy.authority}", **trusted))
        assert b"ffx_" not in b"".join(proxy.heads)
        assert "wants credentials" in fails(network(server.url, proxy=proxy.url, **trusted), "proxy")
        said = fails(network(server.url, proxy=f"http://us%40er:wr0ng@{proxy.authority}", **trusted), "proxy")
        assert "refuses the user or password in proxy" in said
        assert "wr0ng" not in said


def test_a_proxy_that_is_not_there():
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    said = fails(network("https://hub.example", proxy=f"http://127.0.0.1:{port}"), "tcp")
    assert "the proxy at" in said
    assert "is the proxy running there" in said


def test_a_proxy_over_tls(authority, tls):
    with Server(hub_like(), tls) as server, Tunnel(context=tls) as proxy:
        way = network(server.url, proxy=proxy.url, ca_file=str(authority.file))
        assert asks(way).startswith(b"HTTP/1.1 200")
        assert proxy.targets == [server.authority]
        assert "no TLS with the proxy" in fails(network(server.url, proxy=proxy.url), "proxy")


def test_plain_http_is_not_sent_to_a_proxy_elsewhere():
    with pytest.raises(ConfigError, match="would show the token") as caught:
        network("http://127.0.0.1:8040", {"HTTP_PROXY": "http://user:s3cret@proxy.example:3128"})
    assert "s3cret" not in str(caught.value)
    assert network("http://127.0.0.1:8040", {"HTTP_PROXY": "http://proxy.example:3128"}, insecure=True).proxy
    assert network("http://127.0.0.1:8040", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "127.0.0.1"}).proxy is None


# Certificates


def test_an_unknown_ca(tls, authority, other_authority):
    with Server(hub_like(), tls) as server:
        issuer = authority.made.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        said = fails(network(server.url), "tls")
        assert "whom this machine does not know" in said
        assert "ca_file" in said
        assert issuer in said
        said = fails(network(server.url, ca_file=str(other_authority.file)), "tls")
        assert f"which is not in {other_authority.file}" in said


def test_another_name(authority):
    context = authority.server_context(authority.issue("elsewhere", ("hub.example", "10.0.0.1")))
    with Server(hub_like(), context) as server:
        said = fails(network(server.url, ca_file=str(authority.file)), "tls")
        assert "is for hub.example, 10.0.0.1 and not for 127.0.0.1" in said


def test_an_expired_certificate_tells_both_clocks(authority):
    expired = authority.server_context(authority.issue("expired", age=timedelta(days=400)))
    with Server(hub_like(), expired) as server:
        said = fails(network(server.url, ca_file=str(authority.file)), "tls")
        now = SystemClock().utc_now()
        assert f"this machine's clock says {now:%Y-%m-%d}" in said
        assert f"expired on {now - timedelta(days=3):%Y-%m-%d}" in said
        assert "renew" in said


def test_a_wrong_clock_is_told_from_an_expired_certificate(authority):
    """The hub's clock finds its own certificate good: so it is this machine's that is wrong."""
    then = SystemClock().utc_now() - timedelta(days=200)
    expired = authority.server_context(authority.issue("expired-here", age=timedelta(days=400)))

    def answer(_path, _headers):
        return reply(200, {"Date": f"{then:%a, %d %b %Y %H:%M:%S} GMT"})

    with Server(answer, expired) as server:
        said = fails(network(server.url, ca_file=str(authority.file)), "clock")
        assert f"the hub's {then:%Y-%m-%d}" in said
        assert "set this machine's clock" in said


def test_a_certificate_of_the_future(authority):
    early = authority.server_context(authority.issue("future", age=timedelta(days=-30)))
    with Server(hub_like(), early) as server:
        said = fails(network(server.url, ca_file=str(authority.file)), "clock")
        assert "is valid only from" in said
        assert "clock" in said


def test_no_tls_at_all(authority):
    class Plain(Listening):
        def serve(self, connection: socket.socket) -> None:
            connection.recv(4096)
            connection.sendall(reply(400))

    with Plain() as server:
        said = fails(network(f"https://{server.authority}", ca_file=str(authority.file)), "tls")
        assert "does not speak TLS" in said


def test_a_server_that_hangs_up(authority):
    class Rude(Listening):
        def serve(self, connection: socket.socket) -> None:
            connection.recv(4096)

    with Rude() as server:
        said = fails(network(f"https://{server.authority}", ca_file=str(authority.file)), "tls")
        assert "closed the connection in the TLS handshake" in said


def test_an_old_tls(authority):
    context = authority.server_context()
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with Server(hub_like(), context) as server:
        fails(network(server.url, ca_file=str(authority.file)), "tls")


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot read ca_file"), ("", "holds no certificate"), ("-----BEGIN CERTIFICATE-----\nx", "no certificate")],
)
def test_a_ca_file_that_is_none(tmp_path, content, words):
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=words):
        network("https://hub.example", ca_file=str(file))


def test_an_answer_in_drops(authority, tls):
    """A hub, or whoever, that sends a byte every 0.2 s does not hold the agent beyond its deadline."""

    class Dripping(Server):
        def serve(self, connection: socket.socket) -> None:
            with self.context.wrap_socket(connection, server_side=True) as stream:
                read_head(stream)
                while True:
                    stream.sendall(b"H")
                    time.sleep(0.2)

    with Dripping(page, tls) as server:
        begun = time.monotonic()
        fails(network(server.url, token=f"ffx_secret.{pin_of(authority)}"), "tls", 1.0)
        assert time.monotonic() - begun < 5


def test_the_clock_of_sentences_is_the_one_given(authority):
    clock = FakeClock()
    expired = authority.server_context(authority.issue("expired-2", age=timedelta(days=400)))
    with Server(hub_like(), expired) as server:
        way = network(server.url, ca_file=str(authority.file))
        way._clock = clock
        with pytest.raises(ReachError, match="this machine's clock says 2026-01-01 00:00 UTC"):
            way.connect(5.0)
