from __future__ import annotations

import hashlib
import ssl
from datetime import datetime, timedelta

import pytest

from fileflux.clock import FakeClock
from fileflux.protocol.limits import Limits
from fileflux.storage import tokens as rows
from fileflux.storage.pool import Database
from fileflux.web.app import create_app
from fileflux.web.deps import Deps
from tests.certificates import Authority
from tests.web.conftest import SECRET, Api, ScriptedHub


@pytest.fixture
def agent_id(admin: Api) -> int:
    return admin.post("/api/agents", {"name": "web-1"}).json["id"]


def test_the_value_is_shown_once_and_works(admin: Api, hub: ScriptedHub, agent_id: int, audited) -> None:
    made = admin.post("/api/tokens", {"agent_id": agent_id, "name": "first"})
    assert made.status_code == 201
    value = made.json["value"]
    assert value.startswith("ffx_")
    assert made.headers["Cache-Control"] == "no-store"
    with hub.database.transaction() as tx:
        assert rows.find_live(tx, value).agent_id == agent_id
    listed = admin.get("/api/tokens")
    assert listed.json["items"] == [made.json["token"]]
    assert value not in listed.text
    assert value not in str(audited())
    assert audited()[-1][1:3] == ("token.created", f"token:{made.json['token']['id']}")


def test_a_hub_with_its_own_ca_puts_the_pin_behind_the_value(
    database: Database, hub: ScriptedHub, clock: FakeClock, limits: Limits, admin: Api, agent_id: int, tmp_path
) -> None:
    ca = Authority(tmp_path)
    pem = ca.file.read_bytes()
    client = create_app(Deps(database, None, limits, SECRET, clock, hub, hub, hub, hub, pem)).test_client()
    made = Api(client, admin.token).post("/api/tokens", {"agent_id": agent_id}).json
    secret, _, pin = made["value"].partition(".")
    assert pin == hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode())).hexdigest()
    with hub.database.transaction() as tx:
        assert rows.find_live(tx, secret).id == rows.find_live(tx, made["value"]).id == made["token"]["id"]
    assert client.get("/ca.pem").data == pem


def test_revoking_cuts_the_agent(admin: Api, hub: ScriptedHub, agent_id: int, audited) -> None:
    made = admin.post("/api/tokens", {"agent_id": agent_id}).json
    assert admin.delete(f"/api/tokens/{made['token']['id']}").status_code == 204
    with hub.database.transaction() as tx:
        assert rows.find_live(tx, made["value"]) is None
    assert hub.cuts == [(agent_id, "its token was revoked")]
    assert admin.get("/api/tokens").json["items"][0]["revoked_at"] is not None
    assert audited()[-1][1] == "token.revoked"
    assert admin.delete("/api/tokens/424242").status_code == 404


def test_a_revoked_agents_tokens_are_worthless(admin: Api, hub: ScriptedHub, agent_id: int) -> None:
    value = admin.post("/api/tokens", {"agent_id": agent_id}).json["value"]
    admin.delete(f"/api/agents/{agent_id}")
    with hub.database.transaction() as tx:
        assert rows.find_live(tx, value) is None
    assert admin.post("/api/tokens", {"agent_id": agent_id}).status_code == 409


def test_a_token_can_expire(admin: Api, agent_id: int, clock) -> None:
    token = admin.post("/api/tokens", {"agent_id": agent_id, "expires_in_days": 30}).json["token"]
    assert datetime.fromisoformat(token["expires_at"]) == clock.utc_now() + timedelta(days=30)
    assert admin.post("/api/tokens", {"agent_id": agent_id}).json["token"]["expires_at"] is None


@pytest.mark.parametrize("change", [{"agent_id": 424242}, {"agent_id": "1"}, {"agent_id": 0}, {"agent_id": 2**63}, {"expires_in_days": 0},
                                    {"expires_in_days": 10**9}, {"value": "ffx_mine"}, {"name": "a\tb"}])  # fmt: skip
def test_bad_bodies(admin: Api, agent_id: int, change: dict) -> None:
    answer = admin.post("/api/tokens", {"agent_id": agent_id} | change)
    assert answer.status_code == 422
    assert list(answer.json["errors"]) == list(change)
