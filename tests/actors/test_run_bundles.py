"""A run's bundles: what is gathered, what is stored of it, and what goes back to be moved alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from fileflux.actors import messages as a
from fileflux.actors.run_files import SMALL_PER_LARGE, Files
from fileflux.errors import RemoteProtocolError
from fileflux.protocol import messages as m
from fileflux.protocol.limits import BUNDLE_BYTES, BUNDLE_FILE_MAX, BUNDLE_FILES, BUNDLE_NAMES
from fileflux.storage.transfers import TransferRow

from .test_run_files import ROW, SPEC, files

pytestmark = pytest.mark.unit

DIGEST = "b" * 64


class Receipt:
    """Counts how often it was given."""

    def __init__(self) -> None:
        self.given = 0

    def done(self) -> None:
        self.given += 1


def rows(count: int, **changes: Any) -> list[TransferRow]:
    return [replace(ROW, id=n, path=f"d/{n}".encode(), size=10, **changes) for n in range(1, count + 1)]


def say(made: Files, wire_id: int, role: m.Role, item: Any) -> Receipt:
    receipt = Receipt()
    made.said(a.TransferSaid(-wire_id, wire_id, role, item, receipt))
    return receipt


def accept(made: Files, states: Iterable[m.BundleState], wire_id: int = 1) -> None:
    say(made, wire_id, "destination", m.BundleAcceptItem(wire_id, "destination", "/out/", tuple(states)))


def agree(made: Files, size: int, wire_id: int = 1, alone: m.Ranges = ()) -> None:
    done = m.TransferCompleteItem(wire_id, size, DIGEST, role="source", alone=alone or None)
    say(made, wire_id, "source", done)
    made.moved(a.RouteMoved(-wire_id, wire_id, 1, size, size * 2, 0, 1, True))


def deliver(made: Files, count: int, wire_id: int = 1, alone: m.Ranges = ()) -> Receipt:
    item = m.BundleCompleteItem(wire_id, "destination", (DIGEST,) * count, alone)
    return say(made, wire_id, "destination", item)


def waiting(made: Files) -> list[tuple[int, bool, bool, int]]:
    return [(entry.row.id, entry.adopted, entry.alone, entry.row.attempt) for entry in made.queue]


def test_small_files_move_together_and_are_stored_when_they_stand() -> None:
    made, host = files(*rows(4), bundling=True)
    assert not made.idle
    assert not made.held
    accept(made, ("new", "equal", "skipped", "new"))
    agree(made, 20)
    assert host.posted[-1].message is m.TransferCommit
    receipt = deliver(made, 2)
    assert receipt.given == 0, "not before they are stored"
    assert [(end.id, end.status, end.reason) for end in host.saved] == [
        (1, "completed", ""),
        (2, "skipped", "equal file at the destination"),
        (3, "skipped", "conflict: overwrite"),
        (4, "completed", ""),
    ]
    end = host.saved[0]
    assert (end.final_path, end.file_hash, end.attempt) == (b"/out/d/1", bytes.fromhex(DIGEST), 1)
    assert (end.bytes_done, end.bytes_wire, end.compression) == (10, 20, "zstd")
    made.stored(4)
    assert receipt.given == 1
    assert made.idle


def test_what_is_left_has_a_transfer_of_its_own() -> None:
    made, host = files(*rows(3), bundling=True)
    accept(made, ("alone", "new", "new"))
    agree(made, 20)
    deliver(made, 2, alone=((1, 1),))
    assert [end.id for end in host.saved] == [2]
    assert waiting(made) == [(1, True, True, 1), (3, True, True, 1)]
    made.dispatch()
    assert set(made.held) == {1, 3}
    assert made.held[3].machine.attempt == 2, "it looks whether it was delivered"


def test_nothing_was_touched_yet() -> None:
    made, _ = files(*rows(2), bundling=True)
    accept(made, ("alone", "equal"))
    assert waiting(made) == [(1, False, True, 0)]


@pytest.mark.parametrize(
    ("changed", "gathered"),
    [
        ({}, [1, 2, 3, 4]),
        ({"size": BUNDLE_FILE_MAX + 1}, [1, 2]),
        ({"kind": "symlink"}, [1, 2]),
        ({"path": b"x" * BUNDLE_NAMES}, [1, 2]),
        ({"attempt": 3}, [1, 2]),
    ],
)
def test_what_is_gathered(changed: dict[str, Any], gathered: list[int]) -> None:
    four = rows(4)
    four[2] = replace(four[2], **changed)
    made, _ = files(*four, bundling=True)
    bundle = next(iter(made.bundles.live.values()))
    assert [entry.row.id for entry in bundle.entries] == gathered
    made, _ = files(*four)
    assert not made.bundles.live, "an agent does not know of bundles"


def test_bounds_of_a_bundle() -> None:
    many = [replace(ROW, id=n, path=b"%d" % n, size=1) for n in range(1, BUNDLE_FILES + 3)]
    made, _ = files(*many, bundling=True)
    assert [len(bundle.entries) for bundle in made.bundles.live.values()] == [BUNDLE_FILES, 2]
    large = [replace(ROW, id=n, path=b"%d" % n, size=BUNDLE_FILE_MAX) for n in range(1, 40)]
    made, _ = files(*large, bundling=True)
    assert [len(bundle.entries) for bundle in made.bundles.live.values()] == [BUNDLE_BYTES // BUNDLE_FILE_MAX, 7]
    crowd = [replace(ROW, id=n, path=b"%d" % n, size=1) for n in range(1, 20 * BUNDLE_FILES)]
    made, _ = files(*crowd, bundling=True)
    assert len(made.bundles.live) == SPEC.parallel, "each in the place of one large file"
    one, _ = files(ROW, bundling=True)
    assert set(one.held) == {1}
    assert SMALL_PER_LARGE > 1


def test_rows_of_an_earlier_hub_are_asked_for_carefully() -> None:
    _, host = files(*rows(2), bundling=True, adopted=True)
    assert host.posted[0].item.repeated


@pytest.mark.parametrize("how", ["error", "route", "silence", "link", "session"])
def test_whatever_ends_a_bundle_leaves_its_files(how: str) -> None:
    made, host = files(*rows(2), bundling=True)
    if how != "silence":
        accept(made, ("new", "new"))
    match how:
        case "error":
            say(made, 1, "source", m.TransferErrorItem(1, "io", "disk", role="source"))
        case "route":
            made.failed(a.RouteFailed(-1, 1, "corrupt", "bad", retryable=False))
        case "silence":
            host.time += 121
            made.give_up_silent(120)
        case "link":
            made.bundles.link_changed("destination")
        case "session":
            made.bundles.give_up("agent_restarted", committed=True)
    begun = how != "silence"
    assert waiting(made) == [(1, begun, True, int(begun)), (2, begun, True, int(begun))]
    assert not made.bundles.live
    assert a.CloseAttempt(1) in host.told
    assert deliver(made, 2).given == 1, "late words"


def test_empty_files_may_have_been_delivered_as_well() -> None:
    """A bundle of no bytes is a bundle that was begun."""
    made, _ = files(*[replace(row, size=0) for row in rows(2)], bundling=True)
    accept(made, ("new", "new"))
    agree(made, 0)
    assert made.bundles.row_ids() == {1, 2}
    made.bundles.give_up("agent_restarted", committed=True)
    assert waiting(made) == [(1, True, True, 1), (2, True, True, 1)]
    assert made.bundles.row_ids() == set()


def test_a_new_link_of_the_source_goes_on() -> None:
    made, host = files(*rows(2), bundling=True)
    accept(made, ("new", "new"))
    made.bundles.link_changed("source")
    assert host.told[-1] == a.Relink(1)
    assert made.bundles.live


@pytest.mark.parametrize("committed", [False, True])
def test_pause_and_cancel_leave_what_is_committed(committed: bool) -> None:
    made, host = files(*rows(2), bundling=True)
    accept(made, ("new", "new"))
    if committed:
        agree(made, 20)
    made.pause("paused by eve")
    assert bool(made.bundles.live) is committed
    assert len(made.queue) == (0 if committed else 2)
    row = rows(2)[1]
    known = made.cancel(row, "cancelled by eve")
    if not committed:
        assert known is not None
        assert known.attempt == 1, "its part is removed"
        assert [entry.row.id for entry in made.queue] == [1]
        return
    assert known is None
    deliver(made, 2, alone=((1, 1),))
    assert [end.id for end in host.saved] == [1]
    assert [(row.id, reason) for row, reason in host.cancelled] == [(2, "cancelled by eve")]
    assert made.idle


def test_one_file_of_a_bundle_is_cancelled() -> None:
    made, _ = files(*rows(3), bundling=True)
    known = made.cancel(rows(3)[0], "cancelled by eve")
    assert known is not None
    assert [entry.row.id for entry in made.queue] == [2, 3]


def test_words_that_cannot_be_right_end_it() -> None:
    made, host = files(*rows(2), bundling=True)
    with pytest.raises(RemoteProtocolError):
        deliver(made, 2)
    assert not made.bundles.live
    assert len(made.queue) == 2
    made, host = files(*rows(2), bundling=True)
    with pytest.raises(RemoteProtocolError, match="not a word about a bundle"):
        say(made, 1, "source", m.TransferAcceptItem(1, "source"))
    made.bundles.close()
    assert host.told[-1] == a.CloseAttempt(1)
