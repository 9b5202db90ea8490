"""What a webhook's URL may be, and which addresses it may lead to."""

from __future__ import annotations

import ipaddress

import pytest

from fileflux.errors import ConfigError
from fileflux.jobs.webhook_url import check, is_outside, parse_allowed, parse_url

pytestmark = pytest.mark.unit

PUBLIC = ("93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c")


@pytest.mark.parametrize(
    "text",
    [
        "", "hooks.example.org", "//hooks.example.org", "gopher://x.org/", "file:///etc/passwd", "javascript:alert(1)", "ftp://x.org", "https://",
        "https:///path", "http://ok@evil.org/", "https://a:b@evil.org", "https://@evil.org", "https://x.org\\@evil.org", "https://x.org/ a",
        "https://x.org/\r\nHost: y", "https://x.org/#part", "https://x.org/#", "https://x.org:0/", "https://x.org:65536/", "https://x.org:80a/",
        "https://x..org/", "https://-x.org/", "https://[::1/", "https://[::g]/", "https://[fe80::1%25eth0]/", "https://xä.org/",
        "https://x.org/" + "a" * 2048,
    ],
)  # fmt: skip
def test_what_is_no_url_of_a_webhook(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_url(text)


def test_parts_of_a_url() -> None:
    url = parse_url("https://Hooks.Example.org./a/b?c=d%20e")
    assert (url.secure, url.host, url.port, url.target) == (True, "hooks.example.org", 443, "/a/b?c=d%20e")
    assert url.host_header == "hooks.example.org"
    assert parse_url("http://x.org:8080").host_header == "x.org:8080"
    assert parse_url("http://x.org:8080").target == "/"
    assert parse_url("https://[2606:2800::1]:8443/x").host_header == "[2606:2800::1]:8443"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "100.100.100.200", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.1.1.1",
        "240.0.0.1", "255.255.255.255", "192.88.99.1",
        "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::a9fe:a9fe",
        "2002:7f00:1::", "2001::1", "2001:db8::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "100::1", "4000::1",
        "not an address",
    ],
)  # fmt: skip
def test_addresses_that_nobody_may_name(address: str) -> None:
    for port in ("", ":8443"):
        with pytest.raises(ConfigError) as refused:
            check(parse_url(f"https://rebound.example{port}/"), [address], [])
        assert refused.value.code == "webhook_refused"
    # One of several is one too many: which of them is connected to is the resolver's choice.
    with pytest.raises(ConfigError):
        check(parse_url("https://rebound.example/"), [*PUBLIC, address], [])


def test_addresses_that_everybody_may_name() -> None:
    check(parse_url("https://x.org/"), PUBLIC, [])
    check(parse_url("https://x.org:8443/"), PUBLIC, [])
    check(parse_url("https://x.org/"), ["::ffff:93.184.215.14", "64:ff9b::5db8:d70e"], [])
    assert all(is_outside(ipaddress.ip_address(text)) for text in PUBLIC)
    with pytest.raises(ConfigError, match="no address"):
        check(parse_url("https://x.org/"), [], [])


@pytest.mark.parametrize("port", [22, 25, 81, 5432, 6379, 9200, 65535])
def test_ports_are_few(port: int) -> None:
    with pytest.raises(ConfigError, match=f"port {port} is none of"):
        check(parse_url(f"https://x.org:{port}/"), PUBLIC, [])


def test_plain_http_is_for_what_the_operator_named() -> None:
    with pytest.raises(ConfigError, match="use https"):
        check(parse_url("http://x.org/"), PUBLIC, [])
    check(parse_url("http://x.org/"), PUBLIC, [parse_allowed("x.org")])


def test_inside_targets_are_allowed_entry_by_entry() -> None:
    inside, own = parse_allowed("10.1.0.0/16"), parse_allowed("127.0.0.1:9000")
    check(parse_url("http://10.1.2.3/"), ["10.1.2.3"], [inside])
    check(parse_url("http://a.internal:9000/"), ["127.0.0.1"], [inside, own])
    check(parse_url("http://a.internal:9000/"), ["::ffff:127.0.0.1"], [own])
    check(parse_url("http://[::1]:7/"), ["::1"], [parse_allowed("[::1]:*")])
    check(parse_url("https://hooks.internal:9443/"), ["10.9.9.9", "fd00::1"], [parse_allowed("Hooks.Internal.:9443")])
    for url, address in (
        ("http://10.2.0.1/", "10.2.0.1"),
        ("http://127.0.0.1:9001/", "127.0.0.1"),
        ("http://10.1.2.3:9000/", "10.1.2.3"),
        ("https://other.internal/", "10.9.9.9"),
    ):
        with pytest.raises(ConfigError):
            check(parse_url(url), [address], [inside, own, parse_allowed("hooks.internal")])


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "fd00:ec2::254", "0.0.0.0", "224.0.0.1", "fe80::1", "::ffff:169.254.169.254"]
)
def test_where_clouds_keep_credentials_is_never_allowed(address: str) -> None:
    entries = [parse_allowed(text) for text in ("0.0.0.0/0", "::/0", "x.org", "169.254.169.254")]
    with pytest.raises(ConfigError):
        check(parse_url("https://x.org/"), [address], entries)


@pytest.mark.parametrize(
    "text", ["", "10.0.0.1/8", "10.0.0", "x.org:0", "x.org:70000", "x.org:", "*", "a b", "[::1]9", "http://x.org", "-x"]
)
def test_entries_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_allowed(text)
