"""Webhooks to servers that are slow, endless, hostile or somewhere else than they said."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fileflux.actors.kernel.tls import client_context
from fileflux.actors.outgoing.http import ANSWER_READ_MAX, Waits, WebhookClient
from fileflux.actors.outgoing.reach import Reach
from fileflux.clock import SystemClock
from fileflux.jobs.notice_text import Notice
from fileflux.jobs.webhook import new_secret
from fileflux.jobs.webhook_url import Allowed, parse_allowed
from fileflux.storage.deliveries import Batch, Delivery, Outcome
from tests.actors.outgoing.servers import Visit, WebhookServer
from tests.certificates import Authority

KEYS = (b"new" * 8, b"old" * 8)
AT = datetime(2026, 3, 1, tzinfo=UTC)
DELIVERY = Delivery(7, 1, "msg_1", Notice("run.failed", AT, {"job": {"name": "nächtlich"}}))
QUICK = Waits(connect=0.5, read=0.3, whole=0.6, answer=0.2)


def drip(visit: Visit) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1000:
        visit.send(bytes([byte]))
        time.sleep(0.05)


def drip_body(visit: Visit) -> None:
    visit.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        visit.send(b"z")
        time.sleep(0.05)


def flood(visit: Visit) -> None:
    visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n")
    while True:
        visit.send(b"z" * 65536)


def endless_head(visit: Visit) -> None:
    visit.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        visit.send(b"X: " + b"y" * 60_000 + b"\r\n")


def keep_going(visit: Visit) -> None:
    while True:
        visit.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


BEHAVIOURS = {
    "/hang": lambda visit: visit.sock.recv(1) and None,
    "/close": lambda _visit: None,
    "/drip": drip,
    "/drip-body": drip_body,
    "/flood": flood,
    "/endless-head": endless_head,
    "/continue": keep_going,
    "/500": lambda visit: visit.answer("500 Oops", body=b"bad\x00\x1b[2J\xff\r\n<b>"),
    "/410": lambda visit: visit.answer("410 Gone"),
    "/429": lambda visit: visit.answer("429 Slow", "Retry-After: 120"),
    "/503": lambda visit: visit.answer("503 Later", "Retry-After: tomorrow"),
    "/no-http": lambda visit: visit.send(b"220 mail.example.org ESMTP\r\n"),
    "/switch": lambda visit: visit.answer("101 Switching"),
    "/200": lambda visit: visit.answer("200 OK", body=b"thanks"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[WebhookServer]:
    other = WebhookServer({})
    inside = f"http://127.0.0.1:{other.port}/inside"
    behaviours = BEHAVIOURS | {
        "/redirect": lambda visit: visit.answer("302 Found", f"Location: {inside}"),
        "/redirect-file": lambda visit: visit.answer("307 Temporary", "Location: file:///etc/passwd"),
        "/asked": lambda visit: visit.answer("200 OK", body=str(other.connections).encode()),
    }
    made = WebhookServer(behaviours)
    yield made
    made.stop()
    other.stop()


def client(waits: Waits = QUICK, **of_reach: object) -> WebhookClient:
    return WebhookClient(Reach(SystemClock(), **of_reach), waits)  # type: ignore[arg-type]  # the tests' own look-ups and contexts


def send(url: str, *allowed: str, by: WebhookClient | None = None) -> Outcome:
    secrets = tuple(new_secret(key) for key in KEYS)
    batch = Batch(1, "t", "webhook", url, (), secrets, failing=False, single=1, deliveries=(DELIVERY,))
    entries: list[Allowed] = [parse_allowed(text) for text in allowed]
    return (by or client()).send(batch, DELIVERY, entries)


def here(server: WebhookServer, path: str) -> Outcome:
    return send(f"http://127.0.0.1:{server.port}{path}", f"127.0.0.1:{server.port}")


def test_what_arrives_is_signed_so_that_anybody_can_check_it(server: WebhookServer) -> None:
    looked_up: list[str] = []

    def look_up(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
        looked_up.append(host)
        # A name that is looked up again to be connected to would lead nowhere.
        return [(socket.AF_INET, ("127.0.0.1" if len(looked_up) == 1 else "192.0.2.1", port))]

    url = f"http://hooks.internal:{server.port}/200?token=a%20b"
    assert send(url, "hooks.internal:*", by=client(look_up=look_up)) == Outcome(ok=True, http_status=204)
    visit, headers = server.visits[-1], server.visits[-1].headers
    assert (visit.path, headers["host"], looked_up) == (
        "/200?token=a%20b",
        f"hooks.internal:{server.port}",
        ["hooks.internal"],
    )
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 5
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + visit.body
    expected = [base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in KEYS]
    assert headers["webhook-signature"] == " ".join(f"v1,{one}" for one in expected)
    assert (headers["webhook-id"], headers["content-type"]) == ("msg_1", "application/json")
    assert json.loads(visit.body) == {
        "type": "run.failed",
        "timestamp": "2026-03-01T00:00:00+00:00",
        "data": {"job": {"name": "nächtlich"}},
    }


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "[::1]", "0.0.0.0", "169.254.169.254", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "localhost", "localhost.", "[::ffff:127.0.0.1]", "[::]"],
)  # fmt: skip
def test_no_spelling_leads_inside(server: WebhookServer, host: str) -> None:
    before = server.connections
    for scheme in ("http", "https"):
        outcome = send(f"{scheme}://{host}:{server.port}/")
        assert not outcome.ok
        assert re.search("inside its own network|no webhook may have|cannot be resolved", outcome.error), outcome.error
    assert server.connections == before


def test_one_inside_address_of_a_name_is_one_too_many(server: WebhookServer) -> None:
    def look_up(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
        del host
        return [(socket.AF_INET, ("93.184.215.14", port)), (socket.AF_INET, ("127.0.0.1", port))]

    before = server.connections
    outcome = send("https://rebound.example/", by=client(look_up=look_up))
    assert "127.0.0.1 is inside its own network" in outcome.error
    assert server.connections == before


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/hang", None, "no answer in time"),
        ("/drip", None, "no answer in time"),
        ("/close", None, "what it answers is no HTTP"),
        ("/no-http", None, "what it answers is no HTTP"),
        ("/endless-head", None, "its answer is too long"),
        ("/continue", None, "its answer is too long"),
        ("/500", 500, "it answered 500"),
        ("/410", 410, "it answered 410"),
        ("/429", 429, "it answered 429"),
        ("/503", 503, "it answered 503"),
        ("/switch", 101, "it answered 101"),
        ("/redirect", 302, "it redirects (302), which is not followed"),
        ("/redirect-file", 307, "it redirects (307), which is not followed"),
    ],
)
def test_what_is_no_success(server: WebhookServer, path: str, status: int | None, error: str) -> None:
    began = time.monotonic()
    outcome = here(server, path)
    assert not outcome.ok
    assert outcome.http_status == status
    assert outcome.error.startswith(error)
    assert outcome.gone is (status == 410)
    assert outcome.retry_after == (120.0 if status == 429 else 0.0)
    assert time.monotonic() - began < 3, "the whole takes 0.6 s"


def test_an_answer_is_shown_harmless(server: WebhookServer) -> None:
    assert here(server, "/500").answer == "bad\\x00\\x1b[2J\\xff\\r\n<b>"
    assert here(server, "/200").answer == "thanks"


def test_nothing_was_asked_where_a_redirect_led(server: WebhookServer) -> None:
    here(server, "/redirect")
    assert here(server, "/asked").answer == "0"


@pytest.mark.parametrize("path", ["/flood", "/drip-body"])
def test_a_success_whose_body_does_not_end_is_one(server: WebhookServer, path: str) -> None:
    began = time.monotonic()
    outcome = here(server, path)
    assert (outcome.ok, outcome.http_status) == (True, 200)
    assert set(outcome.answer) == {"z"}
    assert time.monotonic() - began < 3
    visit = server.visits[-1]
    assert visit.over.wait(5), "the connection is closed, so the server cannot go on"
    assert visit.sent < ANSWER_READ_MAX + 16 * 2**20, "what the system buffers, and no more"


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    assert send(f"http://127.0.0.1:{port}/", "127.0.0.1:*").error.startswith("cannot connect: ")

    def no_name(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
        raise socket.gaierror(host, port)

    def slow(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
        del host, port
        time.sleep(1.0)
        return []

    assert send("https://gone.example/", by=client(look_up=no_name)).error == "its name cannot be resolved"
    assert (
        send("https://slow.example/", by=client(Waits(0.05, 0.05, 0.1, 0.1), look_up=slow)).error == "no answer in time"
    )


def test_environment_proxies_are_not_for_webhooks(server: WebhookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert here(server, "/200").ok


def test_tls_is_checked(server: WebhookServer, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    secure = WebhookServer({}, authority.server_context(authority.issue(names=("hooks.internal",))))
    trusting = client(
        Waits(0.5, 0.5, 0.8, 0.2),
        look_up=lambda _host, port: [(socket.AF_INET, ("127.0.0.1", port))],
        context=lambda: client_context(authority.file),
    )
    try:

        def ask(host: str, by: WebhookClient, port: int = secure.port) -> Outcome:
            return send(f"https://{host}:{port}/x", f"127.0.0.1:{port}", by=by)

        assert ask("hooks.internal", trusting).ok
        assert secure.visits[-1].headers["host"] == f"hooks.internal:{secure.port}"
        assert ask("other.internal", trusting).error.startswith("TLS: ")
        assert ask("127.0.0.1", client()).error.startswith("TLS: ")
        assert ask("hooks.internal", trusting, server.port).error.startswith(("TLS: ", "no answer in time"))
        assert len(secure.visits) == 1
    finally:
        secure.stop()
