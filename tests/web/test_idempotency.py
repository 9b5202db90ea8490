"""A request that is sent again is carried out once."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from fileflux.errors import UnavailableError
from fileflux.storage import idempotency as rows
from fileflux.web.idempotency import applies
from tests.web.conftest import Api, ScriptedHub

KEY = "0d6f-1"


def send(api: Api, path: str, body: Any = None, key: str = KEY) -> TestResponse:
    return api.call("POST", path, body, **{"Idempotency-Key": key})


def age(hub: ScriptedHub, interval: str) -> None:
    with hub.database.transaction() as tx:
        tx.execute("UPDATE idempotency_keys SET created_at = created_at - %s::interval", (interval,))


def test_the_same_request_again_has_the_same_answer(
    admin: Api, as_role, hub: ScriptedHub, job_body: dict[str, Any]
) -> None:
    first = send(admin, "/api/jobs", job_body)
    again = send(admin, "/api/jobs", job_body)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.data == first.data
    for name in ("Location", "ETag", "Content-Type"):
        assert again.headers[name] == first.headers[name]
    assert ("Idempotency-Replayed" in first.headers, again.headers["Idempotency-Replayed"]) == (False, "true")
    assert again.headers["X-Request-ID"] != first.headers["X-Request-ID"]
    assert len(admin.get("/api/jobs").json["items"]) == 1
    run = f"/api/jobs/{first.json['id']}/run"
    for path, body in (("/api/jobs", job_body | {"name": "other"}), (run, None), ("/api/jobs?x=1", job_body)):
        mismatch = send(admin, path, body)
        assert (mismatch.status_code, mismatch.json["code"]) == (409, "idempotency_mismatch")
    # A key is one user's own.
    assert send(as_role("operator"), "/api/jobs", job_body | {"name": "theirs"}).status_code == 201
    runs = {
        send(admin, run, key="a").json["id"],
        send(admin, run, key="a").json["id"],
        send(admin, run, key="b").json["id"],
    }
    assert len(runs) == 2
    age(hub, "25 hours")
    assert send(admin, "/api/jobs", job_body).json["code"] == "conflict"


def test_a_secret_is_shown_once_and_kept_nowhere(admin: Api, hub: ScriptedHub, two_agents: tuple[int, int]) -> None:
    body = {"agent_id": two_agents[0], "name": "t"}
    first, again = send(admin, "/api/tokens", body), send(admin, "/api/tokens", body)
    assert first.json["value"].startswith("ffx_")
    assert again.json == first.json | {"value": None}
    with hub.database.transaction() as tx:
        kept = str(tx.all("SELECT * FROM idempotency_keys"))
    assert first.json["value"][4:] not in kept
    assert len(admin.get("/api/tokens").json["items"]) == 1


def test_what_was_refused_may_be_tried_again(admin: Api, hub: ScriptedHub, job_body: dict[str, Any]) -> None:
    assert send(admin, "/api/jobs", job_body | {"source_agent_id": 424242}).status_code == 422
    assert send(admin, "/api/jobs", job_body | {"parallel": 0}).status_code == 422
    assert send(admin, "/api/jobs/424242/run").status_code == 404
    assert send(admin, f"/api/agents/{job_body['source_agent_id']}/test").status_code == 503
    assert send(admin, "/api/jobs", job_body).status_code == 201
    with hub.database.transaction() as tx:
        assert tx.one("SELECT count(*) FROM idempotency_keys") == (1,)


@pytest.mark.parametrize("how", ["crash", "database away", "bug"])
def test_what_was_cut_off_is_not_done_again(
    admin: Api, hub: ScriptedHub, job_body: dict[str, Any], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    def fail(*_: Any) -> None:
        if how == "crash":
            raise KeyboardInterrupt
        if how == "database away":
            raise UnavailableError("the connection to the database was lost") from OSError()
        raise ValueError("a bug")

    job = admin.post("/api/jobs", job_body).json
    with monkeypatch.context() as patched:
        patched.setattr(ScriptedHub, "start", fail)
        if how == "crash":
            with pytest.raises(KeyboardInterrupt):
                send(admin, f"/api/jobs/{job['id']}/run")
        else:
            assert send(admin, f"/api/jobs/{job['id']}/run").status_code >= 500
    waiting = send(admin, f"/api/jobs/{job['id']}/run")
    assert (waiting.status_code, waiting.json["code"]) == (409, "idempotency_in_progress")
    assert int(waiting.headers["Retry-After"]) >= 1
    age(hub, "61 seconds")
    unknown = send(admin, f"/api/jobs/{job['id']}/run")
    assert (unknown.status_code, unknown.json["code"]) == (409, "idempotency_unknown")
    assert "look whether it was done" in unknown.json["detail"]
    assert admin.get("/api/runs").json["items"] == []


def test_an_answer_that_could_not_be_kept_is_given_all_the_same(
    admin: Api, job_body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise UnavailableError("the database is away")

    with monkeypatch.context() as patched:
        patched.setattr(rows, "answered", away)
        patched.setattr(rows, "release", away)
        assert send(admin, "/api/jobs/424242/run", key="refused").status_code == 404
        assert send(admin, "/api/jobs", job_body).status_code == 201
    assert send(admin, "/api/jobs", job_body).json["code"] == "idempotency_in_progress"


def test_of_two_at_once_one_is_carried_out(
    app: Flask, admin: Api, hub: ScriptedHub, job_body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = admin.post("/api/jobs", job_body).json
    inside, go_on = threading.Event(), threading.Event()
    start = ScriptedHub.start

    def slow(self: ScriptedHub, *args: Any) -> Any:
        inside.set()
        assert go_on.wait(20)
        return start(self, *args)

    monkeypatch.setattr(ScriptedHub, "start", slow)
    answers: list[TestResponse] = []
    first = threading.Thread(
        target=lambda: answers.append(send(Api(app.test_client(), admin.token), f"/api/jobs/{job['id']}/run"))
    )
    first.start()
    assert inside.wait(20)
    second = send(admin, f"/api/jobs/{job['id']}/run")
    go_on.set()
    first.join(20)
    assert (second.status_code, second.json["code"]) == (409, "idempotency_in_progress")
    assert answers[0].status_code == 202
    assert send(admin, f"/api/jobs/{job['id']}/run").data == answers[0].data
    assert len(admin.get("/api/runs").json["items"]) == 1


def test_keys_are_bounded_and_old_ones_go(admin: Api, hub: ScriptedHub) -> None:
    for bad in ("", "a" * 256, "a b", "ä", "a\tb", "\x7f"):
        answer = send(admin, "/api/agents", {"name": "x"}, bad)
        assert (answer.status_code, list(answer.json["errors"])) == (422, ["Idempotency-Key"]), bad
    assert send(admin, "/api/agents", {"name": "x"}, "!" + "~" * 254).status_code == 201
    with hub.database.transaction() as tx:
        tx.execute(
            "INSERT INTO idempotency_keys (actor, key, route, body_sha256, created_at)"
            " SELECT 'user:1', 'old ' || n, 'POST /x', sha256(''), now() - interval '25 hours' FROM generate_series(1, 50) n"
        )
    left = []
    for number in range(3):
        send(admin, "/api/agents", {"name": f"y{number}"}, f"new {number}".replace(" ", "-"))
        with hub.database.transaction() as tx:
            left += tx.one("SELECT count(*) FROM idempotency_keys WHERE key LIKE 'old%'") or ()
    assert left == [30, 10, 0]


def test_who_may_not_do_it_is_told_so_before(as_role, hub: ScriptedHub, admin: Api) -> None:
    assert send(as_role("viewer"), "/api/agents", {"name": "x"}).status_code == 403
    assert send(Api(admin.client, ""), "/api/agents", {"name": "x"}).status_code == 401
    # Other methods are safe to repeat as they are: there the header means nothing.
    assert admin.call("DELETE", "/api/agents/424242", **{"Idempotency-Key": KEY}).status_code == 404
    with hub.database.transaction() as tx:
        assert tx.one("SELECT count(*) FROM idempotency_keys") == (0,)


def test_every_post_for_users_takes_a_key(app: Flask, admin: Api) -> None:
    routes = {rule.rule for rule in app.url_map.iter_rules() if "POST" in rule.methods and applies("POST", rule.rule)}
    assert {"/api/jobs", "/api/tokens", "/api/agents/<id:agent_id>/doctor"} <= routes
    for route in routes:
        answer = send(admin, re.sub(r"<id:[a-z_]+>", "424242", route), {}, "two words")
        assert (answer.status_code, list(answer.json["errors"])) == (422, ["Idempotency-Key"]), route
    for method, route in (
        ("POST", "/api/auth/login"),
        ("POST", "/api/agent/connect"),
        ("PATCH", "/api/jobs/<id:job_id>"),
    ):
        assert not applies(method, route)
