"""The live feed over HTTP: what it shows, to whom, for how long, and to how many."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from fileflux.actors.events import Feed
from fileflux.actors.messages import LiveProgress, LiveTransfer
from fileflux.bus import events as e
from fileflux.clock import FakeClock
from fileflux.protocol.limits import Limits
from fileflux.storage import alerts, transfers
from fileflux.web import context
from fileflux.web.event_stream import SAID_MAX, Clients, FeedSocket
from fileflux.web.problems import ThrottledError
from tests.web.conftest import Api, ScriptedHub
from tests.web.test_transfers import new_transfer

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
}


@pytest.fixture
def limits() -> Limits:
    return Limits(login_attempts=5, login_window=60.0, feeds_per_user=2, feeds_max=3, silence_timeout=0.2)


@pytest.fixture
def feed(app: Flask) -> Feed:
    return context.services_of(app).feed


@pytest.fixture
def feeds(app: Flask) -> Clients:
    return context.services_of(app).feeds


class Stream:
    """An open feed."""

    def __init__(self, answer: TestResponse) -> None:
        assert answer.status_code == 200, answer.text
        self.answer = answer
        self._chunks: Iterator[bytes] = iter(answer.response)
        self.first = next(self._chunks).decode()

    def chunk(self) -> str:
        return next(self._chunks).decode()

    def events(self) -> list[tuple[str, str, Any]]:
        """The next batch as (type, id, data)."""
        found = []
        for block in self.chunk().removesuffix("\n\n").split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.split("\n"))
            found.append((fields["event"], fields["id"], json.loads(fields["data"])))
        return found

    @property
    def ended(self) -> bool:
        return next(self._chunks, None) is None


def follow(api: Api, query: str = "", **headers: str) -> Stream:
    return Stream(api.call("GET", f"/api/events{query}", **headers))


@pytest.fixture
def run(admin: Api, job_body: dict[str, Any]) -> dict[str, Any]:
    job = admin.post("/api/jobs", job_body).json
    return admin.post(f"/api/jobs/{job['id']}/run").json


def publish(app: Flask, *happened: e.Event) -> None:
    services = context.services_of(app)
    for event in happened:
        services.deps.bus.publish(event)
    services.feed.tick()


@pytest.mark.parametrize("role", ["admin", "operator", "viewer", "auditor"])
def test_every_event_shows_what_its_route_shows(
    app: Flask, hub: ScriptedHub, as_role: Any, run: dict[str, Any], two_agents: tuple[int, int], role: str
) -> None:
    with hub.database.transaction() as tx:
        (made,) = transfers.insert_many(tx, run["id"], [new_transfer(b"a\xff\n.bin")])
        alert = alerts.raise_alert(tx, "refresh_reused", "user:1", "somebody has …")
    hub.live_runs[run["id"]] = LiveProgress(
        "transferring", "", 1, 0, 0, 0, 20, 10, 5, 0, {made.id: LiveTransfer("transferring", "", 10, 5, 0, 1)}
    )
    api = as_role(role)
    stream = follow(api)
    assert stream.answer.mimetype == "text/event-stream"
    assert stream.answer.headers["Cache-Control"] == "no-store"
    assert stream.answer.headers["X-Accel-Buffering"] == "no"
    publish(
        app,
        e.RunChanged(run["id"], "transferring"),
        e.TransferChanged(made.id, run["id"], "transferring"),
        e.AgentOnline(two_agents[0], "s", "websocket"),
        e.AlertRaised(alert.id, alert.kind, alert.message),
        e.JobChanged(run["job_id"], 4, deleted=False),
    )
    events = stream.events()
    assert [kind for kind, _, _ in events] == ["agent", "job", "alert", "transfer", "run"]
    shown = {kind: data for kind, _, data in events}
    assert shown["job"] == {"id": run["job_id"], "version": 4, "deleted": False}
    assert shown["alert"]["message"] == "somebody has …"
    for kind in ("agent", "transfer", "run"):
        assert shown[kind] == api.get(f"/api/{kind}s/{shown[kind]['id']}").json
    assert shown["run"]["bytes_done"] == 10
    assert shown["transfer"]["completed_chunks"] == 1


def test_a_feed_of_one_run_goes_on_where_it_was(app: Flask, admin: Api, run: dict[str, Any], two_agents: Any) -> None:
    query = f"?run_id={run['id']}"
    stream = follow(admin, query)
    publish(app, e.AgentChanged(two_agents[0]), e.RunStarted(run["id"]))
    ((kind, last_id, _),) = stream.events()
    assert kind == "run"
    stream.answer.close()
    publish(app, e.RunChanged(run["id"], "planning"))
    for again in (
        follow(admin, query, **{"Last-Event-ID": last_id}),
        follow(admin, f"{query}&last_event_id={last_id}"),
    ):
        assert f"id: {last_id}\n" in again.first
        assert [kind for kind, _, _ in again.events()] == ["run"]
        again.answer.close()
    lost = follow(admin, query, **{"Last-Event-ID": "0f0f0f0f-1"})
    ((kind, _, data),) = lost.events()
    assert (kind, list(data)) == ("reset", ["reason"])


@pytest.mark.parametrize("query", ["?run_id=0", "?run_id=x", "?token=secret", f"?last_event_id={'1' * 65}"])
@pytest.mark.parametrize("path", ["/api/events", "/api/events/ws"])
def test_other_queries_are_refused(admin: Api, feeds: Clients, path: str, query: str) -> None:
    answer = admin.call("GET", path + query, **(UPGRADE if path.endswith("ws") else {}))
    assert answer.status_code == 422
    assert list(answer.json["errors"]) == [query[1:].partition("=")[0]]
    assert len(feeds) == 0


def test_heartbeats_come_while_the_token_lives(app: Flask, as_role: Any, clock: FakeClock, feeds: Clients) -> None:
    viewer = as_role("viewer")
    stream, other = follow(viewer), follow(viewer)
    for _ in range(2):
        clock.advance(15)
        assert stream.chunk() == ":\n\n"
    clock.advance(15 * 60)
    assert stream.ended
    stream.answer.close()
    viewer = as_role("viewer")
    fresh = follow(viewer)
    assert viewer.post("/api/auth/logout").status_code == 204
    clock.advance(15)
    assert fresh.ended
    assert other.ended
    fresh.answer.close()
    other.answer.close()
    assert len(feeds) == 0


def test_what_a_key_may_not_read_it_does_not_hear_of(
    app: Flask, admin: Api, run: dict[str, Any], two_agents: tuple[int, int], clock: FakeClock
) -> None:
    made = admin.post("/api/keys", {"name": "watch", "scopes": ["events:read", "runs:read"]}).json
    key = Api(app.test_client(), made["value"])
    stream = follow(key)
    publish(app, e.AgentChanged(two_agents[0]), e.JobChanged(run["job_id"], 1, deleted=False), e.RunStarted(run["id"]))
    assert [kind for kind, _, _ in stream.events()] == ["run"]
    assert admin.delete(f"/api/keys/{made['key']['id']}").status_code == 204
    clock.advance(15)
    assert stream.ended
    deaf = admin.post("/api/keys", {"name": "deaf", "scopes": ["runs:read"]}).json
    assert Api(app.test_client(), deaf["value"]).get("/api/events").status_code == 403


def test_a_user_has_so_many_feeds_and_the_hub_too(app: Flask, as_role: Any, feeds: Clients) -> None:
    viewer, operator = as_role("viewer"), as_role("operator")
    first = follow(viewer)
    follow(viewer)
    refused = viewer.get("/api/events")
    assert refused.status_code == 429
    assert refused.json["code"] == "too_many_requests"
    assert int(refused.headers["Retry-After"]) > 0
    follow(operator)
    assert operator.get("/api/events").status_code == 429, "three in all"
    first.answer.close()
    assert len(feeds) == 2
    follow(operator)


def test_a_question_about_the_feed_leaves_nothing_open(admin: Api, feeds: Clients, feed: Feed) -> None:
    answer = admin.call("HEAD", "/api/events")
    assert (answer.status_code, answer.mimetype) == (200, "text/event-stream")
    answer.close()
    assert (len(feeds), len(feed)) == (0, 0)


def test_a_hub_that_stops_ends_feeds_and_opens_none(app: Flask, admin: Api, feed: Feed, feeds: Clients) -> None:
    stream = follow(admin)
    feed.end_listeners()
    assert stream.ended
    stream.answer.close()
    assert admin.get("/api/events").status_code == 503
    assert len(feeds) == 0


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Connection": "", "Upgrade": ""}, 426, "upgrade_required"),
        ({"Sec-WebSocket-Version": "8"}, 426, "upgrade_required"),
        ({"Sec-WebSocket-Version": ""}, 426, "upgrade_required"),
        ({"Sec-WebSocket-Key": ""}, 400, "bad_request"),
        ({"Sec-WebSocket-Key": "AAAA"}, 400, "bad_request"),
        ({"Sec-WebSocket-Key": "ä" * 24}, 400, "bad_request"),
        ({"Origin": "https://evil.example"}, 403, "bad_origin"),
        ({"Origin": "null"}, 403, "bad_origin"),
        ({"Origin": "http://localhost.evil.example"}, 403, "bad_origin"),
        ({"Origin": "https://localhost"}, 403, "bad_origin"),
    ],
)
def test_what_is_no_websocket_of_ours_is_told_so(
    admin: Api, anonymous: Api, feeds: Clients, headers: dict[str, str], status: int, code: str
) -> None:
    answer = admin.call("GET", "/api/events/ws", **{**UPGRADE, **headers})
    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert anonymous.call("GET", "/api/events/ws", **{**UPGRADE, **headers}).status_code == 401
    assert len(feeds) == 0


@pytest.mark.parametrize("offered", ["bearer.", "bearer.nonsense", "bearer.{token}, bearer.{token}", "{token}"])
def test_a_token_among_the_subprotocols_must_be_one(admin: Api, anonymous: Api, offered: str) -> None:
    protocols = "fileflux.events, " + offered.format(token=admin.token)
    answer = anonymous.call("GET", "/api/events/ws", **{**UPGRADE, "Sec-WebSocket-Protocol": protocols})
    assert answer.status_code == 401
    good = {
        **UPGRADE,
        "Origin": "https://evil.example",
        "Sec-WebSocket-Protocol": f"fileflux.events, bearer.{admin.token}",
    }
    assert anonymous.call("GET", "/api/events/ws", **good).json["code"] == "bad_origin", "the token was right"


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("last_words", [b"", b"a goodbye that nobody reads"])
def test_a_tab_that_was_closed_gives_its_place_to_another(
    pair: Any, limits: Limits, feed: Feed, last_words: bytes
) -> None:
    clients, listener = Clients(limits), feed.listen()
    clients.enter(1, pair[0]).takes(listener)
    clients.enter(1, None)
    pair[1].sendall(last_words)
    with pytest.raises(ThrottledError):
        clients.enter(1, None)
    pair[1].close()
    clients.enter(1, None)
    assert listener.ended
    with pytest.raises(ThrottledError):
        clients.enter(1, None)


def test_a_socket_ends_with_a_peer_that_takes_nothing(pair: Any, limits: Limits) -> None:
    ends: list[bool] = []
    ours = FeedSocket(pair[0], b"", limits, lambda: ends.append(True))
    assert ours.send(b"x" * 10) == 10
    assert pair[1].recv(100) == b"x" * 10
    assert not ends
    ours.send(bytes(8 * 2**20))
    assert ends
    with pytest.raises(OSError):
        pair[0].sendall(b"x")


def test_a_socket_ends_with_a_peer_that_says_too_much(pair: Any, limits: Limits) -> None:
    ends: list[bool] = []
    ours = FeedSocket(pair[0], b"early", limits, lambda: ends.append(True))
    pair[1].sendall(bytes(SAID_MAX + 1))
    assert ours.recv(4096) == b"early"
    # A heartbeat later.
    ours.heard()
    assert sum(len(ours.recv(1024)) for _ in range(SAID_MAX // 1024)) == SAID_MAX
    assert not ends
    with pytest.raises(ConnectionAbortedError):
        ours.recv(1024)
    assert ends
