"""Targets, their secrets, their log and the mail settings, as administrators and others see them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask

from fileflux.bus.bus import Bus
from fileflux.clock import FakeClock
from fileflux.protocol.limits import Limits
from fileflux.storage import deliveries, outbox
from fileflux.storage.deliveries import LogRow, Outcome, Settled
from fileflux.storage.pool import Database
from fileflux.web.app import create_app
from fileflux.web.deps import Deps
from tests.web.conftest import SECRET, Api, InlineWork, ScriptedHub

PATH = "/api/notifications"
SECRET_URL = "https://hooks.example.org/services/T0/secret?key=abc"


@dataclass
class Sending:
    """Notifications; tests succeed."""

    database: Database
    woken: int = 0
    asked: list[tuple[int, str]] = field(default_factory=list)

    def test(self, target_id: int, asked_by: str) -> LogRow:
        self.asked.append((target_id, asked_by))
        with self.database.transaction() as tx:
            batch = deliveries.make_test(tx, target_id, {})
            (one,) = batch.deliveries
            deliveries.settle(tx, batch, [Settled(one, Outcome(ok=True, http_status=200, answer="hi"), None)])
            return deliveries.get(tx, target_id, one.id)

    def wake(self) -> None:
        self.woken += 1


@pytest.fixture
def sending(database: Database) -> Sending:
    return Sending(database)


@pytest.fixture
def app(database: Database, hub: ScriptedHub, clock: FakeClock, limits: Limits, sending: Sending) -> Flask:
    return create_app(
        Deps(database, Bus(), limits, SECRET, clock, hub, hub, hub, hub, work=InlineWork(), notifications=sending)
    )


def webhook(**changes: Any) -> dict[str, Any]:
    return {"name": "chat", "kind": "webhook", "url": SECRET_URL, "events": ["run.failed", "job.*"]} | changes


def mail(**changes: Any) -> dict[str, Any]:
    return {"name": "ops", "kind": "email", "addresses": ["ops@example.org"], "events": ["*"]} | changes


def test_a_secret_is_shown_once(admin: Api, as_role, audited) -> None:
    made = admin.post(PATH, webhook())
    assert made.status_code == 201, made.text
    value, shown = made.json["value"], made.json["notification"]
    assert value.startswith("whsec_")
    assert (shown["url"], shown["events"], shown["enabled"], shown["created_by"]) == (
        SECRET_URL, ["run.failed", "job.*"], True, "admin@example.org",
    )  # fmt: skip
    one = f"{PATH}/{shown['id']}"
    rotated = admin.post(f"{one}/rotate", {"overlap_hours": 1})
    assert rotated.status_code == 201
    assert rotated.json["value"] not in (None, value)
    assert rotated.json["notification"]["old_secret_ends"] is not None
    assert admin.post(PATH, mail()).json["value"] is None
    for role in ("admin", "operator", "viewer", "auditor"):
        api = as_role(role)
        texts = api.get(one).text + api.get(PATH).text + api.get(f"{one}/deliveries").text
        assert "whsec_" not in texts
        assert ("secret?key" in texts) is (role == "admin")
        assert "https://hooks.example.org/" in texts
    with_key = admin.call("POST", PATH, webhook(name="again"), **{"Idempotency-Key": "k"})
    assert with_key.json["value"].startswith("whsec_")
    assert admin.call("POST", PATH, webhook(name="again"), **{"Idempotency-Key": "k"}).json["value"] is None
    assert ("admin@example.org", "notification.rotated", f"notification:{shown['id']}", "ok") in audited()


def test_only_administrators_change_them(admin: Api, as_role) -> None:
    one = f"{PATH}/{admin.post(PATH, webhook()).json['notification']['id']}"
    for role in ("operator", "viewer", "auditor"):
        api = as_role(role)
        for method, path, body in (
            ("POST", PATH, webhook(name="x")), ("PATCH", one, {"enabled": False}), ("DELETE", one, None), ("POST", f"{one}/rotate", {}),
            ("POST", f"{one}/test", None), ("POST", f"{one}/deliveries/1/redeliver", None), ("GET", "/api/settings/mail", None),
            ("PATCH", "/api/settings/mail", {"host": "x"}),
        ):  # fmt: skip
            assert api.call(method, path, body).status_code == 403, (role, method, path)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (webhook(url=None), "url"),
        (webhook(url="javascript:alert(1)"), "url"),
        (webhook(url="http://ok@evil.example/"), "url"),
        (webhook(url="gopher://x.org/"), "url"),
        (webhook(url="https://127.0.0.1/"), "url"),
        (webhook(url="https://[::ffff:127.0.0.1]/"), "url"),
        (webhook(url="https://169.254.169.254/latest"), "url"),
        (webhook(url="http://93.184.215.14/"), "url"),
        (webhook(url="https://93.184.215.14:5432/"), "url"),
        (webhook(addresses=["a@b.org"]), "addresses"),
        (webhook(events=[]), "events"),
        (webhook(events=["run.exploded"]), "events"),
        (webhook(job_ids=[424242]), "job_ids"),
        (webhook(secret="mine"), "secret"),
        (webhook(name="-x"), "name"),
        (mail(addresses=[]), "addresses"),
        (mail(addresses=["a@b.org\r\nBcc: c@d.org"]), "addresses"),
        (mail(addresses=["Ann <a@b.org>"]), "addresses"),
        (mail(addresses=["a@b.org", "a@b.org"]), "addresses"),
        (mail(url="https://x.org/"), "url"),
        (mail(kind="pager"), "kind"),
    ],
)
def test_what_is_refused(admin: Api, body: dict[str, Any], fault: str) -> None:
    answer = admin.post(PATH, body)
    assert answer.status_code == 422, answer.text
    assert any(name.startswith(fault) for name in answer.json["errors"]), answer.json


def test_a_change_keeps_what_it_does_not_name(admin: Api, sending: Sending) -> None:
    made = admin.post(PATH, webhook()).json["notification"]
    one = f"{PATH}/{made['id']}"
    changed = admin.patch(one, {"events": ["*"], "enabled": False}).json
    assert (changed["events"], changed["enabled"], changed["url"], changed["name"]) == (
        ["*"],
        False,
        SECRET_URL,
        "chat",
    )
    assert sending.woken == 1
    assert admin.patch(one, {"addresses": ["a@b.org"]}).status_code == 422
    assert admin.patch(one, {"url": "https://10.0.0.1/"}).status_code == 422
    assert admin.patch("/api/settings", {"webhook_allow": ["10.0.0.0/8"]}).json["webhook_allow"] == ["10.0.0.0/8"]
    assert admin.patch(one, {"url": "http://10.0.0.1/"}).status_code == 200
    assert admin.patch("/api/settings", {"webhook_allow": ["10.0.0.1/8"]}).status_code == 422
    admin.post(PATH, mail())
    assert admin.patch(one, {"name": "ops"}).status_code == 409
    assert admin.post(PATH, webhook(name="ops")).status_code == 409
    assert [item["name"] for item in admin.get(f"{PATH}?name=ops").json["items"]] == ["ops"]
    assert admin.delete(one).status_code == 204
    for method, path in (
        ("GET", one),
        ("PATCH", one),
        ("DELETE", one),
        ("POST", f"{one}/rotate"),
        ("POST", f"{one}/test"),
        ("GET", f"{one}/deliveries"),
    ):
        assert admin.call(method, path, {} if method == "PATCH" else None).status_code == 404, (method, path)
    assert admin.post(PATH, webhook()).status_code == 201, "the name is free again"


def test_log_test_and_redelivery(admin: Api, hub: ScriptedHub, sending: Sending) -> None:
    one = admin.post(PATH, webhook()).json["notification"]["id"]
    tested = admin.post(f"{PATH}/{one}/test")
    assert (tested.status_code, tested.json["status"], tested.json["http_status"], tested.json["answer"]) == (
        200,
        "delivered",
        200,
        "hi",
    )
    assert sending.asked == [(one, "admin@example.org")]
    with hub.database.transaction() as tx:
        for _ in range(3):
            outbox.add(tx, "job.missed", detail={"job": "<script>"})
    log = f"{PATH}/{one}/deliveries"
    first = admin.get(f"{log}?limit=3").json
    second = admin.get(f"{log}?limit=3&cursor={first['next_cursor']}").json
    rows = first["items"] + second["items"]
    assert [row["type"] for row in rows] == ["job.missed"] * 3 + ["test"]
    assert second["next_cursor"] is None
    assert rows[0]["data"] == {"job": "<script>"}
    again = admin.post(f"{log}/{rows[-1]['id']}/redeliver")
    assert again.status_code == 202
    assert (again.json["event_id"], again.json["status"]) == (tested.json["event_id"], "pending")
    assert again.json["id"] != tested.json["id"]
    assert sending.woken == 1
    assert admin.post(f"{log}/{rows[0]['id']}/redeliver").status_code == 409, "it waits still"
    assert admin.post(f"{log}/424242/redeliver").status_code == 404


def test_mail_settings(admin: Api, audited, hub: ScriptedHub) -> None:
    path = "/api/settings/mail"
    assert admin.get(path).json == {
        "host": "", "port": 587, "security": "starttls", "user": "", "password_set": False, "sender": "", "hub_url": "",
    }  # fmt: skip
    assert admin.patch(path, {"host": "relay.example.org"}).status_code == 422
    given = {
        "host": "relay.example.org",
        "user": "hub",
        "password": "hunter2",
        "sender": "hub@example.org",
        "hub_url": "https://hub.example.org",
    }
    assert admin.patch(path, given).json["password_set"] is True
    assert "hunter2" not in admin.get(path).text
    with hub.database.transaction() as tx:
        logged = tx.one("SELECT string_agg(detail::text, '') FROM audit")
    assert logged is not None
    assert "hunter2" not in logged[0]
    assert ("admin@example.org", "settings.mail_changed", "settings", "ok") in audited()
    assert admin.patch(path, {"security": "none"}).status_code == 422
    assert admin.patch(path, {"sender": "x\r\ny@z.org"}).status_code == 422
    assert admin.patch(path, {"hub_url": "javascript:alert(1)"}).status_code == 422
    assert admin.patch(path, {"port": 465, "security": "tls"}).json["password_set"] is True
    assert admin.patch(path, {"host": "evil.example"}).json["password_set"] is False, "it was for the other relay"
