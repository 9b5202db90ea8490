"""The session of long-polling: the same way as WebSocket's, and nothing of requests' own ideas about networks."""

from __future__ import annotations

import os

import pytest
import requests

from flux_agent.transports.reach import PinMismatchError, ReachError
from tests.agent.transports.stand_ins import Server, Tunnel, hub_like, network, pin_of, reply

BOTH = (3.0, 3.0)


def echo_headers(path, headers):
    return reply(200, {"X-Seen": headers.get("authorization", "none"), "X-Host": headers.get("host", "")}, b"x" * 10)


def test_connections_are_kept_and_carry_the_token():
    with Server(echo_headers) as server, network(server.url).requests_session(2) as session:
        for _ in range(5):
            answer = session.get(server.url + "/a", timeout=BOTH)
            assert answer.headers["X-Seen"] == "Bearer ffx_secret"
            assert answer.headers["X-Host"] == server.authority
            assert answer.content == b"x" * 10
        assert server.accepted == 1
        sent = server.requests[0][1]
        assert sent["accept-encoding"] == "identity"
        assert sent["user-agent"] == "flux-agent"


def test_tls_and_its_trust(authority, other_authority, tls):
    with Server(hub_like(authority), tls) as server:
        url = server.url + "/healthz"
        with network(server.url, ca_file=str(authority.file)).requests_session(1) as session:
            assert [session.get(url, timeout=BOTH).json() for _ in range(3)] == [{"status": "ok"}] * 3
            assert server.accepted == 1
        with network(server.url, token=f"ffx_secret.{pin_of(authority)}").requests_session(1) as session:
            assert session.get(url, timeout=BOTH).ok
            assert server.requests[-1][1]["authorization"] == "Bearer ffx_secret"
        with network(server.url).requests_session(1) as session, pytest.raises(ReachError, match="ca_file") as caught:
            # Not even with requests' own list of CAs, nor without any check.
            session.get(url, timeout=BOTH, verify=False)
        assert caught.value.layer == "tls"
        pinned = network(server.url, token=f"ffx_secret.{pin_of(other_authority)}")
        with pinned.requests_session(1) as session, pytest.raises(PinMismatchError):
            session.get(url, timeout=BOTH)


def test_the_default_port_is_not_in_the_host_header(authority, tls, monkeypatch):
    """As browsers and other clients do it: some virtual hosts are known by that name only."""
    with Server(echo_headers, tls) as server:
        way = network("https://localhost", ca_file=str(authority.file))
        reach = way.reach
        monkeypatch.setattr(
            way, "reach", lambda found, deadline: reach([(found[0][0], ("127.0.0.1", server.port))], deadline)
        )
        monkeypatch.setattr(way, "find", lambda deadline: [(2, ("127.0.0.1", server.port))])
        with way.requests_session(1) as session:
            assert session.get(way.hub.url + "/", timeout=BOTH).headers["X-Host"] == "localhost"


@pytest.mark.parametrize("secure", [False, True])
def test_through_a_proxy_it_is_connect_for_both(authority, tls, secure):
    with Server(echo_headers, tls if secure else None) as server, Tunnel("u:p") as proxy:
        way = network(server.url, proxy=f"http://u:p@{proxy.authority}", ca_file=str(authority.file))
        with way.requests_session(1) as session:
            assert session.get(server.url + "/a", timeout=BOTH).ok
            assert session.get(server.url + "/a", timeout=BOTH).ok
        assert proxy.targets == [server.authority]
        assert "proxy-authorization" not in server.requests[0][1]
        assert server.requests[0][0] == "/a"


def test_neither_environment_nor_netrc_is_looked_at(monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", os.devnull)
    with Server(echo_headers) as server, network(server.url).requests_session(1) as session:
        assert session.get(server.url + "/", timeout=BOTH).headers["X-Seen"] == "Bearer ffx_secret"


def test_redirects_are_not_followed_and_cookies_not_kept():
    def answer(path, headers):
        if path == "/there":
            return reply(200)
        return reply(302, {"Location": "/there", "Set-Cookie": "a=b"})

    with Server(answer) as server, network(server.url).requests_session(1) as session:
        for method in ("GET", "POST"):
            moved = session.request(method, server.url + "/", timeout=BOTH, allow_redirects=True)
            assert moved.status_code == 302
        assert [(path, headers.get("cookie")) for path, headers in server.requests] == [("/", None)] * 2


def test_the_layer_of_a_failed_connection_comes_out():
    with Server(echo_headers) as server:
        url = server.url
    with network(url).requests_session(1) as session, pytest.raises(ReachError) as caught:
        session.get(url + "/", timeout=BOTH)
    assert caught.value.layer == "tcp"


def test_a_silent_hub_costs_the_read_time_out_and_the_pool_lives_on():
    def answer(path, headers):
        return b"" if path == "/silent" else reply(200)

    with Server(answer) as server, network(server.url).requests_session(1) as session:
        with pytest.raises(requests.exceptions.ReadTimeout):
            session.get(server.url + "/silent", timeout=(3.0, 0.3))
        assert session.get(server.url + "/", timeout=BOTH).ok
        assert server.accepted == 2


def test_no_request_without_a_time_out():
    with (
        Server(echo_headers) as server,
        network(server.url).requests_session(1) as session,
        pytest.raises(TypeError, match="time-out"),
    ):
        session.get(server.url + "/")


@pytest.mark.parametrize("secure", [False, True])
def test_large_bodies_both_ways(authority, tls, secure):
    data = os.urandom(3_000_000)

    class Taking(Server):
        def serve(self, connection):
            with self.context.wrap_socket(connection, server_side=True) if self.context else connection as stream:
                raw = b""
                while b"\r\n\r\n" not in raw:
                    raw += stream.recv(65536)
                body = raw.partition(b"\r\n\r\n")[2]
                while len(body) < len(data):
                    body += stream.recv(65536)
                # No length: the body ends with the connection.
                stream.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body[::-1])

    with (
        Taking(echo_headers, tls if secure else None) as server,
        network(server.url, ca_file=str(authority.file)).requests_session(1) as session,
    ):
        answer = session.post(server.url + "/", data=data, timeout=BOTH, stream=True)
        assert b"".join(answer.iter_content(100_000)) == data[::-1]


def test_nothing_is_left_open(recwarn):
    with Server(echo_headers) as server:
        with network(server.url).requests_session(2) as session:
            answer = session.get(server.url + "/a", timeout=BOTH, stream=True)
            # Not read: closing the session and dropping the answer must do.
            answer.close()
        import gc

        gc.collect()
    assert not [warning for warning in recwarn if issubclass(warning.category, ResourceWarning)]
