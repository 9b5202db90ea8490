"""What anybody may fetch to install an agent, and that no request can write into it."""

from __future__ import annotations

import re
from importlib import resources
from typing import Any

import pytest
from flask import Flask
from werkzeug.exceptions import BadRequest
from werkzeug.test import EnvironBuilder, run_wsgi_app

from fileflux.clock import FakeClock
from fileflux.errors import UnavailableError
from fileflux.protocol.limits import DEFAULT_LIMITS
from fileflux.web import install, wheel
from fileflux.web.app import create_app
from fileflux.web.deps import Deps
from tests.web.conftest import SECRET, Api

pytestmark = pytest.mark.unit

SCRIPTS = ("/install.sh", "/install.ps1")

GOOD_HOSTS = (
    "hub", "hub.example.org", "hub.example.org:8040", "localhost:1", "127.0.0.1", "127.0.0.1:65535", "[::1]", "[::1]:8040",
    "[2001:db8::1:0:5]:443", "[::ffff:192.0.2.1]", "my_hub:8040", "a-b.c", "xn--bcher-kva.example",
)  # fmt: skip
BAD_HOSTS = (
    "", " ", "a b", "hub'", 'hub"', "hub;id", "hub`id`", "$(id)", "${IFS}", "hub|sh", "hub&", "hub>x", "hub\\x", "hub#", "hub?x=1", "hub/x",
    "hub/../x", "user@hub", "user:pw@hub", "hub:", "hub:0", "hub:65536", "hub:99999", "hub:123456", "hub:80:80", "hub:8o", "hub:-1", "hub:+1",
    "[::1", "::1", "[::1]]", "[]", "[:::]", "[::1%25eth0]", "[1.2.3.4]", "[zz::1]", "-hub", ".hub", "h\u00fcb", "hub\u2028", "a" * 254,
    "hub,evil", "hub\tx", "@SHA256@", "%68ub", "*", "(hub)", "hub!", "~", "http://hub", "@HUB@",
)  # fmt: skip


@pytest.fixture(scope="module")
def app() -> Flask:
    """The whole app; these routes ask nothing of the rest of the hub."""
    absent: Any = None
    return create_app(Deps(absent, absent, DEFAULT_LIMITS, SECRET, FakeClock(), absent, absent, absent, absent))


@pytest.mark.parametrize("host", GOOD_HOSTS)
def test_the_script_names_the_hub_as_the_request_did(anonymous: Api, host: str) -> None:
    for path, line in (("/install.sh", "HUB='http://{}'"), ("/install.ps1", "[string] $Hub = 'http://{}',")):
        answer = anonymous.call("GET", path, Host=host)
        assert answer.status_code == 200
        lines = [found.strip() for found in answer.text.splitlines()]
        assert lines.count(line.format(host)) == 1


@pytest.mark.parametrize("host", BAD_HOSTS)
def test_no_other_host_reaches_the_script(app: Flask, host: str) -> None:
    with pytest.raises(BadRequest):
        install.hub_url("http", host)
    for path in SCRIPTS:
        # Without the test client, which would have to understand the host itself.
        body, status, headers = run_wsgi_app(
            app, EnvironBuilder(path).get_environ() | {"HTTP_HOST": host}, buffered=True
        )
        assert status == "400 BAD REQUEST"
        assert headers["Content-Type"] == "application/problem+json"
        assert b"HUB=" not in b"".join(body)


@pytest.mark.parametrize("end", ["\n", "\r\nX: y", "\x00", "\x1b[2J"])
def test_a_host_ends_where_it_ends(end: str) -> None:
    with pytest.raises(BadRequest):
        install.hub_url("http", f"hub:80{end}")


def test_a_request_without_a_host_and_other_schemes() -> None:
    for scheme, host in (("http", None), ("ftp", "hub"), ("", "hub"), ("http'", "hub")):
        with pytest.raises(BadRequest):
            install.hub_url(scheme, host)
    assert install.hub_url("https", "hub:1") == "https://hub:1"


@pytest.mark.parametrize(
    "name",
    ["X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Prefix", "Forwarded",
     "X-Original-Host", "X-Host", "X-Rewrite-Url", "X-Script-Name", "Referer", "Origin", "X-Request-ID"],
)  # fmt: skip
def test_no_other_header_moves_it(anonymous: Api, name: str) -> None:
    for path in SCRIPTS:
        plain = anonymous.call("GET", path, Host="hub:8040")
        answer = anonymous.call("GET", path, Host="hub:8040", **{name: "evil.example';id;'"})
        assert (answer.status_code, answer.data) == (200, plain.data)


@pytest.mark.parametrize("query", ["?hub=evil", "?Host=evil';id", "?x=%0aid"])
def test_no_query_moves_it(anonymous: Api, query: str) -> None:
    assert anonymous.get(f"/install.sh{query}").data == anonymous.get("/install.sh").data


def test_every_place_of_the_templates_is_filled(anonymous: Api) -> None:
    own = wheel.own_wheel()
    for path in SCRIPTS:
        answer = anonymous.get(path)
        assert not re.search(r"@[A-Z0-9]+@", answer.text)
        for value in (own.name, own.version, own.sha256):
            assert f"'{value}'" in answer.text
        assert answer.headers["Cache-Control"] == "no-cache"
    assert anonymous.get("/install.sh").content_type == "text/x-shellscript; charset=utf-8"
    assert anonymous.get("/install.ps1").content_type == "text/plain; charset=utf-8"


def test_only_harmless_values_are_written() -> None:
    assert (
        install.render("a='@HUB@' b='@HUB@'", {"HUB": "http://[::1]:80"}) == "a='http://[::1]:80' b='http://[::1]:80'"
    )
    for bad in ("", "a'b", 'a"b', "a b", "a\nb", "$x", "`x`", "a\\b", "@X@", "ä"):
        with pytest.raises(BadRequest):
            install.render("'@X@'", {"X": bad})


def test_the_wheel_is_the_one_that_the_scripts_name(anonymous: Api) -> None:
    own = wheel.own_wheel()
    answer = anonymous.get(f"/install/{own.name}")
    assert (answer.status_code, answer.data) == (200, own.content)
    assert answer.content_type == "application/octet-stream"
    tag = answer.headers["ETag"]
    again = anonymous.call("GET", f"/install/{own.name}", **{"If-None-Match": tag})
    assert (again.status_code, again.data) == (304, b"")
    head = anonymous.call("HEAD", f"/install/{own.name}")
    assert (head.status_code, head.data, int(head.headers["Content-Length"])) == (200, b"", len(own.content))


@pytest.mark.parametrize(
    "path",
    ["/install/", "/install/..%2f..%2fetc/passwd", "/install/%2e%2e/pyproject.toml", "/install//etc/passwd", "/install/%00", "/install/..%5cx",
     "/install/fileflux-0.0.0-py3-none-any.whl", "/install/install.sh", "/install/configure.py", "/install/FILEFLUX.WHL", "/install.sh/x",
     "/install/..", "/install/."],
)  # fmt: skip
def test_nothing_else_is_served_beside_it(anonymous: Api, path: str) -> None:
    answer = anonymous.client.get(path)
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


def test_other_methods_are_refused(anonymous: Api) -> None:
    for path in (*SCRIPTS, f"/install/{wheel.own_wheel().name}"):
        for method in ("POST", "PUT", "DELETE"):
            assert anonymous.call(method, path).status_code == 405


def test_a_hub_that_can_make_no_wheel_serves_all_the_same(anonymous: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def impossible() -> wheel.Wheel:
        raise UnavailableError("this hub runs from files that are not installed")

    monkeypatch.setattr(install, "own_wheel", impossible)
    install.prepare()
    for path in (*SCRIPTS, "/install/x.whl"):
        answer = anonymous.get(path)
        assert (answer.status_code, answer.json["detail"]) == (503, "this hub runs from files that are not installed")
    assert anonymous.get("/healthz").status_code == 200


def test_the_templates_take_no_value_outside_quotes_but_in_comments() -> None:
    folder = resources.files("fileflux.web.installers")
    for name in ("install.sh", "install.ps1"):
        for line in folder.joinpath(name).read_text("utf-8").splitlines():
            if re.search(r"@[A-Z0-9]+@", line) and not line.startswith("#"):
                assert re.search(r"= ?'@[A-Z0-9]+@',?$", line), line
