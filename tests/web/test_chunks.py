from __future__ import annotations

from typing import Any

import pytest

from fileflux.actors.stream import Stream
from fileflux.protocol.frames import FrameHeader
from fileflux.storage import transfers
from fileflux.storage.transfers import NewTransfer
from tests.web.conftest import Api, ScriptedHub


@pytest.fixture
def add(admin: Api, hub: ScriptedHub, job_body: dict[str, Any]):
    """``add("failed", 10)`` is the id of a transfer with that status and size, in chunks of 4 bytes."""
    job = admin.post("/api/jobs", job_body).json
    run = admin.post(f"/api/jobs/{job['id']}/run").json

    def make(status: str, size: int = 10) -> int:
        with hub.database.transaction() as tx:
            return transfers.insert_many(
                tx, run["id"], [NewTransfer(status.encode(), size, 0, 0o600, 4, status=status)]
            )[0].id

    return make


def shown(admin: Api, transfer_id: int, query: str = "") -> list[str]:
    return [chunk["status"] for chunk in admin.get(f"/api/transfers/{transfer_id}/chunks{query}").json["items"]]


def test_a_live_transfer_shows_what_the_relay_knows(admin: Api, hub: ScriptedHub, add) -> None:
    row = add("transferring")
    assert shown(admin, row) == ["missing"] * 3, "no attempt is open"
    hub.live_chunks[row] = ["acked", "in_flight", "missing"]
    assert admin.get(f"/api/transfers/{row}/chunks").json == {
        "items": [
            {"index": 0, "offset": 0, "size": 4, "status": "acked"},
            {"index": 1, "offset": 4, "size": 4, "status": "in_flight"},
            {"index": 2, "offset": 8, "size": 2, "status": "missing"},
        ],
        "next_cursor": None,
    }


@pytest.mark.parametrize(
    ("status", "chunk"), [("completed", "done"), ("skipped", "done"), ("failed", "missing"), ("cancelled", "missing")]
)
def test_an_ended_transfer_has_all_or_nothing(admin: Api, hub: ScriptedHub, add, status: str, chunk: str) -> None:
    row = add(status)
    hub.live_chunks[row] = ["in_flight"] * 3
    assert shown(admin, row) == [chunk] * 3


def test_an_empty_file_is_one_chunk(admin: Api, add) -> None:
    (chunk,) = admin.get(f"/api/transfers/{add('completed', 0)}/chunks").json["items"]
    assert (chunk["index"], chunk["size"], chunk["status"]) == (0, 0, "done")


def test_pages(admin: Api, add) -> None:
    row, url, indexes = add("completed", 30), "", []
    while url is not None:
        answer = admin.get(f"/api/transfers/{row}/chunks?limit=3{url}").json
        indexes += [chunk["index"] for chunk in answer["items"]]
        url = answer["next_cursor"] and f"&cursor={answer['next_cursor']}"
    assert indexes == list(range(8))
    for bad in ("limit=0", "limit=1001", "cursor=x", "cursor=MTox", "sort=index"):
        assert admin.get(f"/api/transfers/{row}/chunks?{bad}").status_code == 422
    assert admin.get("/api/transfers/424242/chunks").status_code == 404


def test_the_relays_account() -> None:
    stream = Stream(1, 22, 4, 6, started=True, up_to=10_000)
    for index in (0, 1, 3):
        stream.take_frame(FrameHeader(1, index, 6, bytes(32), 4, 4, 0))
    stream.acknowledge(0, 0)
    assert stream.chunks(0, 100) == ["acked", "in_flight", "missing", "in_flight", "missing", "missing"]
    assert stream.chunks(4, 1) == ["missing"]
    assert stream.chunks(6, 1) == []
