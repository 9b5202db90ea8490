"""The receiving end of a bundle, driven by what hub and workers say."""

from __future__ import annotations

from typing import Any

import pytest

from fileflux.errors import RemoteProtocolError, TransferError, WorkerDiedError
from fileflux.protocol import messages as m
from fileflux.protocol.bundles import check_bundle
from fileflux.protocol.frames import FrameHeader
from fileflux.protocol.limits import BUNDLE_BYTES, BUNDLE_FILES
from flux_agent.transfer.bundle_sink import BundleSink, State
from flux_agent.transfer.effects import Broadcast, Effect, Finished, RunTask, SendItem

pytestmark = pytest.mark.unit

SHA = "c" * 64
REQUEST = m.BundleRequestItem(
    9, "destination", 5, "/out", ("a", "b", "c"), (1, 2, 3), (7, 8, 9), (1, 2, 3), tuple(f"{n:032x}" for n in range(3))
)  # fmt: skip


class Slot:
    offset, size = 0, 63
    released = False

    def release(self) -> None:
        self.released = True


def header(size: int = 5, index: int = 0, total: int = 1) -> FrameHeader:
    return FrameHeader(9, index, total, bytes(32), size, size, 0)


def tasks(effects: list[Effect]) -> list[RunTask]:
    return [effect for effect in effects if isinstance(effect, RunTask)]


def sent(effects: list[Effect]) -> list[Any]:
    return [effect.item for effect in effects if isinstance(effect, SendItem)]


def opened(*states: str, claims: dict[str, int] | None = None) -> tuple[BundleSink, list[Effect]]:
    sink = BundleSink(REQUEST, {} if claims is None else claims)
    (task,) = tasks(sink.begin())
    assert (task.task, task.args["names"]) == ("bundle_open", ("a", "b", "c"))
    return sink, sink.task_done(task, {"path": "/out/", "states": list(states)}, None, 0.0)


def written() -> BundleSink:
    sink, _ = opened("new", "equal", "new")
    slot = Slot()
    (task,) = tasks(sink.frame_ready(0, slot))  # type: ignore[arg-type]  # all that is asked of a slot
    assert (task.args["names"], task.args["modes"], task.args["sizes"]) == (["a", "c"], [1, 3], [1, 3])
    effects = sink.task_done(task, {"sha": SHA, "digests": ["d" * 64, "e" * 64], "identities": [[1], [2]]}, None, 1.0)
    assert slot.released
    assert sent(effects) == [m.ChunksItem(9, ((0, 0),))]
    return sink


def commit(sink: BundleSink, **changes: Any) -> list[Effect]:
    digest = sink._digest.hexdigest()
    args = {"size": 4, "chunk_digest": digest, "file_sha256": None, "mtime_ns": 0, "mode": 0} | changes
    return sink.committed(m.TransferCommitItem(9, **args), 2.0)


def test_a_bundle_from_its_request_to_its_end() -> None:
    claims: dict[str, int] = {}
    sink, effects = opened("new", "skipped", "new", claims=claims)
    assert sent(effects) == [m.BundleAcceptItem(9, "destination", "/out/", ("new", "skipped", "new"))]
    assert claims == {"/out/a": 9, "/out/c": 9}
    assert sink.wants(header(4), 0.0) == (True, [])
    sink = written()
    (task,) = tasks(commit(sink, alone=((1, 1),)))
    assert (task.task, task.args["identities"], task.args["alone"]) == ("bundle_commit", [[1], [2]], ((1, 1),))
    effects = sink.task_done(task, {"alone": [1]}, None, 3.0)
    assert sent(effects) == [m.BundleCompleteItem(9, "destination", ("d" * 64, "e" * 64), ((1, 1),))]
    assert any(isinstance(effect, Finished) for effect in effects)
    assert not tasks(effects), "nothing is left to discard"


def test_nothing_wanted_closes_it() -> None:
    _, effects = opened("equal", "alone", "skipped")
    assert [type(effect) for effect in effects][-1] is Finished
    assert not tasks(effects)


def test_a_name_that_another_transfer_fills_is_alone() -> None:
    claims = {"/out/a": 3}
    sink, effects = opened("new", "new", "equal", claims=claims)
    assert sent(effects)[0].states == ("alone", "new", "equal")
    (discard,) = tasks(sink.cancel(discard=True))
    assert discard.args["names"] == ["b"]
    sink.task_done(discard, {}, None, 0.0)
    assert claims == {"/out/a": 3}


def test_frames_that_come_again_are_acknowledged_again() -> None:
    sink = written()
    assert sink.wants(header(4), 0.0) == (False, [SendItem(m.ChunkAck, m.ChunksItem(9, ((0, 0),)))])
    with pytest.raises(RemoteProtocolError):
        sink.wants(header(5), 0.0)
    with pytest.raises(RemoteProtocolError):
        sink.wants(header(4, index=1, total=2), 0.0)
    slot = Slot()
    assert sink.frame_ready(0, slot) == []  # type: ignore[arg-type]  # all that is asked of a slot
    assert slot.released


def test_a_refused_chunk_is_waited_for_again() -> None:
    sink, _ = opened("new", "equal", "new")
    (task,) = tasks(sink.frame_ready(0, Slot()))  # type: ignore[arg-type]  # all that is asked of a slot
    assert sink.wants(header(4), 0.0) == (False, [])
    assert sent(sink.task_done(task, {"nack": "bad_hash"}, None, 1.0)) == [m.ChunkNackItem(9, 0, "bad_hash")]
    assert sink.wants(header(4), 0.0) == (True, [])


@pytest.mark.parametrize("change", [{"size": 5}, {"chunk_digest": "0" * 64}])
def test_a_commit_of_something_else_fails(change: dict[str, Any]) -> None:
    effects = commit(written(), **change)
    assert [item.code for item in sent(effects)] == ["stale_have"]
    assert [task.task for task in tasks(effects)] == ["bundle_discard"]


def test_errors_discard_the_parts_and_lost_workers_are_replaced() -> None:
    sink, _ = opened("new", "equal", "new")
    (task,) = tasks(sink.frame_ready(0, Slot()))  # type: ignore[arg-type]  # all that is asked of a slot
    (again,) = tasks(sink.task_done(task, None, WorkerDiedError("gone"), 1.0))
    assert again.task == "bundle_write"
    effects = sink.task_done(again, None, TransferError("disk full", code="no_space"), 1.0)
    assert [(item.code, item.role) for item in sent(effects)] == [("no_space", "destination")]
    (discard,) = tasks(effects)
    effects = sink.task_done(discard, None, TransferError("gone", code="io"), 1.0)
    assert [type(effect) for effect in effects if isinstance(effect, Broadcast | Finished)] == [Broadcast, Finished]
    assert sink.state is State.CLOSED
    assert sink.committed(m.TransferCommitItem(9, 4, SHA, None, 0, 0), 1.0) == sink.cancel(discard=True) == []


def test_words_out_of_place() -> None:
    sink = BundleSink(REQUEST, {})
    sink.begin()
    for act in (
        lambda: sink.wants(header(4), 0.0),
        lambda: commit_early(sink),
        lambda: sink.same(((0, 0),), 0.0),
    ):
        with pytest.raises(RemoteProtocolError, match="not expected now"):
            act()


def commit_early(sink: BundleSink) -> list[Effect]:
    return sink.committed(m.TransferCommitItem(9, 4, SHA, None, 0, 0), 0.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"names": (), "sizes": (), "mtimes": (), "modes": (), "parts": ()},
        {"sizes": (1, 2)},
        {"modes": (1,)},
        {"parts": REQUEST.parts[:1] * 3},
        {"sizes": (BUNDLE_BYTES, 1, 0)},
        {"names": ("a",) * (BUNDLE_FILES + 1)},
    ],
)
def test_lists_that_do_not_fit(changes: dict[str, Any]) -> None:
    item = {name: getattr(REQUEST, name) for name in REQUEST.__dataclass_fields__} | changes
    with pytest.raises(RemoteProtocolError):
        check_bundle(m.BundleRequestItem(**item))
    check_bundle(REQUEST)
