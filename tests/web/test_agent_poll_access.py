"""Who gets in over long-polling, and what a link's id is worth without its token."""

from __future__ import annotations

import re
from typing import Any

import gevent
import pytest
from flask import Flask
from werkzeug.test import TestResponse

from fileflux.protocol.limits import Limits
from fileflux.storage.pool import Database
from fileflux.web.polling_links import PollingLinks
from tests.contracts.link_suite import Recorder
from tests.web.polling import (
    Agent,
    agent,
    codes,
    database,
    heard,
    limits,
    link_of,
    links,
    text,
    token,
    token_of,
    tree,
)

# Fixtures, used here by name.
__all__ = ["agent", "database", "heard", "limits", "links", "token", "tree"]


BAD_TOKENS = {
    "none": None,
    "empty": "Bearer ",
    "unknown": "Bearer ffx_" + "A" * 43,
    "garbage": "Bearer é\xff",
    "basic": "Basic eDp5",
    "long": "Bearer " + "A" * 7000,
}


def ask_all(app: Flask, header: str | None, link_id: str, query: str = "") -> list[TestResponse]:
    headers = {"X-FileFlux-Session": link_id, "X-FileFlux-Seq": "1"}
    if header is not None:
        headers["Authorization"] = header
    client = app.test_client()
    return [
        client.post(f"/api/agent/connect{query}", headers=headers),
        client.get(f"/api/agent/poll{query}", headers=headers),
        client.post(f"/api/agent/messages{query}", headers=headers, data=b""),
    ]


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_without_a_token_nothing_is_told_of_any_link(app: Flask, agent: Agent, audited: Any, name: str) -> None:
    for link_id in ("", "unknown", agent.link_id):
        for answer in ask_all(app, BAD_TOKENS[name], link_id):
            assert (answer.status_code, answer.json["code"]) == (401, "unauthenticated")
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    actions = [entry[1] for entry in audited()]
    assert "agent.login" in actions
    assert len(actions) < 20, "one address cannot fill the log"


def test_a_users_token_is_none(app: Flask, agent: Agent, admin: Any) -> None:
    key = admin.post("/api/keys", {"name": "k", "scopes": ["all"]}).json["value"]
    for value in (admin.token, key):
        for answer in ask_all(app, f"Bearer {value}", agent.link_id):
            assert answer.status_code == 401


def test_a_token_in_the_address_is_none(app: Flask, agent: Agent) -> None:
    for answer in ask_all(app, None, agent.link_id, f"?token={agent.token}"):
        assert answer.status_code == 401


def test_a_revoked_token_opens_nothing(app: Flask, links: PollingLinks, database: Database, token: str) -> None:
    agent = Agent(app, token).connect()
    with database.transaction() as tx:
        tx.execute("UPDATE agent_tokens SET revoked_at = now()")
    assert [answer.status_code for answer in ask_all(app, f"Bearer {token}", "unknown")] == [401, 401, 401]
    # The link is closed by whoever revoked it (CutAgent); until then it is what its token was.
    link_of(links, agent).close(1008, "the token was revoked")
    gevent.sleep(0.01)
    agent.poll(1)
    gone = agent.poll(2)
    assert codes(gone) == [(410, "link_ended")]
    assert (gone.headers["X-FileFlux-Close"], gone.json["detail"]) == ("1008", "the token was revoked")


def test_a_link_is_of_the_token_that_opened_it(app: Flask, agent: Agent, database: Database, heard: Recorder) -> None:
    other = Agent(app, token_of(database, "thief"), agent.link_id)
    for answer in (other.poll(1), other.slice(1, text("stolen"))):
        assert (answer.status_code, answer.headers["X-FileFlux-Close"]) == (410, "1006")
    assert heard.texts == []
    assert agent.slice(1, text("mine")).status_code == 204
    assert heard.texts == ["mine"]


def test_an_unknown_link_is_gone(app: Flask, links: PollingLinks, token: str) -> None:
    for link_id in ("", "x", "0" * 32, "é", "a" * 5000):
        agent = Agent(app, token, link_id)
        for answer in (agent.poll(1), agent.slice(1, b"")):
            assert codes(answer) == [(410, "link_ended")]


def test_connect_says_what_the_agent_may_do(app: Flask, links: PollingLinks, token: str, limits: Limits) -> None:
    answer = Agent(app, token).ask("POST", "/api/agent/connect")
    said = answer.json
    assert re.fullmatch("[0-9a-f]{32}", said.pop("session_id"))
    assert said == {
        "poll_timeout_s": limits.poll_timeout,
        "polls": limits.polls_max,
        "slices": limits.slices_in_flight,
        "slice_max": limits.slice_max,
    }
    assert answer.headers["Cache-Control"] == "no-store"
