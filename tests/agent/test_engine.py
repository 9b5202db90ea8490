"""What the engine does with requests and frames that it should refuse, and how it shares the link and the memory."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace

import pytest

from fileflux.clock import FakeClock
from fileflux.protocol import messages as m
from fileflux.protocol.frames import FrameHeader, encode_have_page, encode_piece, iter_binary
from fileflux.protocol.limits import HEADER_SIZE, KIB, MIB, Limits

from .paired import CHUNK, PART, Side

pytestmark = pytest.mark.unit

REQUEST = m.TransferRequestItem(
    transfer_id=1, role="destination", row_id=1, run_id=1, job_id=1, attempt=1, path="/", name="f", chunk_size=CHUNK,
    part=PART, size=3 * CHUNK,
)  # fmt: skip


@pytest.fixture
def side():
    side = Side(Limits(receive_buffer=6 * CHUNK), FakeClock(), chunks=3)
    side.connect()
    yield side
    assert side.errors == []


def quiet(side):
    choose = random.Random(1)
    while side.workers.step(choose) or side.run_later():
        pass


def said(side, kind):
    return [item for message in side.said if isinstance(message, kind) for item in message.items]


def ask(side, **changes):
    side.hear(m.TransferRequest((replace(REQUEST, **changes),)))


def frame(index=0, wire_id=1, data=None, total=3):
    data = bytes(CHUNK) if data is None else data
    return FrameHeader(wire_id, index, total, hashlib.sha256(data).digest(), len(data), len(data), 0).pack() + data


def opened(side, **changes):
    ask(side, **changes)
    quiet(side)
    assert said(side, m.TransferAccept)


def send(side, whole, piece=64 * KIB, wire_id=1, index=0):
    for offset in range(0, len(whole), piece):
        side.receive(encode_piece(wire_id, index, offset, whole[offset : offset + piece]))


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"chunk_size": CHUNK - 1}, "chunk_size"), ({"chunk_size": 65 * MIB}, "chunk_size"), ({"part": None}, "part")],
)
def test_requests_that_no_hub_may_make(side, changes, field):
    ask(side, **changes)
    assert [error.field for error in side.violations] == [field]
    assert side.engine.active == 0


def test_a_wire_id_is_used_once(side):
    opened(side)
    ask(side, size=5)
    assert [error.field for error in side.violations] == ["transfer_id"]
    assert side.engine.active == 1


@pytest.mark.parametrize(
    "changes", [{"chunk_size": 2 * MIB}, {"size": 2**60}, {"chunk_size": 2 * MIB, "role": "source"}]
)
def test_requests_that_cannot_be_met(side, changes):
    ask(side, **changes)
    quiet(side)
    errors = said(side, m.TransferErrorMessage)
    assert [(item.code, item.role) for item in errors] == [("too_large", changes.get("role", "destination"))]


def test_a_bad_item_does_not_take_the_others_with_it(side):
    side.hear(m.TransferRequest((replace(REQUEST, part=None), replace(REQUEST, transfer_id=2))))
    quiet(side)
    assert [item.transfer_id for item in said(side, m.TransferAccept)] == [2]


def test_frames_of_nobody_are_dropped_quietly(side):
    send(side, frame(wire_id=5), wire_id=5)
    side.receive(frame(wire_id=6, data=b"x"))
    assert side.violations == []
    assert side.receiving.in_use == 0


@pytest.mark.parametrize(
    "bad",
    [
        frame(total=4),
        frame(data=bytes(CHUNK - 1)),
        frame(index=2, data=bytes(CHUNK - 1)),
        b"",
        b"XXXX" + bytes(60),
        frame()[:100],
    ],
)
def test_bad_frames_are_refused_and_the_transfer_lives(side, bad):
    opened(side)
    side.receive(bad)
    assert len(side.violations) == 1
    assert not side.violations[0].close
    side.receive(frame())
    quiet(side)
    assert side.workers.disk.parts[PART] == bytes(CHUNK)


def test_a_frame_before_the_accept_is_out_of_place(side):
    ask(side)
    side.receive(frame())
    assert [error.code for error in side.violations] == ["out_of_place"]


def test_pieces_out_of_order_end_the_transfer(side):
    opened(side)
    whole = frame()
    side.receive(encode_piece(1, 0, 0, whole[: 64 * KIB]))
    side.receive(encode_piece(1, 0, 128 * KIB, whole[128 * KIB : 192 * KIB]))
    quiet(side)
    assert [item.code for item in said(side, m.TransferErrorMessage)] == ["protocol"]
    assert side.receiving.in_use == 0


def test_a_chunk_that_starts_over_replaces_its_half(side):
    opened(side)
    whole = frame(data=random.Random(1).randbytes(CHUNK))
    side.receive(encode_piece(1, 0, 0, whole[: 64 * KIB]))
    send(side, whole)
    quiet(side)
    assert side.workers.disk.parts[PART] == whole[HEADER_SIZE:]


def test_frames_wait_for_memory_in_their_order_and_lose_nothing(side):
    for wire_id in range(1, 7):
        opened(side, transfer_id=wire_id, part=f"{wire_id:032x}", name=f"f{wire_id}", size=CHUNK)
    contents = [random.Random(wire_id).randbytes(CHUNK) for wire_id in range(1, 7)]
    wholes = [frame(wire_id=wire_id + 1, data=data, total=1) for wire_id, data in enumerate(contents)]
    for offset in range(0, len(wholes[0]), 64 * KIB):
        for wire_id, whole in enumerate(wholes, 1):
            side.receive(encode_piece(wire_id, 0, offset, whole[offset : offset + 64 * KIB]))
    assert side.violations == []
    quiet(side)
    assert [bytes(side.workers.disk.parts[f"{wire_id:032x}"]) for wire_id in range(1, 7)] == contents
    assert side.engine._receiver.waiting_bytes == 0


def test_more_than_the_receive_buffer_closes_the_link(side):
    for wire_id in range(1, 12):
        opened(side, transfer_id=wire_id, part=f"{wire_id:032x}", name=f"f{wire_id}", size=CHUNK)
    for wire_id in range(1, 12):
        send(side, frame(wire_id=wire_id, total=1), wire_id=wire_id)
    assert side.violations
    assert side.violations[0].close
    side.cut()
    assert side.engine._receiver.waiting_bytes == 0
    quiet(side)
    assert side.receiving.in_use == 0


def source(side, wire_id, data, up_to=64 * MIB):
    name = f"s{wire_id}"
    side.disk.files[name] = data
    item = replace(REQUEST, transfer_id=wire_id, role="source", name=name, part=None)
    side.hear(m.TransferRequest((item,)))
    quiet(side)
    side.hear(m.TransferResume((m.TransferResumeItem(wire_id, up_to=up_to),)))


def test_sources_take_turns_on_the_link(side):
    for wire_id in (1, 2, 3):
        source(side, wire_id, random.Random(wire_id).randbytes(CHUNK))
    order = []
    while side.engine.active and len(order) < 500:
        quiet(side)
        if not side.link.queue:
            break
        order.append(next(iter_binary(side.link.take(), Limits())).transfer_id)
    first = order[: len(order) // 2]
    assert all(first.count(wire_id) >= 1 for wire_id in (1, 2))
    assert set(order) == {1, 2, 3}


def test_the_queue_of_the_link_is_bounded(side):
    source(side, 1, random.Random(1).randbytes(40 * CHUNK))
    quiet(side)
    assert 0 < side.link.queued_bytes <= 5 * MIB
    assert side.reading.in_use <= side.reading.size


def test_small_frames_share_messages(side):
    items = []
    for wire_id in range(1, 60):
        side.disk.files[f"s{wire_id}"] = bytes([wire_id]) * 1000
        items.append(replace(REQUEST, transfer_id=wire_id, role="source", name=f"s{wire_id}", part=None))
    side.hear(m.TransferRequest(tuple(items)))
    quiet(side)
    side.engine.pause(paused=True)
    side.hear(m.TransferResume(tuple(m.TransferResumeItem(item.transfer_id, up_to=MIB) for item in items)))
    quiet(side)
    assert side.link.queue == []
    side.turns.post(lambda: side.engine.pause(paused=False))
    assert len(side.link.queue) == 2
    frames = [item for _ in range(2) for item in iter_binary(side.link.take(), Limits())]
    assert {item.header.transfer_id for item in frames} == set(range(1, 60))


def test_a_cancelled_source_leaves_nothing_in_the_queue(side):
    source(side, 1, random.Random(1).randbytes(10 * CHUNK))
    quiet(side)
    side.hear(m.CancelTransfer((m.CancelTransferItem(1, "enough"),)))
    quiet(side)
    assert side.link.queue == []
    assert side.reading.in_use == 0
    assert side.engine.active == 0


def test_progress_is_told_while_files_move(side):
    source(side, 1, random.Random(1).randbytes(20 * CHUNK))
    quiet(side)
    sent = 0
    while sent < 3 * CHUNK:
        sent += len(side.link.take())
        quiet(side)
    side.engine.tick(5000.0)
    quiet(side)
    (progress,) = said(side, m.TransferProgress)
    assert progress.transfer_id == 1
    assert 0 < progress.bytes < 20 * CHUNK


def test_a_release_of_something_unknown_is_answered(side):
    side.hear(m.TransferRelease((m.TransferReleaseItem(9),)))
    quiet(side)
    assert [item.code for item in said(side, m.TransferReleased)] == ["unknown"]


def test_have_pages_that_a_resume_has_overtaken_still_count(side):
    data = random.Random(1).randbytes(2 * CHUNK)
    side.disk.files["s1"] = data
    side.hear(m.TransferRequest((replace(REQUEST, role="source", name="s1", part=None),)))
    quiet(side)
    side.hear(m.TransferResume((m.TransferResumeItem(1, have_count=2, up_to=MIB),)))
    side.hear(m.Window((m.WindowItem(1, 8 * MIB),)))
    quiet(side)
    assert side.link.queue == []
    for index in range(2):
        side.receive(encode_have_page(1, index, hashlib.sha256(data[index * CHUNK : (index + 1) * CHUNK]).digest()))
    quiet(side)
    assert said(side, m.ChunkSame) == [m.ChunksItem(1, ((0, 1),))]
    assert side.link.queue == []
    assert side.violations == []
