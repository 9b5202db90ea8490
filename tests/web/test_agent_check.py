"""What an agent's token says of itself when ``flux-agent doctor`` asks, and the WebSocket that gives back what it gets."""

from __future__ import annotations

import socket
import time
from datetime import timedelta

import gevent
import pytest
from flask import Flask

from fileflux.actors.kernel.pump import Pump
from fileflux.clock import FakeClock, SystemClock
from fileflux.protocol.limits import KIB, Limits
from fileflux.protocol.websocket import WebSocketLink
from fileflux.storage import agents, tokens
from fileflux.storage.pool import Database
from fileflux.web import agent_check, agent_ws
from fileflux.web.access import AGENT_ROUTES
from tests.protocol.wire import frame


@pytest.fixture
def client(app: Flask, database: Database, limits: Limits, clock: FakeClock):
    app.extensions[agent_ws.EXTENSION] = agent_ws.Accepting(database, None, limits, clock)
    app.register_blueprint(agent_check.blueprint)
    return app.test_client()


@pytest.fixture
def agent(database: Database):
    with database.transaction() as tx:
        return agents.create(tx, "web-1").id


def token_of(database: Database, agent: int, days: float | None = None) -> tuple[tokens.TokenRow, str]:
    with database.transaction() as tx:
        now = tx.one("SELECT now()")[0]
        return tokens.create(tx, agent, "t", None if days is None else now + timedelta(days=days))


def ask(client, value: str, path: str = "/api/agent/check"):
    return client.get(path, headers={"Authorization": f"Bearer {value}"})


def test_a_valid_token_says_whose_it_is_and_when_it_ends(client, database, agent):
    _, value = token_of(database, agent)
    assert ask(client, value).json == {"product": "fileflux", "agent": "web-1", "expires_at": None}
    row, value = token_of(database, agent, 3)
    assert ask(client, value).json["expires_at"] == row.expires_at.isoformat()


def test_asking_is_no_connection(client, database, agent):
    _, value = token_of(database, agent)
    assert ask(client, value).status_code == 200
    with database.transaction() as tx:
        row = agents.get(tx, agent)
    assert (row.epoch, row.status, row.last_seen) == (0, "new", None)


@pytest.mark.parametrize("path", ["/api/agent/check", "/ws/agent/check"])
def test_other_tokens_are_refused_and_audited(client, database, agent, audited, path):
    expired, gone = token_of(database, agent, -1)[1], token_of(database, agent)
    with database.transaction() as tx:
        tokens.revoke(tx, gone[0].id)
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version": "13",
    }
    for value in ("", "ffx_" + "A" * 43, expired, gone[1]):
        answer = client.get(
            path,
            headers={"Authorization": f"Bearer {value}", **(upgrade if path.startswith("/ws") else {})},
            base_url="ws://localhost" if path.startswith("/ws") else None,
        )
        assert (answer.status_code, answer.json["code"]) == (401, "unauthenticated")
    assert [entry[1:] for entry in audited()].count(("agent.check", path, "refused")) == 4


def test_strangers_cannot_fill_the_audit_log(client, limits, audited):
    for _ in range(50):
        ask(client, "ffx_" + "A" * 43)
    assert len(audited()) <= limits.login_attempts


def test_both_routes_are_the_agents_own(client, app):
    routes = {("GET", rule.rule) for rule in app.url_map.iter_rules() if rule.rule.endswith("/check")}
    assert routes == {("GET", "/api/agent/check"), ("GET", "/ws/agent/check")}
    assert routes <= AGENT_ROUTES


@pytest.fixture
def echo():
    """The other end of a connection that listens to ``_Echo``, for three seconds."""
    near, far = socket.socketpair()
    far.setblocking(False)
    near.setblocking(False)
    pump, limits = Pump(), Limits(handshake_timeout=3.0)
    pump.start()
    link = WebSocketLink(far, "server", pump, limits, SystemClock())
    link.start(agent_check._Echo(link, limits, SystemClock()))
    yield near
    near.close()
    pump.stop()


def read_to_end(sock):
    data, deadline = b"", time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            more = sock.recv(65536)
        except BlockingIOError:
            gevent.sleep(0.005)
            continue
        if not more:
            return data
        data += more
    raise AssertionError(data)


def send(sock, data):
    while data:
        try:
            data = data[sock.send(data) :]
        except BlockingIOError:
            gevent.sleep(0.005)


def test_one_message_comes_back_and_then_it_is_over(echo):
    data = bytes(range(256)) * 32
    send(echo, frame(2, data))
    begun = time.monotonic()
    # The close is not answered; the connection is cut all the same.
    assert read_to_end(echo) == frame(2, data, mask=False) + frame(8, b"\x03\xe8the check is over", mask=False)
    assert time.monotonic() - begun < 9


@pytest.mark.parametrize(
    "sent", [frame(2, b"x" * (64 * KIB - 1)) + frame(2, b"again"), frame(1, b"text"), frame(2, b"x" * (64 * KIB + 1))]
)
def test_nothing_else_does(echo, sent):
    send(echo, sent)
    assert b"\x03\xf0" in read_to_end(echo)
