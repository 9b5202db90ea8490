"""A destination agent that owns its transfer and says what did not happen: refused and audited, and no word of it is believed."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Site
from tests.integration.harness import wait_for
from tests.integration.hostile import CHUNK, DestinationPeer, audited

CHUNKS = 4
ACTOR = "bad-destination"


@pytest.fixture(scope="module")
def attacker(site: Site) -> tuple[int, str]:
    agent_id, path = site.hub.enrol(ACTOR, site.folder)
    return agent_id, path.read_text()


@pytest.fixture
def source(site: Site) -> Iterator[Path]:
    path = site.source.read / f"victim-{os.urandom(4).hex()}.bin"
    path.write_bytes(os.urandom(CHUNKS * CHUNK))
    yield path
    path.unlink()


@pytest.fixture
def peer(site: Site, attacker: tuple[int, str]) -> Iterator[DestinationPeer]:
    with DestinationPeer(site.hub, attacker[1]) as made:
        yield made


def honest(site: Site, peer: DestinationPeer, run_id: int, source: Path) -> None:
    """From here on the destination does what it should, and the run succeeds: nothing was spoiled."""
    peer.receive()
    peer.ack([0, peer.total - 1])
    commit = peer.committed()
    assert commit["size"] == source.stat().st_size
    peer.complete(commit["size"], hashlib.sha256(source.read_bytes()).hexdigest())
    assert site.hub.wait_ended(run_id)["status"] == "succeeded"
    assert site.hub.transfers(run_id)[0]["file_hash"] == hashlib.sha256(source.read_bytes()).hexdigest()


def check_refused(site: Site, peer: DestinationPeer, code: str) -> None:
    peer.settled(1)
    assert peer.errors == [code]
    wait_for(f"{code} in the audit log", lambda: code in audited(site.hub, f"agent:{ACTOR}"), 5)
    peer.errors.clear()


BEFORE: dict[str, tuple[Callable[[DestinationPeer], None], str]] = {
    "B40-ack-of-what-was-never-sent": (lambda p: p.ack([0, 0]), "bad_ack"),
    "B40-ack-of-everything": (lambda p: p.ack([0, CHUNKS - 1]), "bad_ack"),
    "B40-ack-beyond-the-end": (lambda p: p.ack([0, 2**31]), "bad_index"),
    "B40-ack-of-minus-one": (lambda p: p.ack([-1, 0]), "bad_message"),
    "B40-nack-of-what-was-never-sent": (lambda p: p.items("chunk_nack", {"index": 0, "reason": "x"}), "bad_ack"),
    "B21-complete-at-once": (lambda p: p.complete(CHUNKS * CHUNK, "0" * 64), "out_of_place"),
    "J14-more-hashes-than-chunks": (lambda p: p.accept(have_count=CHUNKS + 1), "bad_message"),
    "J14-accept-without-a-state": (lambda p: p.accept(state=None), "bad_message"),
    "J13-accept-as-the-source": (lambda p: p.accept(role="source"), "wrong_role"),
    "have-page-that-does-not-fit": (
        lambda p: p.binary(struct.pack(">4sIII", b"FFXH", p.wire, CHUNKS, 1) + bytes(32)),
        "bad_have",
    ),
}


@pytest.mark.parametrize("case", BEFORE)
def test_words_out_of_place_are_refused(
    site: Site, attacker: tuple[int, str], peer: DestinationPeer, source: Path, case: str
) -> None:
    act, code = BEFORE[case]
    run_id = peer.ask_for(attacker[0], site.source, source)
    act(peer)
    check_refused(site, peer, code)
    peer.accept()
    honest(site, peer, run_id, source)


def frame(peer: DestinationPeer) -> bytes:
    values = (peer.wire, 0, peer.total, bytes(32), CHUNK, CHUNK, 0)
    return struct.pack(">4sIII32sIIB", b"FFXF", *values) + bytes(CHUNK)


MOVING: dict[str, tuple[Callable[[DestinationPeer], None], str]] = {
    "B24-frame": (lambda p: p.binary(frame(p)), "wrong_role"),
    "B24-same": (lambda p: p.items("chunk_same", {"chunks": [[0, 0]]}), "wrong_role"),
    "B21-complete-before-the-commit": (lambda p: p.complete(CHUNKS * CHUNK, "0" * 64), "out_of_place"),
    "J14-accept-twice": (lambda p: p.accept(), "out_of_place"),
    "J14-accept-as-equal": (lambda p: p.accept(state="equal"), "out_of_place"),
    "have-page-too-late": (
        lambda p: p.binary(struct.pack(">4sIII", b"FFXH", p.wire, 0, 1) + bytes(32)),
        "bad_have",
    ),
}


@pytest.mark.parametrize("case", MOVING)
def test_words_out_of_place_in_mid_transfer_are_refused(
    site: Site, attacker: tuple[int, str], peer: DestinationPeer, source: Path, case: str
) -> None:
    act, code = MOVING[case]
    run_id = peer.ask_for(attacker[0], site.source, source)
    peer.accept()
    peer.receive()
    act(peer)
    check_refused(site, peer, code)
    honest(site, peer, run_id, source)


def test_an_ack_counts_once(site: Site, attacker: tuple[int, str], peer: DestinationPeer, source: Path) -> None:
    run_id = peer.ask_for(attacker[0], site.source, source)
    peer.accept()
    peer.receive()
    for _ in range(5):
        peer.ack([0, 1])
    peer.settled()
    wait_for("two chunks", lambda: site.hub.transfers(run_id)[0]["completed_chunks"] == 2, 5)
    honest(site, peer, run_id, source)
    ended = peer.wire
    for _ in range(2):
        peer.ack([0, CHUNKS - 1])
        peer.items("chunk_nack", {"index": 0, "reason": "late"})
        peer.complete(5, "0" * 64)
    peer.settled()
    assert peer.errors == [], "late words about an ended transfer are dropped"
    # An ack under the number of an earlier attempt moves nothing in a later one.
    run_id = peer.ask_for(attacker[0], site.source, source)
    peer.accept()
    peer.arrived.clear()
    peer.receive()
    peer.items("chunk_ack", {"transfer_id": ended, "chunks": [[0, CHUNKS - 1]]})
    peer.settled()
    assert not site.hub.transfers(run_id)[0]["completed_chunks"]
    assert peer.errors == []
    honest(site, peer, run_id, source)


def test_another_result_than_was_agreed_is_not_believed(
    site: Site, attacker: tuple[int, str], peer: DestinationPeer, source: Path
) -> None:
    run_id = peer.ask_for(attacker[0], site.source, source, verify="full")
    peer.accept()
    peer.receive()
    peer.ack([0, CHUNKS - 1])
    size = peer.committed()["size"]
    for wrong_size, wrong_hash in ((size, "0" * 64), (size - 1, hashlib.sha256(source.read_bytes()).hexdigest())):
        peer.complete(wrong_size, wrong_hash)
        check_refused(site, peer, "bad_message")
    assert site.hub.show(run_id)["status"] not in {"succeeded", "partial"}
    peer.complete(size, hashlib.sha256(source.read_bytes()).hexdigest())
    assert site.hub.wait_ended(run_id)["status"] == "succeeded"


def test_a_destination_that_likes_no_chunk_ends_its_transfer(
    site: Site, attacker: tuple[int, str], peer: DestinationPeer, source: Path
) -> None:
    run_id = peer.ask_for(attacker[0], site.source, source)
    peer.accept()
    for _ in range(6):
        peer.arrived.discard(0)
        peer.receive()
        peer.items("chunk_nack", {"index": 0, "reason": "bad_hash"})
    run = site.hub.wait_ended(run_id)
    assert run["status"] == "failed"
    (transfer,) = site.hub.transfers(run_id)
    assert "chunk 0 was refused 6 times" in transfer["reason"]
    assert source.exists()


def test_the_transfer_of_others_is_none_of_its_business(
    site: Site, attacker: tuple[int, str], source: Path, big: Path
) -> None:
    """Wire ids are no secret: whoever takes part in one transfer and names another, which is live, loses its link."""
    target = site.destination.write / f"victim-{os.urandom(4).hex()}.bin"
    with DestinationPeer(site.hub, attacker[1]) as peer:
        peer.ask_for(attacker[0], site.source, source)
        victim = site.hub.run(site.hub.job(site.source.id, big, site.destination.id, target, compression="none"))
        wait_for("the victim to move", lambda: site.hub.show(victim)["bytes_done"] > 0, 20)
        for wire in range(peer.wire + 1, peer.wire + 5):
            peer.items("chunk_ack", {"transfer_id": wire, "chunks": [[0, 0]]})
        while peer.next() is not None:
            pass
        assert peer.closed == 1008
        assert "foreign_transfer" in peer.errors
    wait_for("the audit log", lambda: "foreign_transfer" in audited(site.hub, f"agent:{ACTOR}"), 5)
    assert site.hub.wait_ended(victim)["status"] == "succeeded"
    assert target.read_bytes() == big.read_bytes()
    target.unlink()
