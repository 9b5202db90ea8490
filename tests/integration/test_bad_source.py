"""A source agent that owns its transfer and sends what no file of that size could hold: refused, audited, nothing wrong is ever published."""

from __future__ import annotations

import os
import random
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import lz4.frame
import psutil
import pytest
import requests
import websocket

from tests.integration.conftest import Site
from tests.integration.harness import wait_for
from tests.integration.hostile import CHUNK, DestinationPeer, SourcePeer, audited, numbered, sha, zstd

CHUNKS = 4
MIB = 2**20
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

REFUSED: dict[str, tuple[Callable[[SourcePeer], bytes], str]] = {
    "B6-one-longer": (lambda p: p.frame(0, zstd(p.chunk(0)), payload_size=len(zstd(p.chunk(0))) + 1, code=1), "truncated"),
    "B6-zero": (lambda p: p.frame(0, zstd(p.chunk(0)), payload_size=0, code=1), "bad_geometry"),
    "B6-sign": (lambda p: p.frame(0, zstd(p.chunk(0)), payload_size=0x7FFFFFFF, code=1), "too_large"),
    "B6-max": (lambda p: p.frame(0, zstd(p.chunk(0)), payload_size=0xFFFFFFFF, code=1), "too_large"),
    "B7-one-byte": (lambda p: p.frame(0) + b"x", "short_header"),
    "B7-a-frame-of-garbage": (lambda p: p.frame(0) + bytes(100_000), "bad_magic"),
    "B8-sign": (lambda p: p.frame(0, zstd(p.chunk(0)), size=0x80000000, code=1), "too_large"),
    "B8-max": (lambda p: p.frame(0, zstd(p.chunk(0)), size=0xFFFFFFFF, code=1), "too_large"),
    "B11-unknown": (lambda p: p.frame(0, code=3), "bad_compression"),
    "B11-high": (lambda p: p.frame(0, code=0xFF), "bad_compression"),
    "B12-none-of-another-length": (lambda p: p.frame(0, p.chunk(0)[:-1]), "bad_geometry"),
    "B13-index-is-total": (lambda p: p.frame(0, index_=CHUNKS), "bad_index"),
    "B13-index-max": (lambda p: p.frame(0, index_=0xFFFFFFFF), "bad_index"),
    "B13-total-zero": (lambda p: p.frame(0, total=0), "bad_geometry"),
    "B13-total-max": (lambda p: p.frame(0, total=0xFFFFFFFF), "bad_geometry"),
}  # fmt: skip


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


def lz4_frames(peer: SourcePeer, **options: object) -> bytes:
    return lz4.frame.compress(peer.chunk(0), **options)


def zeros(length: int) -> bytes:
    maker = lz4.frame.LZ4FrameCompressor(block_size=lz4.frame.BLOCKSIZE_MAX4MB)
    return b"".join(
        [maker.begin(), *(maker.compress(bytes(min(MIB, length - n))) for n in range(0, length, MIB)), maker.flush()]
    )


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


ZSTD_HUGE = bytes.fromhex("28B52FFDE0")

WRONG: dict[str, Callable[[SourcePeer], bytes]] = {
    "B6-one-shorter": lambda p: p.frame(0, zstd(p.chunk(0))[:-1], code=1),
    "B9-zstd-of-more": lambda p: p.frame(0, zstd(p.chunk(0) + b"x"), code=1),
    "B9-lz4-of-more": lambda p: p.frame(0, lz4.frame.compress(p.chunk(0) + b"x"), code=2),
    "B10-zstd-of-less": lambda p: p.frame(0, zstd(p.chunk(0)[:-1]), code=1),
    "B12-zstd-is-raw": lambda p: p.frame(0, code=1),
    "B12-lz4-is-zstd": lambda p: p.frame(0, zstd(p.chunk(0)), code=2),
    "B12-longer-than-its-chunk": lambda p: p.frame(0, p.chunk(0) + b"x", code=1),
    "B14-one-bit-of-the-hash": lambda p: p.frame(0, sha=flipped(sha(p.chunk(0)), 31)),
    "B14-one-bit-of-the-bytes": lambda p: p.frame(0, flipped(p.chunk(0), 1000)),
    "B14-hash-of-zeros": lambda p: p.frame(0, sha=bytes(32)),
    "B14-hash-of-the-payload": lambda p: p.frame(0, zstd(p.chunk(0)), sha=sha(zstd(p.chunk(0))), code=1),
    "B28-zstd-bomb": lambda p: p.frame(0, zstd(bytes(256 * MIB)), code=1),
    "B29-declares-4-GiB": lambda p: p.frame(0, ZSTD_HUGE + struct.pack("<Q", 2**32) + b"\1\0\0", code=1),
    "B29-declares-1-TiB": lambda p: p.frame(0, ZSTD_HUGE + struct.pack("<Q", 2**40) + b"\1\0\0", code=1),
    "B30-window-log-31": lambda p: p.frame(0, bytes.fromhex("28B52FFD00A8010000"), code=1),
    "B31-without-a-size": lambda p: p.frame(0, zstd(bytes(256 * MIB), write_content_size=False)[:CHUNK], code=1),
    "B34-bad-checksum": lambda p: p.frame(0, flipped(zstd(p.chunk(0), write_checksum=True), -1), code=1),
    "B35-lz4-bomb": lambda p: p.frame(0, zeros(32 * MIB), code=2),
    "B35-size-is-a-lie": lambda p: p.frame(0, lz4_frames(p)[:6] + struct.pack("<Q", 2**40) + lz4_frames(p)[14:], code=2),
    "B35-no-end-mark": lambda p: p.frame(0, lz4_frames(p)[:-4], code=2),
    "B36-block-of-2-GiB": lambda p: p.frame(0, lz4_frames(p)[:15] + b"\xff\xff\xff\x7f" + lz4_frames(p)[19:], code=2),
    "B36-block-of-4-GiB": lambda p: p.frame(0, lz4_frames(p)[:15] + b"\xff\xff\xff\xff" + lz4_frames(p)[19:], code=2),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_chunk_is_asked_for_again(
    site: Site, attacker: Attacker, folder: Path, harmless: None, case: str
) -> None:
    peer, run_id = begin(site, attacker, folder, numbered(CHUNKS), hub_check="all")
    with peer:
        peer.post(WRONG[case](peer))
        peer.missing.remove(0)
        assert peer.finish() == "released"
        check_refused(site, peer, "bad_chunk")
    assert site.hub.wait_ended(run_id)["status"] == "succeeded"
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


def pieces_out_of_order(peer: SourcePeer) -> None:
    frame = peer.frame(0)
    for offset in (0, 128 * 1024):
        peer.binary(struct.pack(">4sIII", b"FFXP", peer.wire, 0, offset) + frame[offset : offset + 64 * 1024])


def total_that_changes(peer: SourcePeer) -> None:
    peer.binary(peer.frame(0))
    peer.binary(peer.frame(1, total=CHUNKS + 1))


SPOILED: dict[str, tuple[Callable[[SourcePeer], None], str]] = {
    "B8-one-more": (lambda p: p.binary(p.frame(0, zstd(p.chunk(0)), size=CHUNK + 1, code=1)), "bad_geometry"),
    "B9-says-less": (lambda p: p.binary(p.frame(0, zstd(p.chunk(0)), size=CHUNK - 1, code=1)), "bad_geometry"),
    "B15-another-total": (lambda p: p.binary(p.frame(0, total=CHUNKS + 1)), "bad_geometry"),
    "B15-total-changes": (total_that_changes, "bad_geometry"),
    "B37-10000-chunks": (
        lambda p: p.binary(b"".join(p.frame(0, b"tiny", index_=n, total=10_000, size=4) for n in range(10_000))),
        "bad_geometry",
    ),
    "B39-beyond-the-end": (lambda p: p.binary(p.frame(0, index_=8, total=9)), "bad_geometry"),
    "B39-longer-last-chunk": (lambda p: p.binary(p.frame(CHUNKS - 1, b"x" * (CHUNK + 1), size=CHUNK + 1)), "bad_geometry"),
    "pieces-out-of-order": (pieces_out_of_order, "piece_order"),
    "same-as-nothing": (lambda p: p.items("chunk_same", {"chunks": [[0, 0]]}), "bad_have"),
}  # fmt: skip


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
