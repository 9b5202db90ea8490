from __future__ import annotations

from typing import Any

import pytest

from fileflux.actors.messages import LiveProgress, LiveTransfer
from fileflux.storage import transfers as rows
from fileflux.storage.transfers import NewTransfer
from tests.web.conftest import Api, ScriptedHub

MIB = 1024 * 1024


def new_transfer(name: bytes, size: int = 20 * MIB) -> NewTransfer:
    return NewTransfer(path=name, size=size, mtime_ns=1, mode=0o644, chunk_size=8 * MIB)


@pytest.fixture
def run(admin: Api, job_body: dict[str, Any]) -> dict[str, Any]:
    job = admin.post("/api/jobs", job_body).json
    return admin.post(f"/api/jobs/{job['id']}/run").json


@pytest.fixture
def transfer_ids(hub: ScriptedHub, run: dict[str, Any]) -> list[int]:
    with hub.database.transaction() as tx:
        made = rows.insert_many(
            tx, run["id"], [new_transfer(b"a.bin"), new_transfer(b"sub/b\x1b[2J\xff.bin"), new_transfer(b"empty", 0)]
        )
    return [row.id for row in made]


def test_a_transfer_shows_the_fields_of_the_reference(admin: Api, run: dict[str, Any], transfer_ids: list[int]) -> None:
    shown = admin.get(f"/api/transfers/{transfer_ids[0]}").json
    assert shown == {
        "id": transfer_ids[0], "run_id": run["id"], "job_id": run["job_id"], "filename": "a.bin", "size": 20 * MIB, "status": "pending",
        "reason": "", "code": "", "bottleneck": None, "progress": 0.0, "bytes_transferred": 0, "bytes_reused": 0, "compression": None,
        "chunk_size": 8 * MIB, "total_chunks": 3, "completed_chunks": 0, "file_hash": None, "retry_count": 0, "started_at": None,
        "ended_at": None,
    }  # fmt: skip
    assert admin.get("/api/transfers/424242").status_code == 404


def test_names_that_are_no_text_are_shown_as_escapes(admin: Api, transfer_ids: list[int]) -> None:
    assert admin.get(f"/api/transfers/{transfer_ids[1]}").json["filename"] == "sub/b\x1b[2J\\xff.bin"


def test_live_counters_lie_over_the_row(
    admin: Api, hub: ScriptedHub, run: dict[str, Any], transfer_ids: list[int]
) -> None:
    live = LiveTransfer("transferring", "", 15 * MIB, 4 * MIB, 8 * MIB, 2)
    hub.live_runs[run["id"]] = LiveProgress(
        "transferring", "", 3, 0, 0, 0, 40 * MIB, 15 * MIB, 4 * MIB, 0, {transfer_ids[0]: live}
    )
    shown = admin.get(f"/api/transfers/{transfer_ids[0]}").json
    expected = {
        "status": "transferring",
        "progress": 75.0,
        "bytes_transferred": 4 * MIB,
        "bytes_reused": 8 * MIB,
        "completed_chunks": 2,
    }
    assert shown.items() >= expected.items()
    assert shown in admin.get(f"/api/transfers?run_id={run['id']}").json["items"]
    with hub.database.transaction() as tx:
        tx.execute(
            "UPDATE transfers SET status = 'completed', file_hash = %s WHERE id = %s", (b"\x01" * 32, transfer_ids[0])
        )
    shown = admin.get(f"/api/transfers/{transfer_ids[0]}").json
    assert (shown["status"], shown["progress"], shown["file_hash"]) == ("completed", 100.0, "01" * 32)


def test_lists_are_filtered_and_paged(admin: Api, run: dict[str, Any], transfer_ids: list[int]) -> None:
    for query in ("", f"run_id={run['id']}", f"job_id={run['job_id']}", "status=pending"):
        assert {item["id"] for item in admin.get(f"/api/transfers?{query}").json["items"]} == set(transfer_ids)
    for query in ("run_id=424242", "job_id=424242", "status=failed"):
        assert admin.get(f"/api/transfers?{query}").json["items"] == []
    first = admin.get("/api/transfers?limit=2").json
    second = admin.get(f"/api/transfers?limit=2&cursor={first['next_cursor']}").json
    assert {item["id"] for item in first["items"] + second["items"]} == set(transfer_ids)
    assert second["next_cursor"] is None
    for bad in ("status=succeeded", "run_id=-1", "cursor=x", "order=id", "code=no_space", "run_id=1&code="):
        assert admin.get(f"/api/transfers?{bad}").status_code == 422


def test_the_codes_of_a_run_lead_to_its_files(
    admin: Api, hub: ScriptedHub, run: dict[str, Any], transfer_ids: list[int]
) -> None:
    codes = f"/api/runs/{run['id']}/codes"
    assert admin.get(codes).json == {"items": []}
    with hub.database.transaction() as tx:
        tx.execute("UPDATE transfers SET status = 'failed', code = 'no_space' WHERE id = ANY(%s)", (transfer_ids[:2],))
        tx.execute("UPDATE transfers SET code = 'busy' WHERE id = %s", (transfer_ids[2],))
    assert admin.get(codes).json["items"] == [{"code": "busy", "count": 1}, {"code": "no_space", "count": 2}]
    found = admin.get(f"/api/transfers?run_id={run['id']}&code=no_space").json["items"]
    assert {item["id"] for item in found} == set(transfer_ids[:2])
    assert admin.get(f"/api/transfers?run_id={run['id']}&code=io").json["items"] == []
    assert admin.get("/api/runs/424242/codes").status_code == 404
