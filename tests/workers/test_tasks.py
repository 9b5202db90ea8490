from __future__ import annotations

import errno
import hashlib

import pytest

from fileflux.errors import ConflictError, FluxError, LocalProtocolError, TransferError
from fileflux.protocol.compression import decompress
from fileflux.protocol.frames import FrameHeader
from fileflux.workers.slots import Arena, ArenaView
from fileflux.workers.tasks import describe_error, describe_os_error, error_from, hub_tasks, password_outdated


@pytest.mark.parametrize(
    ("number", "code", "retryable"),
    [
        (errno.ENOSPC, "no_space", True),
        (errno.EDQUOT, "no_space", True),
        (errno.EACCES, "permission", False),
        (errno.EPERM, "permission", False),
        (errno.ENOENT, "not_found", False),
        (errno.EROFS, "read_only", False),
        (errno.EIO, "io", True),
        (errno.ELOOP, "io", True),
    ],
)
def test_errors_of_the_system_have_codes(number, code, retryable):
    error = describe_os_error(OSError(number, "it says", "/a\udcffb"))
    assert (error.code, error.retryable, error.message) == (code, retryable, "it says: /a\\xffb")


def test_errors_without_number_or_name():
    assert describe_os_error(TimeoutError()).message == "TimeoutError"
    assert describe_os_error(OSError("odd")).code == "io"


@pytest.mark.parametrize(
    ("error", "kind", "code", "retryable", "message"),
    [
        (TransferError("no room", code="no_space"), TransferError, "no_space", True, "no room"),
        (TransferError("no room", code="no_space", retryable=False), TransferError, "no_space", False, "no room"),
        (ConflictError("x\udcff"), FluxError, "conflict", False, "x\\udcff"),
        (PermissionError(errno.EACCES, "no"), TransferError, "permission", False, "no"),
        (KeyError("a secret detail"), TransferError, "internal", False, "KeyError"),
    ],
)
def test_errors_survive_the_way_to_the_parent(error, kind, code, retryable, message):
    back = error_from(describe_error(error))
    assert type(back) is kind
    assert (back.code, back.retryable, back.message) == (code, retryable, message)


def test_long_messages_are_cut():
    assert len(describe_error(TransferError("x" * 5000, code="io"))["message"]) == 500


@pytest.fixture
def hub():
    arena = Arena(1 << 20)
    view = ArenaView(arena.fd, arena.size)
    yield arena, hub_tasks({}, view)
    view.close()
    arena.close()


def frame_of(data: bytes, **changes) -> bytes:
    fields = {
        "transfer_id": 1, "index": 0, "total": 1, "sha256": hashlib.sha256(data).digest(),
        "size": len(data), "payload_size": len(data), "compression": 0,
    }  # fmt: skip
    return FrameHeader(**{**fields, **changes}).pack() + data


def check(hub, frame: bytes):
    arena, tasks = hub
    slot = arena.alloc(len(frame))
    slot.view[:] = frame
    try:
        return tasks["check_chunk"]({"slot": [slot.offset, len(frame)]})
    finally:
        slot.release()


@pytest.mark.parametrize("data", [b"", b"hello" * 1000])
def test_a_right_chunk(hub, data):
    assert check(hub, frame_of(data)) == {"ok": True, "reason": ""}


def test_a_right_compressed_chunk(hub):
    import zstandard

    data = b"hello" * 1000
    payload = zstandard.ZstdCompressor(level=1).compress(data)
    assert bytes(decompress(1, payload, len(data))) == data
    header = FrameHeader(
        transfer_id=1, index=0, total=1, sha256=hashlib.sha256(data).digest(), size=len(data),
        payload_size=len(payload), compression=1,
    )  # fmt: skip
    assert check(hub, header.pack() + payload)["ok"]
    assert not check(hub, header.pack() + payload[:-1] + b"\x00")["ok"]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (frame_of(b"hello", sha256=bytes(32)), "SHA-256"),
        (frame_of(b"hello")[:-1], "bytes"),
        (frame_of(b"hello") + b"x", "bytes"),
        (b"XXXX" + frame_of(b"hello")[4:], ""),
        (b"FFXF", ""),
        (frame_of(b"hello", compression=1), ""),
    ],
)
def test_a_wrong_chunk_has_a_reason(hub, frame, reason):
    result = check(hub, frame)
    assert not result["ok"]
    assert result["reason"]
    assert reason in result["reason"]


def test_a_slot_outside_the_arena_is_our_own_fault(hub):
    with pytest.raises(LocalProtocolError):
        hub[1]["check_chunk"]({"slot": [0, 1 << 30]})
    with pytest.raises(LocalProtocolError):
        hub_tasks({}, None)["check_chunk"]({"slot": [0, 1]})


def test_passwords(hub):
    tasks = hub[1]
    hashed = tasks["hash_password"]({"password": "corräct"})["hash"]
    assert hashed.startswith("$argon2id$")
    assert tasks["check_password"]({"password": "corräct", "hash": hashed}) == {"ok": True}
    assert tasks["check_password"]({"password": "wrong", "hash": hashed}) == {"ok": False}
    assert tasks["check_password"]({"password": "wrong", "hash": "no hash"}) == {"ok": False}
    assert [password_outdated(text) for text in (hashed, "no hash", "", hashed.replace("t=3", "t=2"))] == [
        False, False, False, True,
    ]  # fmt: skip
