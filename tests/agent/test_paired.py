"""Both ends of a transfer against each other: any order of work, cuts, lost workers, refused chunks."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fileflux.errors import TransferError
from fileflux.protocol import messages as m
from flux_agent.transfer import comparison

from .paired import CHUNK, PART, PairedTransfer

pytestmark = pytest.mark.unit

SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 9 * CHUNK + 17]


def content(size, seed=1):
    return random.Random(seed).randbytes(size)


def check(pair, data):
    assert isinstance(pair.result, m.TransferCompleteItem), pair.result
    assert pair.result.file_sha256 == hashlib.sha256(data).hexdigest()
    assert pair.sink.disk.files["f"] == data
    assert pair.sink.disk.renames == ["f"]
    nothing_left(pair)


def nothing_left(pair):
    pair.settle()
    for side in (pair.source, pair.sink):
        assert side.errors == []
        assert side.engine.active == 0
        assert side.reading.in_use == side.receiving.in_use == 0
        assert side.workers.open == set()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("verify", ["chunks", "full"])
def test_every_size_arrives(size, verify):
    data = content(size)
    pair = PairedTransfer(data, seed=size, verify=verify)
    pair.begin()
    pair.run()
    check(pair, data)
    assert pair.done.file_sha256 == (hashlib.sha256(data).hexdigest() if verify == "full" or size <= CHUNK else None)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.sampled_from(SIZES), window=st.sampled_from([1, 2, 8]))
def test_any_order_of_work_within_any_window(seed, size, window):
    data = content(size)
    pair = PairedTransfer(data, seed=seed, window=window * (CHUNK + 57))
    pair.begin()
    pair.run()
    assert pair.frames_forwarded == pair.total
    check(pair, data)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), verify=st.sampled_from(["chunks", "full"]))
def test_links_that_are_cut_lose_nothing_and_repeat_a_window_at_most(seed, verify):
    data = content(9 * CHUNK + 17)
    pair = PairedTransfer(data, seed=seed, window=3 * (CHUNK + 57), verify=verify)
    pair.begin()
    pair.run(cut_chance=0.01)
    assert pair.frames_forwarded <= pair.total + pair.cuts * 4
    check(pair, data)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), deaths=st.integers(1, 4))
def test_lost_workers_are_made_good(seed, deaths):
    data = content(5 * CHUNK)
    pair = PairedTransfer(data, seed=seed, verify="full")
    pair.source.workers.die_next = pair.sink.workers.die_next = deaths
    pair.begin()
    pair.run()
    check(pair, data)


def test_a_task_that_kills_every_worker_ends_the_transfer():
    pair = PairedTransfer(content(CHUNK))
    pair.source.workers.die_next = 1000
    pair.begin()
    pair.run()
    assert (pair.result.code, pair.result.retryable) == ("worker_died", True)
    nothing_left(pair)


def test_a_refused_chunk_is_sent_again():
    data = content(4 * CHUNK)
    pair = PairedTransfer(data, seed=3)
    pair.sink.workers.corrupt_writes = 2
    pair.begin()
    pair.run()
    assert pair.frames_forwarded == 6
    check(pair, data)


@pytest.fixture(params=["beforehand", "as they are read"])
def compared(request, monkeypatch):
    """Small files are compared chunk by chunk, as they are read; with no file small it happens beforehand."""
    if request.param == "beforehand":
        monkeypatch.setattr(comparison, "SMALL", 0)
        monkeypatch.setattr(comparison, "STEP_BYTES", 2 * CHUNK)


@pytest.mark.parametrize("basis", ["part", "final"])
@pytest.mark.usefixtures("compared")
def test_equal_chunks_are_not_sent(basis):
    data = content(6 * CHUNK + 5)
    old = bytearray(data[: 5 * CHUNK])
    old[2 * CHUNK] ^= 1
    pair = PairedTransfer(data, seed=5)
    if basis == "part":
        pair.sink.disk.parts[PART] = bytearray(old)
    else:
        pair.sink.disk.files["f"] = bytes(old)
    pair.begin()
    pair.run()
    assert pair.frames_forwarded == 3
    check(pair, data)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32),
    basis=st.sampled_from(["part", "final"]),
    changed=st.sets(st.integers(0, 18)),
    cut_chance=st.sampled_from([0.0, 0.02]),
    deaths=st.integers(0, 2),
)
@pytest.mark.usefixtures("compared")
def test_any_chunks_may_differ_while_links_are_cut_and_workers_die(seed, basis, changed, cut_chance, deaths):
    data = content(20 * CHUNK + 5)
    old = bytearray(data[: 19 * CHUNK])
    for index in changed:
        old[index * CHUNK] ^= 1
    pair = PairedTransfer(data, seed=seed)
    pair.source.workers.die_next = deaths
    if basis == "part":
        pair.sink.disk.parts[PART] = old
    else:
        pair.sink.disk.files["f"] = bytes(old)
    pair.begin()
    pair.run(cut_chance=cut_chance)
    check(pair, data)
    if not cut_chance:
        assert pair.frames_forwarded == len(changed) + 2


def test_a_file_that_is_not_there():
    pair = PairedTransfer(b"")
    del pair.source.disk.files["f"]
    pair.begin()
    pair.run()
    assert (pair.result.code, pair.result.retryable) == ("not_found", False)
    nothing_left(pair)


def test_a_failed_sync_voids_the_part():
    pair = PairedTransfer(content(3 * CHUNK))
    pair.sink.workers.fail["sink_sync"] = TransferError("disk", code="io")
    pair.begin()
    pair.run()
    assert (pair.result.code, pair.result.retryable) == ("io", True)
    nothing_left(pair)
    assert pair.sink.disk.parts == {}
    assert pair.acked.count == 0


def test_a_full_disk_keeps_the_part_for_the_next_attempt():
    data = content(3 * CHUNK)
    pair = PairedTransfer(data)
    pair.sink.workers.fail["sink_write"] = TransferError("full", code="no_space")
    pair.begin()
    pair.run()
    assert pair.result.code == "no_space"
    pair.settle()
    assert PART in pair.sink.disk.parts
    pair.result = None
    pair.begin(attempt=2)
    pair.run()
    check(pair, data)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), steps=st.integers(0, 300), discard=st.booleans())
def test_a_cancel_at_any_moment_leaves_nothing_behind(seed, steps, discard):
    pair = PairedTransfer(content(5 * CHUNK), seed=seed)
    pair.begin()
    for _ in range(steps):
        if pair.result is None and not pair.committed:
            pair._step()
    if pair.committed:
        return
    cancel = m.CancelTransfer((m.CancelTransferItem(pair.wire, "test", discard=discard),))
    pair.wire += 1000
    pair.source.hear(cancel)
    pair.sink.hear(cancel)
    nothing_left(pair)
    assert pair.sink.disk.renames == []
    if discard:
        assert pair.sink.disk.parts == {}


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), steps=st.integers(0, 300))
def test_a_new_session_at_any_moment_closes_everything_and_a_new_attempt_goes_on(seed, steps):
    data = content(5 * CHUNK)
    pair = PairedTransfer(data, seed=seed)
    pair.begin()
    for _ in range(steps):
        if pair.result is None and not pair.committed:
            pair._step()
    if pair.committed:
        return
    for side in (pair.source, pair.sink):
        side.cut()
        side.said.clear()
        side.turns.post(side.engine.reset)
        side.connect()
    # The new attempt names the same part while tasks of the old one may still be running.
    pair.begin(attempt=2)
    pair.run()
    check(pair, data)


def test_two_live_transfers_to_one_name():
    pair = PairedTransfer(content(3 * CHUNK), seed=1)
    pair.begin()
    pair.run(until=lambda: pair.up_to > 0)
    other = m.TransferRequestItem(
        transfer_id=99,
        role="destination",
        row_id=2,
        run_id=1,
        job_id=1,
        attempt=1,
        path="/",
        name="f",
        chunk_size=CHUNK,
        part="1" * 32,
    )
    pair.sink.hear(m.TransferRequest((other,)))
    heard = []
    pair.sink.send = lambda message: (heard.append(message), pair.sink.said.append(message))
    pair.run()
    (busy,) = [message.items[0] for message in heard if isinstance(message, m.TransferErrorMessage)]
    assert (busy.transfer_id, busy.code, busy.retryable) == (99, "busy", True)
    assert pair.sink.disk.renames == ["f"]


def test_a_digest_that_does_not_agree_is_stale():
    pair = PairedTransfer(content(3 * CHUNK), seed=1)
    pair.tamper = lambda item: replace(item, chunk_digest="0" * 64)
    pair.begin()
    pair.run()
    assert (pair.result.code, pair.result.retryable) == ("stale_have", True)
    assert "f" not in pair.sink.disk.files


def test_a_whole_file_hash_that_does_not_agree_is_never_published():
    pair = PairedTransfer(content(3 * CHUNK), seed=1)
    pair.tamper = lambda item: replace(item, file_sha256="0" * 64)
    pair.begin()
    pair.run()
    assert (pair.result.code, pair.result.retryable) == ("hash_mismatch", False)
    nothing_left(pair)
    assert "f" not in pair.sink.disk.files
    assert pair.sink.disk.parts == {}


def test_the_newest_of_several_requests_for_one_part_gets_it():
    data = content(3 * CHUNK)
    pair = PairedTransfer(data, seed=2)
    pair.begin()
    pair.run(until=lambda: pair.up_to > 0)
    for wire_id in (70, 71):
        older = m.TransferRequestItem(
            transfer_id=wire_id, role="destination", row_id=1, run_id=1, job_id=1, attempt=2, path="/", name="f",
            chunk_size=CHUNK, part=PART, size=len(data),
        )  # fmt: skip
        pair.sink.hear(m.TransferRequest((older,)))
    pair.source.hear(m.CancelTransfer((m.CancelTransferItem(pair.wire, "lost"),)))
    pair.wire = 100
    pair.begin(attempt=3)
    pair.run()
    check(pair, data)


def test_parts_of_live_transfers_are_discarded_when_they_let_go():
    pair = PairedTransfer(content(3 * CHUNK), seed=2)
    pair.begin()
    pair.run(until=lambda: PART in pair.sink.disk.parts)
    pair.sink.hear(m.DiscardPart((m.DiscardPartItem("/", PART),)))
    pair.source.hear(m.CancelTransfer((m.CancelTransferItem(pair.wire, "lost"),)))
    pair.wire = 100
    nothing_left(pair)
    assert pair.sink.disk.parts == {}
