"""What the world outside hears of real runs and agents, and what a target that never answers costs them."""

from __future__ import annotations

import base64
import email
import email.policy
import hashlib
import hmac
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.actors.outgoing.servers import MailServer, Visit, WebhookServer
from tests.integration.conftest import Site
from tests.integration.harness import wait_for
from tests.integration.store import query


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"), hub_env={"FILEFLUX_LIMITS_AGENT_AWAY_AFTER": "0.5"})
    try:
        yield site
    finally:
        site.stop()


def hang(visit: Visit) -> None:
    visit.sock.recv(1)


@pytest.fixture(scope="module")
def webhooks(site: Site) -> Iterator[WebhookServer]:
    server = WebhookServer({"/hang": hang})
    site.hub.client.patch("/api/settings", {"webhook_allow": [f"127.0.0.1:{server.port}"]})
    yield server
    server.stop()


def target(site: Site, name: str, *events: str, **fields: Any) -> tuple[int, str]:
    kind = "webhook" if "url" in fields else "email"
    made = site.hub.client.post("/api/notifications", {"name": name, "kind": kind, "events": list(events), **fields})
    return made["notification"]["id"], made["value"]


def verified(visit: Visit, secret: str) -> dict[str, Any]:
    """The event, as a receiver that knows the secret checks and reads it."""
    signed = f"{visit.headers['webhook-id']}.{visit.headers['webhook-timestamp']}.".encode() + visit.body
    expected = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    assert visit.headers["webhook-signature"] == f"v1,{base64.b64encode(expected).decode()}"
    event: dict[str, Any] = json.loads(visit.body)
    return event


def test_a_run_is_told_by_webhook_and_mail(site: Site, webhooks: WebhookServer) -> None:
    relay = MailServer()
    try:
        client = site.hub.client
        client.patch(
            "/api/settings/mail",
            {"host": "127.0.0.1", "port": relay.port, "security": "none", "sender": "hub@example.org"},
        )
        url = f"http://127.0.0.1:{webhooks.port}"
        one, secret = target(site, "all", "run.*", "job.*", url=f"{url}/hook")
        target(site, "ops", "run.succeeded", addresses=["ops@example.org"])
        source = site.source.read / "told"
        source.mkdir()
        (source / "a.txt").write_bytes(os.urandom(1000))
        job = site.hub.job(site.source.id, source, site.destination.id, site.destination.write / "told")
        run_id = site.hub.run(job)
        assert site.hub.wait_ended(run_id)["status"] == "succeeded"
        wait_for("the mail", lambda: relay.mails, 10)

        def heard() -> list[dict[str, Any]]:
            events = [verified(visit, secret) for visit in webhooks.visits if visit.path == "/hook"]
            return events if len(events) >= 3 else []

        events = {event["type"]: event["data"] for event in wait_for("three events", heard, 10)}
        assert set(events) == {"job.changed", "run.started", "run.succeeded"}
        ended = events["run.succeeded"]
        assert (ended["run"]["id"], ended["run"]["files_done"], ended["job"]["id"]) == (run_id, 1, job)
        message = email.message_from_string(relay.mails[0][2], policy=email.policy.default)
        assert message["Subject"] == f"[FileFlux] Run of {ended['job']['name']} succeeded"
        tested = client.post(f"/api/notifications/{one}/test")
        assert (tested["status"], tested["http_status"]) == ("delivered", 204)
        assert secret not in site.hub.running.text()
    finally:
        relay.stop()


def test_a_black_hole_costs_runs_nothing(site: Site, webhooks: WebhookServer) -> None:
    hole, _ = target(site, "hole", "file.failed", "run.*", url=f"http://127.0.0.1:{webhooks.port}/hang")
    source = site.source.read / "hole"
    source.mkdir()
    (source / "a.txt").write_bytes(b"x")
    job = site.hub.job(site.source.id, source, site.destination.id, site.destination.write / "hole")
    for _ in range(4):
        assert site.hub.wait_ended(site.hub.run(job), 20)["status"] == "succeeded"
    log = list(site.hub.client.pages(f"/api/notifications/{hole}/deliveries"))
    assert {row["status"] for row in log} == {"pending"}
    assert len(log) == 8
    wait_for("two attempts", lambda: sum(visit.path == "/hang" for visit in webhooks.visits) >= 2, 10)
    assert sum(visit.path == "/hang" for visit in webhooks.visits) == 2, "two at once, whatever waits"
    site.hub.client.delete(f"/api/notifications/{hole}")


def test_an_agent_that_stays_away_is_told(site: Site, webhooks: WebhookServer) -> None:
    one, _ = target(site, "agents", "agent.*", url=f"http://127.0.0.1:{webhooks.port}/agents")
    # Who was never noted to be there is not missed either.
    known = "SELECT 1 FROM agent_presence WHERE online AND agent_id = %s"
    wait_for("the agent to be noted", lambda: query(site.hub, known, site.destination.id), 20)
    site.destination.running.kill()

    def told() -> list[str]:
        rows = site.hub.client.pages(f"/api/notifications/{one}/deliveries")
        return [
            row["type"]
            for row in rows
            if row["data"]["agent"]["name"] == "destination" and row["status"] == "delivered"
        ]

    wait_for("the news", lambda: "agent.offline" in told(), 20)
