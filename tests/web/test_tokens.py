from __future__ import annotations

import hashlib
import ssl
from datetime import UTC, datetime, timedelta

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
    assert hub.cuts == [(agent_id, "its token was revoked", made["token"]["id"])]
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


def test_the_list_of_one_agent(admin: Api, agent_id: int) -> None:
    other = admin.post("/api/agents", {"name": "other"}).json["id"]
    made = [admin.post("/api/tokens", {"agent_id": of}).json["token"]["id"] for of in (agent_id, other, agent_id)]
    found = admin.get(f"/api/tokens?agent_id={agent_id}&sort=-id").json["items"]
    assert [token["id"] for token in found] == [made[2], made[0]]
    assert admin.get("/api/tokens?agent_id=x").status_code == 422


def test_a_token_expires_as_the_hub_is_set(admin: Api, agent_id: int, clock: FakeClock) -> None:
    assert admin.patch("/api/settings", {"default_token_days": 10}).status_code == 200
    token = admin.post("/api/tokens", {"agent_id": agent_id}).json["token"]
    assert datetime.fromisoformat(token["expires_at"]) == clock.utc_now() + timedelta(days=10)
    for_ever = admin.post("/api/tokens", {"agent_id": agent_id, "expires_in_days": None}).json["token"]
    assert for_ever["expires_at"] is None


def stored(hub: ScriptedHub, token_id: int) -> rows.TokenRow:
    with hub.database.transaction() as tx:
        row = rows.get(tx, token_id)
    assert row is not None
    return row


def test_rotation_leaves_the_old_one_for_a_while(admin: Api, hub: ScriptedHub, agent_id: int, audited) -> None:
    with hub.database.transaction() as tx:
        old, old_value = rows.create(tx, agent_id, "nas", datetime.now(UTC) + timedelta(days=30))
    made = admin.post(f"/api/tokens/{old.id}/rotate", {})
    assert made.status_code == 201
    new = made.json["token"]
    assert (new["agent_id"], new["name"], new["replaced_by"]) == (agent_id, "nas", None)
    with hub.database.transaction() as tx:
        assert rows.find_live(tx, old_value).id == old.id
        assert rows.find_live(tx, made.json["value"]).id == new["id"]
    ends = stored(hub, old.id)
    assert ends.replaced_by == new["id"]
    assert ends.expires_at is not None
    assert timedelta(hours=23) < ends.expires_at - datetime.now(UTC) < timedelta(hours=25)
    assert hub.token_limits == [(agent_id, old.id, ends.expires_at)]
    lives = datetime.fromisoformat(new["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=29) < lives < timedelta(days=31), "as long as the old one was made for"
    assert audited()[-1][1:3] == ("token.rotated", f"token:{old.id}")
    assert made.json["value"] not in str(audited())


def test_rotation_never_prolongs(admin: Api, hub: ScriptedHub, agent_id: int) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    with hub.database.transaction() as tx:
        old, _ = rows.create(tx, agent_id, "", soon)
    admin.post(f"/api/tokens/{old.id}/rotate", {"overlap_hours": 168})
    assert stored(hub, old.id).expires_at == soon


def test_rotation_at_once(admin: Api, hub: ScriptedHub, agent_id: int) -> None:
    old = admin.post("/api/tokens", {"agent_id": agent_id}).json
    new = admin.post(f"/api/tokens/{old['token']['id']}/rotate", {"overlap_hours": 0}).json
    assert new["token"]["expires_at"] is None
    with hub.database.transaction() as tx:
        assert rows.find_live(tx, old["value"]) is None
        assert rows.find_live(tx, new["value"]) is not None
    assert not hub.cuts, "the session learns when its token ends"


def test_what_cannot_be_rotated(admin: Api, hub: ScriptedHub, agent_id: int, as_role) -> None:
    def rotate(token_id: int, **body: object):
        return admin.post(f"/api/tokens/{token_id}/rotate", body)

    made = [admin.post("/api/tokens", {"agent_id": agent_id}).json["token"]["id"] for _ in range(3)]
    assert rotate(made[0]).status_code == 201
    again = rotate(made[0])
    assert again.status_code == 409
    assert "was replaced already" in again.json["detail"]
    admin.delete(f"/api/tokens/{made[1]}")
    assert rotate(made[1]).status_code == 409
    with hub.database.transaction() as tx:
        gone, _ = rows.create(tx, agent_id, "", datetime.now(UTC) - timedelta(seconds=1))
    assert rotate(gone.id).status_code == 409
    assert rotate(424242).status_code == 404
    for hours in (-1, 169, "1", None, 1.5):
        assert rotate(made[2], overlap_hours=hours).status_code == 422
    assert as_role("operator").post(f"/api/tokens/{made[2]}/rotate", {}).status_code == 403
    admin.delete(f"/api/agents/{agent_id}")
    assert rotate(made[2]).status_code == 409


def test_no_body_is_an_empty_one(admin: Api, two_agents: tuple[int, int]) -> None:
    token = admin.post("/api/tokens", {"agent_id": two_agents[0]}).json["token"]["id"]
    client, own = admin.client, {"Authorization": f"Bearer {admin.token}"}
    assert client.post(f"/api/tokens/{token}/rotate", headers=own).status_code == 201
    assert client.post("/api/tokens/424242/rotate", headers=own).status_code == 404
    without_fields = client.post("/api/agents", headers=own)
    assert (without_fields.status_code, without_fields.json["errors"].keys()) == (422, {"name"})
    assert client.post("/api/agents", data=b'{"name":"x"}', headers=own).status_code == 415
    assert client.post("/api/agents", data=b"", content_type="text/plain", headers=own).status_code == 415
