from __future__ import annotations

from typing import Any

import pytest

from fileflux.errors import ConfigError
from fileflux.web.forwarded import Forwarded, network

pytestmark = pytest.mark.unit


def seen(peer: str, trusted: list[str], **headers: str) -> dict[str, Any]:
    """What the application behind it sees."""
    found: dict[str, Any] = {}

    def application(environ: dict[str, Any], _start: object) -> list[bytes]:
        found.update(environ)
        return []

    environ = {"REMOTE_ADDR": peer, "REMOTE_PORT": "1234", "wsgi.url_scheme": "http", "HTTP_HOST": "hub"} | {
        f"HTTP_{name.upper()}": value for name, value in headers.items()
    }
    Forwarded(application, [network(one) for one in trusted])(environ, lambda *_: None)
    return found


@pytest.mark.parametrize(
    ("peer", "chain", "origin"),
    [
        ("127.0.0.1", "203.0.113.9", "203.0.113.9"),
        # What the client sent itself stands further left: the one that the proxy added counts.
        ("127.0.0.1", "1.1.1.1, 203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "1.1.1.1,203.0.113.9,10.0.0.7, 10.0.0.8", "203.0.113.9"),
        ("127.0.0.1", "10.0.0.7,10.0.0.8", "10.0.0.7"),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        ("127.0.0.1", "[2001:db8::9]:4711", "2001:db8::9"),
        ("127.0.0.1", "2001:DB8:0::9", "2001:db8::9"),
        ("127.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
        ("::ffff:127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("fd00::5%eth0", "203.0.113.9", "203.0.113.9"),
        # No address: the last one that is known to be true.
        ("127.0.0.1", "unknown", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.9, _hidden, 10.0.0.7", "10.0.0.7"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", ",,,", "127.0.0.1"),
        ("127.0.0.1", "10.0.0.7\x00, <script>", "127.0.0.1"),
        # Not trusted: anyone can send the header.
        ("203.0.113.1", "127.0.0.1", "203.0.113.1"),
        ("::ffff:203.0.113.1", "127.0.0.1", "203.0.113.1"),
    ],
)
def test_the_nearest_one_that_is_not_a_proxy_of_ours(peer: str, chain: str, origin: str) -> None:
    found = seen(peer, ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"], x_forwarded_for=chain)
    assert found["REMOTE_ADDR"] == origin


@pytest.mark.parametrize(
    ("peer", "told", "scheme"),
    [
        ("127.0.0.1", "https", "https"),
        ("127.0.0.1", "HTTPS", "https"),
        ("127.0.0.1", "http, https", "https"),
        ("127.0.0.1", "https, http", "http"),
        ("127.0.0.1", "gopher", "http"),
        ("127.0.0.1", "", "http"),
        ("127.0.0.2", "https", "http"),
    ],
)
def test_the_scheme(peer: str, told: str, scheme: str) -> None:
    assert seen(peer, ["127.0.0.1"], x_forwarded_proto=told)["wsgi.url_scheme"] == scheme


@pytest.mark.parametrize("peer", ["127.0.0.1", "203.0.113.1"])
def test_no_forwarding_header_gets_behind_it(peer: str) -> None:
    sent = {"x_forwarded_for": "9.9.9.9", "x_forwarded_host": "evil", "x_forwarded_prefix": "/x", "forwarded": "for=9.9.9.9", "x_real_ip": "9.9.9.9",
            "x_forwarded_proto": "https", "x_forwarded_ssl": "on"}  # fmt: skip
    found = seen(peer, ["127.0.0.1"], **sent)
    assert {name for name in found if name.startswith("HTTP_")} == {"HTTP_HOST"}
    assert ("REMOTE_PORT" in found) is (peer != "127.0.0.1")


def test_with_no_proxy_everybody_is_who_they_are() -> None:
    found = seen("127.0.0.1", [], x_forwarded_for="9.9.9.9", x_forwarded_proto="https")
    assert (found["REMOTE_ADDR"], found["wsgi.url_scheme"], found["REMOTE_PORT"]) == ("127.0.0.1", "http", "1234")
    assert seen("", ["127.0.0.1"], x_forwarded_for="9.9.9.9")["REMOTE_ADDR"] == ""


@pytest.mark.parametrize("text", ["", "x", "10.0.0.1/8", "10.0.0.0/33", "::/129", "localhost"])
def test_what_is_no_network_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="--trusted-proxy"):
        network(text)
