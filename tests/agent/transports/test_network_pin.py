"""The CA that a token pins: who has it, who only shows it, and what else may be at its place."""

from __future__ import annotations

import pytest
import structlog

from fileflux.errors import ConfigError
from fileflux.web import own_ca
from flux_agent.transports.reach import PinMismatchError, ReachError
from tests.agent.transports.stand_ins import Server, Tunnel, hub_like, network, page, pin_of, reply
from tests.agent.transports.test_network import TIMEOUT, asks, fails


def test_the_pin_of_the_token(authority, tls):
    assert own_ca.pin(authority.made.certificate_pem()) == pin_of(authority)
    with Server(hub_like(authority), tls) as server, Tunnel() as proxy:
        way = network(server.url, proxy=proxy.url, token=f"ffx_secret.{pin_of(authority)}")
        assert way.authorization == {"Authorization": "Bearer ffx_secret"}
        assert asks(way).startswith(b"HTTP/1.1 200")
        assert asks(way).startswith(b"HTTP/1.1 200")
        # The CA was fetched once, through the proxy, without the token.
        assert [path for path, _ in server.requests] == ["/ca.pem", "/healthz", "/healthz"]
        assert "authorization" not in server.requests[0][1]
        assert len(proxy.targets) == 3


def test_another_ca_than_the_pinned_one_is_loud_and_gets_no_token(authority, other_authority, tls):
    with Server(hub_like(authority), tls) as server, structlog.testing.capture_logs() as logs:
        way = network(server.url, token=f"ffx_secret.{pin_of(other_authority)}")
        with pytest.raises(PinMismatchError, match="another hub, or somebody in between") as caught:
            way.connect(TIMEOUT)
        assert caught.value.code == "pin_mismatch"
        assert [path for path, _ in server.requests] == ["/ca.pem"]
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("hub_is_another", "error")]
    assert "secret" not in str(logs)


def test_somebody_who_shows_the_true_ca_and_has_not_its_key(authority, other_authority):
    """What is at /ca.pem is public: only the chain proves anything."""
    context = other_authority.server_context()
    with Server(hub_like(authority), context) as server:
        way = network(server.url, token=f"ffx_secret.{pin_of(authority)}")
        said = fails(way, "tls")
        assert "is not from the CA that the token names" in said
        # The CA was fetched again, to see whether the hub has become another.
        assert [path for path, _ in server.requests].count("/ca.pem") == 2
        assert not any("authorization" in headers for _, headers in server.requests)


def test_a_hub_that_has_become_another_one(authority, other_authority, tls):
    with Server(hub_like(authority), tls) as server:
        way = network(server.url, token=f"ffx_secret.{pin_of(authority)}")
        assert asks(way).startswith(b"HTTP/1.1 200")
        server.context, server.answer = other_authority.server_context(), hub_like(other_authority)
        with pytest.raises(PinMismatchError):
            way.connect(TIMEOUT)
        # And back, without a restart.
        server.context, server.answer = tls, hub_like(authority)
        assert asks(way).startswith(b"HTTP/1.1 200")


def test_the_name_counts_with_a_pin_too(authority):
    context = authority.server_context(authority.issue("elsewhere2", ("hub.example",)))
    with Server(hub_like(authority), context) as server:
        said = fails(network(server.url, token=f"ffx_secret.{pin_of(authority)}"), "tls")
        assert "is for hub.example and not for 127.0.0.1" in said


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda *_: reply(404), "none to show at /ca.pem (status 404)"),
        (page, "none to show"),
        (lambda *_: reply(200, {}, b"x" * 100_000), "above 65536 bytes"),
        (lambda *_: b"SSH-2.0-x\r\n\r\n", "is not HTTP"),
        (lambda *_: reply(200, {}, b"-----BEGIN CERTIFICATE-----\n====\n-----END CERTIFICATE-----"), "another hub"),
    ],
)
def test_what_else_may_be_at_ca_pem(authority, tls, answer, words):
    with Server(answer, tls) as server:
        way = network(server.url, token=f"ffx_secret.{pin_of(authority)}")
        with pytest.raises((ReachError, PinMismatchError)) as caught:
            way.connect(2.0)
        assert words in str(caught.value)


def test_a_pin_and_a_ca_file(authority, other_authority, tls, tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(other_authority.file.read_bytes() + authority.file.read_bytes())
    with Server(hub_like(), tls) as server:
        pinned = f"ffx_secret.{pin_of(authority)}"
        assert asks(network(server.url, token=pinned, ca_file=str(both))).startswith(b"HTTP/1.1 200")
        assert [path for path, _ in server.requests] == ["/healthz"]
    with Server(hub_like(), other_authority.server_context()) as server:
        # The file holds its CA too, and it is not the pinned one.
        fails(network(server.url, token=pinned, ca_file=str(both)), "tls")
    with pytest.raises(ConfigError, match="does not hold the CA that the token names"):
        network("https://h", token=pinned, ca_file=str(other_authority.file))
