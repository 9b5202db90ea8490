"""Which proxy is chosen, and what it may answer to CONNECT."""

from __future__ import annotations

import base64
import socket
import threading
import time

import pytest

from fileflux.clock import SystemClock
from fileflux.errors import ConfigError
from flux_agent.transports.deadline import Deadline
from flux_agent.transports.proxies import choose, open_tunnel, parse
from flux_agent.transports.reach import ReachError

PROXY = {"HTTPS_PROXY": "http://proxy:3128"}


@pytest.mark.unit
@pytest.mark.parametrize(
    ("scheme", "environment", "chosen", "origin"),
    [
        ("https", {}, "None", None),
        ("https", PROXY, "http://proxy:3128", "HTTPS_PROXY"),
        ("http", PROXY, "None", None),
        ("http", {"HTTP_PROXY": "proxy:3128"}, "http://proxy:3128", "HTTP_PROXY"),
        ("https", {"https_proxy": "http://low:1", **PROXY}, "http://low:1", "https_proxy"),
        ("https", {"ALL_PROXY": "http://all"}, "http://all:80", "ALL_PROXY"),
        ("https", {"ALL_PROXY": "http://all", **PROXY}, "http://proxy:3128", "HTTPS_PROXY"),
        ("https", {"HTTPS_PROXY": "https://[::1]"}, "https://[::1]:443", "HTTPS_PROXY"),
        ("https", {"HTTPS_PROXY": " ", "https_proxy": ""}, "None", None),
    ],
)
def test_the_environment_names_the_proxy(scheme, environment, chosen, origin):
    proxy = choose(scheme, "hub.example", 443, None, environment)
    assert str(proxy) == chosen
    assert (proxy.origin if proxy else None) == origin


@pytest.mark.unit
def test_the_configuration_goes_before_the_environment():
    everything = {**PROXY, "NO_PROXY": "*"}
    assert str(choose("https", "h", 443, "http://mine:1", everything)) == "http://mine:1"
    assert choose("https", "h", 443, "none", PROXY) is None


@pytest.mark.unit
@pytest.mark.parametrize(
    ("host", "port", "no_proxy", "direct"),
    [
        ("hub.example", 443, "*", True),
        ("hub.example", 443, "other, *", True),
        ("hub.example", 443, "hub.example", True),
        ("hub.example", 443, "HUB.Example", True),
        ("hub.example", 443, "a.example hub.example", True),
        ("hub.example", 443, "example", True),
        ("hub.example", 443, ".example", True),
        ("hub.example", 443, "*.example", True),
        ("hub.example", 443, "b.example", False),
        ("bad-example.org", 443, "example.org", False),
        ("example.org.evil", 443, "example.org", False),
        ("hub.example", 443, "hub.example:443", True),
        ("hub.example", 443, "hub.example:8443", False),
        ("hub.example", 443, ".", False),
        ("hub.example", 443, "", False),
        ("hub.example", 443, "10.0.0.0/8", False),
        ("localhost", 443, "127.0.0.1", False),
        ("127.0.0.1", 8040, "localhost", False),
        ("10.1.2.3", 443, "10.0.0.0/8", True),
        ("11.1.2.3", 443, "10.0.0.0/8", False),
        ("10.1.2.3", 443, "10.1.2.3", True),
        ("10.1.2.3", 443, "10.1.2.3:443", True),
        ("10.1.2.3", 443, "10.1.2.3:8040", False),
        ("10.1.2.3", 443, "1.2.3", False),
        ("fd00::5", 443, "fd00::/8", True),
        ("fd00::5", 443, "10.0.0.0/8", False),
        ("::1", 443, "::1", True),
        ("::1", 443, "0:0::1", True),
        ("::1", 443, "[::1]:443", True),
        ("::1", 443, "[::1]:8040", False),
        ("::1", 443, "[::1]", True),
        ("10.1.2.3", 443, "10.0.0.0/999", False),
    ],
)
def test_no_proxy(host, port, no_proxy, direct):
    assert (choose("https", host, port, None, {**PROXY, "NO_PROXY": no_proxy}) is None) is direct


@pytest.mark.unit
def test_no_proxy_in_lower_case_too():
    assert choose("https", "h", 443, None, {**PROXY, "no_proxy": "h"}) is None


@pytest.mark.unit
def test_credentials_are_decoded_and_in_no_text():
    proxy = parse("http://us%40er:p%3Aa%2Fss%C3%BC@proxy:3128", "proxy")
    assert base64.b64decode(proxy.authorization.removeprefix("Basic ")).decode() == "us@er:p:a/ssü"
    assert "ss" not in f"{proxy} {proxy!r}"
    assert base64.b64decode(parse("http://user@proxy:1", "proxy").authorization[6:]) == b"user:"


@pytest.mark.unit
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("socks5://s3cret@proxy:1", "socks5"),
        ("http://user:s3cret", "not a proxy's URL"),
        ("http://user:s3cret@", "no host"),
        ("http://", "no host"),
        ("http://p:0", "no host and port"),
        ("http://user:s3cret/@p:1", "not a proxy's URL"),
        ("http://user:s3cret#x@p:1", "not a proxy's URL"),
        ("http://user:s3cret@p:1/path", "%2F"),
        ("http://[::1", "not a proxy's URL"),
    ],
)
def test_bad_urls_are_refused_without_being_shown(url, words):
    with pytest.raises(ConfigError) as caught:
        parse(url, "HTTPS_PROXY")
    assert words in str(caught.value)
    assert "HTTPS_PROXY" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def ask(answer: bytes, *, url: str = "http://127.0.0.1:1", close: bool = True, host: str = "hub.example") -> bytes:
    """The request that an answer of the proxy got; the tunnel's error comes out."""
    near, far = socket.socketpair()
    seen: list[bytes] = []

    def serve() -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += far.recv(4096)
        seen.append(data)
        far.sendall(answer)
        if close:
            far.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        open_tunnel(near, parse(url, "proxy"), host, 443, Deadline(SystemClock(), 0.5))
    finally:
        thread.join(10)
        near.close()
        far.close()
    return seen[0]


def test_the_request():
    request = ask(b"HTTP/1.1 200 OK\r\n\r\n", url="http://u:p@127.0.0.1:1", close=False)
    assert request == (
        b"CONNECT hub.example:443 HTTP/1.1\r\nHost: hub.example:443\r\nProxy-Authorization: Basic dTpw\r\n\r\n"
    )
    assert ask(b"HTTP/1.0 299 x\r\nA: b\r\n\r\n", host="::1").startswith(b"CONNECT [::1]:443 HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=x\r\n\r\n", "wants credentials"),
        (b"HTTP/1.1 407 No\r\nProxy-Authenticate: NTLM\r\nProxy-Authenticate: Negotiate\r\n\r\n", "negotiate, ntlm"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "does not allow a tunnel to hub.example:443 (403 Forbidden)"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "cannot reach hub.example:443"),
        (b"HTTP/1.1 418 I'm a teapot\r\n\r\n", "418"),
        (b"HTTP/1.1 301 x\r\nLocation: http://portal\r\n\r\n", "refuses a tunnel"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "does not answer like an HTTP proxy"),
        (b"", "cut the connection"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 40_000, "larger than"),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", "data of its own"),
    ],
)
def test_refusals_say_what_to_do(answer, words):
    with pytest.raises(ReachError) as caught:
        ask(answer)
    assert caught.value.layer == "proxy"
    assert words in str(caught.value)


def test_wrong_credentials_are_told_from_missing_ones_and_not_shown():
    with pytest.raises(ReachError) as caught:
        ask(b"HTTP/1.1 407 No\r\nProxy-Authenticate: basic\r\n\r\n", url="http://user:s3cret@127.0.0.1:1")
    assert "refuses the user or password" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_silent_proxy_costs_the_deadline_and_no_more():
    begun = time.monotonic()
    with pytest.raises(ReachError, match="does not answer within"):
        ask(b"HTTP/1.1 200 OK\r\n", close=False)
    assert 0.4 < time.monotonic() - begun < 5
