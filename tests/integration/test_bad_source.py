"""A source agent that owns its transfer and sends what no file of that size could hold: refused, audited, nothing wrong is ever published."""

from __future__ import annotations

import os
import random
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import requests
import websocket

from tests.integration.bad_frames import CHUNKS, MIB, REFUSED, SPOILED, WRONG
from tests.integration.conftest import Site
from tests.integration.flow import scrape
from tests.integration.harness import wait_for
from tests.integration.hostile import CHUNK, DestinationPeer, SourcePeer, audited, numbered

GROWTH_MAX = 32 * MIB


@dataclass(frozen=True)
class Attacker:
    agent_id: int
    token: str


@pytest.fixture(scope="module")
def attacker(site: Site) -> Attacker:
    agent_id, path = site.hub.enrol("bad-source", site.folder)
    return Attacker(agent_id, path.read_text())


@pytest.fixture
def folder(site: Site) -> Path:
    """Where the attacker's file would land."""
    made = site.destination.write / f"evil-{os.urandom(4).hex()}"
    made.mkdir()
    return made


@pytest.fixture
def harmless(site: Site) -> Iterator[None]:
    """A good transfer beside the bad one ends bit-exact, the hub answers quickly and does not grow."""
    source = site.source.read / f"good-{os.urandom(4).hex()}.bin"
    source.write_bytes(os.urandom(2 * MIB))
    target = site.destination.write / source.name
    before = psutil.Process(site.hub.server_pid).memory_info().rss
    run_id = site.hub.run(site.hub.job(site.source.id, source, site.destination.id, target))
    yield
    started = time.monotonic()
    assert requests.get(f"{site.hub.client.url}/healthz", timeout=5).status_code == 200
    assert time.monotonic() - started < 0.25
    assert site.hub.wait_ended(run_id)["status"] == "succeeded"
    assert target.read_bytes() == source.read_bytes()
    assert psutil.Process(site.hub.server_pid).memory_info().rss - before < GROWTH_MAX
    source.unlink()
    target.unlink()


def begin(site: Site, attacker: Attacker, folder: Path, content: bytes, **fields: object) -> tuple[SourcePeer, int]:
    """A source whose transfer is open, and its run."""
    chunk_size = int(str(fields.get("chunk_size", CHUNK)))
    peer = SourcePeer(site.hub, attacker.token, content, chunk_size)
    try:
        run_id = peer.offer(attacker.agent_id, site.destination, f"{folder}/", **fields)
        peer.opened()
    except BaseException:
        peer.socket.shutdown()
        raise
    return peer, run_id


def check_refused(site: Site, peer: SourcePeer, code: str) -> None:
    """Said, audited, and without a word of our insides."""
    assert code in peer.errors, peer.errors
    assert "Traceback" not in str(peer.received)
    wait_for(f"{code} in the audit log", lambda: code in audited(site.hub, "agent:bad-source"), 5)


# Messages that are refused by themselves: the transfer goes on, and what arrives is right.


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_frame_spoils_nothing(
    site: Site, attacker: Attacker, folder: Path, harmless: None, case: str
) -> None:
    make, code = REFUSED[case]
    peer, run_id = begin(site, attacker, folder, numbered(CHUNKS))
    with peer:
        peer.binary(make(peer))
        if case.startswith("B7"):
            # What stands before the garbage counts.
            peer.sent += len(peer.frame(0))
            peer.missing.remove(0)
        peer.settled()
        assert peer.finish() == "released"
        check_refused(site, peer, code)
    assert site.hub.wait_ended(run_id)["status"] == "succeeded"
    assert (folder / "evil.bin").read_bytes() == peer.content


# Frames that fit the file by their header and hold something else: the chunk is asked for again, and for ever is five times.


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_chunk_is_asked_for_again(
    site: Site, attacker: Attacker, folder: Path, harmless: None, case: str
) -> None:
    before = scrape(site)
    peer, run_id = begin(site, attacker, folder, numbered(CHUNKS), hub_check="all")
    with peer:
        peer.post(WRONG[case](peer))
        peer.missing.remove(0)
        assert peer.finish() == "released"
        check_refused(site, peer, "bad_chunk")
    assert site.hub.wait_ended(run_id)["status"] == "succeeded"
    after = scrape(site)
    # By the destination, by the hub, or by both.
    assert after["fileflux_chunks_refused_total"][""] - before["fileflux_chunks_refused_total"][""] in (1, 2)
    refused = "fileflux_messages_refused_total"
    assert after[refused]["bad_chunk"] == before[refused]["bad_chunk"] + 1
    assert (folder / "evil.bin").read_bytes() == peer.content


@pytest.mark.parametrize("hub_check", ["off", "all"])
@pytest.mark.parametrize("case", ["B14-one-bit-of-the-hash", "B28-zstd-bomb"])
def test_a_chunk_that_is_never_right_ends_the_transfer(
    site: Site, attacker: Attacker, folder: Path, harmless: None, case: str, hub_check: str
) -> None:
    peer, run_id = begin(site, attacker, folder, numbered(CHUNKS), hub_check=hub_check)
    with peer:
        peer.always = lambda _: WRONG[case](peer)
        peer.post(WRONG[case](peer))
        peer.missing.remove(0)
        assert peer.finish() == "corrupt"
    check_failed(site, run_id, folder)
    (transfer,) = site.hub.transfers(run_id)
    assert "chunk 0 was refused 6 times" in transfer["reason"]


def check_failed(site: Site, run_id: int, folder: Path, status: str = "failed") -> None:
    """The run ended so, and nothing of it is left at the destination."""
    run = site.hub.wait_ended(run_id)
    assert run["status"] == status, run
    wait_for("the part to be removed", lambda: os.listdir(folder) == [], 10)


# Frames that show that the source does not send the file it offered: the transfer ends.


@pytest.mark.parametrize("case", SPOILED)
def test_frames_of_another_file_end_the_transfer(
    site: Site, attacker: Attacker, folder: Path, harmless: None, case: str
) -> None:
    act, code = SPOILED[case]
    peer, run_id = begin(site, attacker, folder, numbered(CHUNKS))
    with peer:
        act(peer)
        ending = peer.ending()
        assert ending == "protocol" or ending.startswith("closed 1008"), ending
        check_refused(site, peer, code)
    check_failed(site, run_id, folder)


# Order, repetition, completion


@pytest.mark.parametrize("order", [list(reversed(range(9))), random.Random(9).sample(range(9), 9)])
def test_chunks_may_come_in_any_order(
    site: Site, attacker: Attacker, folder: Path, harmless: None, order: list[int]
) -> None:
    peer, run_id = begin(site, attacker, folder, numbered(9)[:-1000])
    with peer:
        peer.send(order)
        assert peer.finish() == "released"
        assert peer.errors == []
    assert site.hub.wait_ended(run_id)["status"] == "succeeded"
    assert (folder / "evil.bin").read_bytes() == peer.content


def test_a_chunk_that_came_twice_is_acknowledged_twice_and_counts_once(
    site: Site, attacker: Attacker, folder: Path, harmless: None
) -> None:
    peer, run_id = begin(site, attacker, folder, numbered(CHUNKS))
    with peer:
        peer.send([0, 1])
        wait_for("a chunk", lambda: site.hub.transfers(run_id)[0]["completed_chunks"], 10)
        for _ in range(3):
            peer.send([0])
        assert peer.finish() == "released"
        assert peer.errors == []
    run = site.hub.wait_ended(run_id)
    assert run["status"] == "succeeded"
    assert run["bytes_done"] == len(peer.content)
    assert (folder / "evil.bin").read_bytes() == peer.content


def test_a_wrong_hash_of_the_whole_file_is_never_published(
    site: Site, attacker: Attacker, folder: Path, harmless: None
) -> None:
    peer, run_id = begin(site, attacker, folder, numbered(CHUNKS), verify="full")
    with peer:
        peer.send(range(CHUNKS))
        peer.complete(file_sha256="0" * 64)
        assert peer.ending() == "hash_mismatch"
    check_failed(site, run_id, folder)


def test_a_wrong_digest_is_tried_once_more_without_what_is_there(
    site: Site, attacker: Attacker, folder: Path, harmless: None
) -> None:
    peer, run_id = begin(site, attacker, folder, numbered(CHUNKS))
    with peer:
        for again in (True, False):
            peer.send(range(CHUNKS))
            peer.complete(chunk_digest="0" * 64)
            assert peer.ending() == "stale_have"
            if again:
                peer.opened()
    check_failed(site, run_id, folder)


def test_a_completion_without_every_chunk_is_no_completion(
    site: Site, attacker: Attacker, folder: Path, harmless: None
) -> None:
    peer, run_id = begin(site, attacker, folder, numbered(CHUNKS))
    with peer:
        peer.send([0, 1, 3])
        peer.complete()
        wait_for("a chunk", lambda: site.hub.transfers(run_id)[0]["completed_chunks"], 10)
        peer.settled()
        (transfer,) = site.hub.transfers(run_id)
        assert transfer["status"] == "transferring"
        assert [name for name in os.listdir(folder) if not name.endswith(".fluxpart")] == []
        peer.hub.client.post(f"/api/runs/{run_id}/cancel")
        assert peer.ending() == "cancelled"
    check_failed(site, run_id, folder, "cancelled")


def test_bytes_beyond_the_window_end_the_link(site: Site, attacker: Attacker, harmless: None) -> None:
    """The destination takes nothing, so that the window stays shut."""
    agent_id, token = site.hub.enrol("sleeper", site.folder)
    with (
        DestinationPeer(site.hub, token.read_text()) as sleeper,
        SourcePeer(site.hub, attacker.token, bytes(64 * MIB)) as peer,
    ):
        job_id = site.hub.job(attacker.agent_id, Path("/data/evil.bin"), agent_id, "/data/", chunk_size=CHUNK)
        run_id = peer.start(job_id, lambda: peer.listing([{"path": "evil.bin", "kind": "file", "size": 1}]))
        peer.accept()
        sleeper.requested()
        sleeper.accept()
        peer.until("transfer_resume")
        try:
            for index in range(peer.total):
                peer.binary(peer.frame(index))
        except (websocket.WebSocketException, OSError):
            pass
        assert peer.ending() == "closed 1008"
        check_refused(site, peer, "window")
    assert site.hub.wait_ended(run_id)["status"] == "failed"


# Offers


@pytest.mark.parametrize(
    ("size", "refusal"),
    [(2**20 * CHUNK + 1, ""), (2**53 - 1, ""), (2**32 * 8 * MIB, "bad_message"), (2**63 - 1, "bad_message")],
)
def test_files_that_cannot_be(
    site: Site, attacker: Attacker, folder: Path, harmless: None, size: int, refusal: str
) -> None:
    with SourcePeer(site.hub, attacker.token, b"x") as peer:
        run_id = peer.offer(attacker.agent_id, site.destination, f"{folder}/")
        peer.accept(size=size)
        if refusal:
            peer.settled(1)
            check_refused(site, peer, refusal)
            peer.items("transfer_accept", {"role": "source", "size": 1})
            peer.until("transfer_resume")
            assert peer.finish() == "released"
            return
    run = site.hub.wait_ended(run_id)
    assert run["status"] == "failed"
    assert "chunk_size" in site.hub.transfers(run_id)[0]["reason"]
    assert os.listdir(folder) == []


def test_an_offer_is_made_once(site: Site, attacker: Attacker, folder: Path, harmless: None) -> None:
    peer, run_id = begin(site, attacker, folder, numbered(CHUNKS))
    with peer:
        for size in (5, len(peer.content), 2**40):
            peer.items("transfer_accept", {"role": "source", "size": size})
        peer.settled(3)
        assert peer.finish() == "released"
        check_refused(site, peer, "out_of_place")
    assert site.hub.wait_ended(run_id)["status"] == "succeeded"
    assert (folder / "evil.bin").read_bytes() == peer.content


# The other end's words, and words that come late


def test_a_source_cannot_play_the_destination(site: Site, attacker: Attacker, folder: Path, harmless: None) -> None:
    peer, run_id = begin(site, attacker, folder, numbered(CHUNKS))
    with peer:
        peer.items("chunk_ack", {"chunks": [[0, CHUNKS - 1]]})
        peer.items("chunk_nack", {"index": 0, "reason": "bad_hash"})
        peer.binary(struct.pack(">4sIII", b"FFXH", peer.wire, 0, 1) + bytes(32))
        peer.items("transfer_accept", {"role": "destination", "state": "equal", "final_path": "/etc/passwd"})
        peer.items("transfer_progress", {"bytes": 2**50, "chunks": 10**9})
        peer.items("transfer_progress", {"bytes": 0, "chunks": 0})
        peer.settled(4)
        assert peer.errors == ["wrong_role"] * 4
        assert not site.hub.transfers(run_id)[0]["completed_chunks"]
        assert peer.finish() == "released"
    assert site.hub.wait_ended(run_id)["status"] == "succeeded"
    assert (folder / "evil.bin").read_bytes() == peer.content


def test_late_words_about_an_ended_transfer_are_dropped_quietly(
    site: Site, attacker: Attacker, folder: Path, harmless: None
) -> None:
    peer, run_id = begin(site, attacker, folder, numbered(CHUNKS))
    with peer:
        assert peer.finish() == "released"
        assert site.hub.wait_ended(run_id)["status"] == "succeeded"
        before = (folder / "evil.bin").stat()
        for index in range(CHUNKS):
            peer.binary(peer.frame(index))
        peer.items("transfer_accept", {"role": "source", "size": 5})
        peer.items("transfer_error", {"code": "io", "message": "too late"})
        peer.items("chunk_ack", {"chunks": [[0, 0]]})
        peer.complete(size=3)
        peer.settled()
        assert peer.errors == []
        for wire, code in ((0, "bad_id"), (0xFFFFFFFF, "unknown_transfer")):
            peer.binary(peer.frame(0, wire=wire))
            peer.settled(1)
            assert peer.errors.pop() == code
    after = (folder / "evil.bin").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert site.hub.show(run_id)["status"] == "succeeded"


def test_words_after_a_cancellation_change_nothing(
    site: Site, attacker: Attacker, folder: Path, harmless: None
) -> None:
    peer, run_id = begin(site, attacker, folder, numbered(CHUNKS))
    with peer:
        peer.send([0])
        peer.hub.client.post(f"/api/runs/{run_id}/cancel")
        assert peer.ending() == "cancelled"
        for index in range(CHUNKS):
            peer.binary(peer.frame(index))
        peer.items("transfer_accept", {"role": "source", "size": len(peer.content)})
        peer.complete()
        peer.settled()
        assert peer.errors == []
    check_failed(site, run_id, folder, "cancelled")
