"""An agent with a valid token that breaks the rules: it is refused clearly and audited, and disturbs nobody."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import requests
import websocket

from fileflux.protocol.frames import FrameHeader
from tests.integration.conftest import Site
from tests.integration.harness import wait_for
from tests.integration.peer import Peer

CHUNK = 8 * 2**20


def frame(
    wire_id: int = 1, index: int = 0, total: int = 1, size: int = 4, payload: bytes = b"abcd", code: int = 0
) -> bytes:
    return (
        FrameHeader(wire_id, index, total, hashlib.sha256(payload).digest(), size, len(payload), code).pack() + payload
    )


def raw(**changes: int) -> bytes:
    """A header with any values, legal or not."""
    values = {"wire": 1, "index": 0, "total": 1, "size": 4, "payload": 4, "code": 0} | changes
    packed = struct.pack(">4sIII32sIIB", b"FFXF", values["wire"], values["index"], values["total"], b"h" * 32, values["size"], values["payload"], values["code"])  # fmt: skip
    return packed + b"abcd"


BINARY: dict[str, bytes] = {
    "B1-empty": b"",
    "B2-one-byte": b"F",
    "B2-four-bytes": b"FFXF",
    "B2-short-header": frame()[:56],
    "B4-magic": b"GFXF" + frame()[4:],
    "B5-little-endian": struct.pack("<4sIII32sIIB", b"FXFF", 1, 0, 1, b"h" * 32, 4, 4, 0) + b"abcd",
    "B6-payload-longer": raw(payload=5),
    "B6-payload-zero": raw(payload=0),
    "B6-payload-huge": raw(payload=0xFFFFFFFF, size=0xFFFFFFFF),
    "B7-trailing": frame() + b"x",
    "B8-size-over-chunk": raw(size=2**27, payload=4, code=1),
    "B8-size-sign": raw(size=0x80000000, code=1),
    "B11-compression": raw(code=3),
    "B11-compression-high": raw(code=0xFF),
    "B12-none-differs": raw(size=5),
    "B13-index-is-total": raw(index=1),
    "B13-total-zero": raw(total=0),
    "B13-total-huge": raw(total=0xFFFFFFFF),
    "B23-never-existed": frame(wire_id=4_000_000_000),
    "B23-zero": raw(wire=0),
    "B38-index-overflow": raw(index=2**31, total=2**31 + 1),
    "piece-without-data": b"FFXP" + bytes(12),
    "have-page-too-long": b"FFXH" + struct.pack(">III", 1, 0, 9000) + bytes(32),
}

TEXT: dict[str, str] = {
    "J1-not-json": "not json",
    "J1-empty": "",
    "J1-null": "null",
    "J1-list": "[]",
    "J2-no-type": json.dumps({"seq": 1, "ack": 0, "payload": {}}),
    "J2-type-null": json.dumps({"type": None, "seq": 1, "ack": 0, "payload": {}}),
    "J2-type-list": json.dumps({"type": [], "seq": 1, "ack": 0, "payload": {}}),
    "J3-field-missing": json.dumps({"type": "heartbeat", "seq": 1, "ack": 0, "payload": {}}),
    "J6-negative": json.dumps({"type": "heartbeat", "seq": 1, "ack": 0, "payload": {"uptime_s": -1}}),
    "J6-digits": '{"type":"heartbeat","seq":1,"ack":0,"payload":{"uptime_s":%s}}' % ("9" * 5000),
    "J7-nan": '{"type":"heartbeat","seq":1,"ack":0,"payload":{"uptime_s":NaN}}',
    "J7-infinity": '{"type":"heartbeat","seq":1,"ack":0,"payload":{"uptime_s":1e999}}',
    "J7-deep": '{"type":"heartbeat","seq":1,"ack":0,"payload":' + "[" * 50_000 + "}",
    "J7-duplicate-keys": '{"type":"heartbeat","type":"heartbeat","seq":1,"ack":0,"payload":{"uptime_s":1}}',
    "J10-too-long": json.dumps({"type": "heartbeat", "seq": 1, "ack": 0, "payload": {"x": "y" * (2**20)}}),
    "J11-surrogate": '{"type":"connection_test_result","seq":1,"ack":0,"payload":{"token":"\\ud800"}}',
    "J11-nul": '{"type":"connection_test_result","seq":1,"ack":0,"payload":{"token":"\\u0000"}}',
    "J15-hello-twice": json.dumps({"type": "hello", "seq": 0, "ack": 0, "payload": {"protocol": [1], "agent": "x"}}),
    "ack-of-the-future": json.dumps({"type": "ack", "seq": 0, "ack": 2**40, "payload": {}}),
    "gap": json.dumps({"type": "heartbeat", "seq": 9, "ack": 0, "payload": {"uptime_s": 1}}),
    "B40-ack-unknown": json.dumps(
        {"type": "chunk_ack", "seq": 1, "ack": 0, "payload": {"items": [{"transfer_id": 4_000_000_000, "chunks": [[0, 0]]}]}}
    ),
    "B40-negative-index": json.dumps(
        {"type": "chunk_ack", "seq": 1, "ack": 0, "payload": {"items": [{"transfer_id": 1, "chunks": [[-1, 0]]}]}}
    ),
    "J13-foreign-complete": json.dumps(
        {"type": "transfer_complete", "seq": 1, "ack": 0,
         "payload": {"items": [{"transfer_id": 4_000_000_000, "size": 1, "chunk_digest": "a" * 64}]}}
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def token(site: Site) -> str:
    _, path = site.hub.enrol("peer", site.folder)
    return path.read_text()


@pytest.fixture
def good_transfer(site: Site) -> Iterator[Callable[[], None]]:
    """Starts a transfer now; the returned function checks that it ended bit-exact."""
    source = site.source.read / f"good-{os.urandom(4).hex()}.bin"
    source.write_bytes(os.urandom(24 * 2**20))
    target = site.destination.write / source.name
    run_id = site.hub.run(site.hub.job(site.source.id, source, site.destination.id, target))

    def check() -> None:
        assert site.hub.wait_ended(run_id)["status"] == "succeeded"
        assert target.read_bytes() == source.read_bytes()

    yield check
    source.unlink()
    target.unlink(missing_ok=True)


def refused(site: Site) -> int:
    return site.hub.running.text().count("refused")


@pytest.mark.parametrize("case", [*BINARY, *TEXT])
def test_refused_and_harmless(site: Site, token: str, good_transfer: Callable[[], None], case: str) -> None:
    before = refused(site)
    memory = psutil.Process(site.hub.server_pid).memory_info().rss
    with Peer(site.hub, token) as peer:
        if case in BINARY:
            peer.binary(BINARY[case])
        else:
            peer.text(TEXT[case])
        answer = peer.refusal()
    assert answer != "closed 1006", "a refusal is said, not just hung up"
    assert "Traceback" not in json.dumps(peer.received)
    started = time.monotonic()
    assert requests.get(f"{site.hub.client.url}/healthz", timeout=5).status_code == 200
    assert time.monotonic() - started < 0.25
    wait_for("a line in the log", lambda: refused(site) > before or answer.startswith("closed"), 5)
    good_transfer()
    assert psutil.Process(site.hub.server_pid).memory_info().rss - memory < 96 * 2**20, (
        "the good transfer's share and 32 MiB"
    )


def test_data_before_hello_closes(site: Site, token: str) -> None:
    with Peer(site.hub, token, greet=False) as peer:
        peer.binary(frame())
        assert peer.refusal() == "closed 1008"


def test_unknown_types_and_fields_are_ignored(site: Site, token: str) -> None:
    with Peer(site.hub, token) as peer:
        peer.say("from_the_future", {"x": 1})
        peer.say("heartbeat", {"uptime_s": 1.0, "__class__": "x", "role": "admin", "agent_id": 1})
        assert peer.until("heartbeat_ack")


@pytest.mark.parametrize("who", ["foreign-frame", "foreign-ack", "foreign-complete"])
def test_words_about_a_transfer_of_others_are_refused(site: Site, token: str, big: Path, who: str) -> None:
    """Wire ids are no secret: whoever names a live one that is not theirs is refused, and the victim is unharmed."""
    target = site.destination.write / f"victim-{who}.bin"
    run_id = site.hub.run(site.hub.job(site.source.id, big, site.destination.id, target, compression="none"))
    wait_for("the victim to move", lambda: site.hub.show(run_id)["bytes_done"] > 0, 20)
    with Peer(site.hub, token) as peer:
        try:
            for wire_id in range(1, 400):
                item = {"transfer_id": wire_id}
                if who == "foreign-frame":
                    peer.binary(frame(wire_id=wire_id))
                elif who == "foreign-ack":
                    peer.say("chunk_ack", {"items": [item | {"chunks": [[0, 0]]}]})
                else:
                    peer.say("transfer_complete", {"items": [item | {"size": 1, "chunk_digest": "a" * 64}]})
        except (websocket.WebSocketException, OSError):
            # It was cut off; the refusal is still there to be read.
            pass
        while peer.next() is not None:
            pass
        assert "foreign_transfer" in {m["payload"]["code"] for m in peer.received if m["type"] == "error"}
        assert peer.closed == 1008
    assert site.hub.wait_ended(run_id)["status"] == "succeeded"
    assert target.read_bytes() == big.read_bytes()
    target.unlink()
