"""The hub's view of one bundle, driven by scripts of what agents and relay say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fileflux.errors import RemoteProtocolError
from fileflux.jobs.bundle import BundleFile, BundleMachine, State, may_be_bundled
from fileflux.jobs.effects import CloseStream, OpenStream, RelinkStream, Send, StartStream
from fileflux.jobs.models import JobSpec
from fileflux.protocol import messages as m
from fileflux.protocol.limits import BUNDLE_BYTES

pytestmark = pytest.mark.unit

SPEC = JobSpec("job", 1, "/in", 2, "/out")
FILES = tuple(BundleFile(f"d/{n}", f"D/{n}", f"{n:032x}", 10 * n, n, 0o644) for n in range(4))
DIGEST = "a" * 64
WIRE = 7


def bundle(**changes: Any) -> BundleMachine:
    return BundleMachine(FILES, replace(SPEC, **changes), "/in", 5, WIRE)


def accept(*states: m.BundleState) -> m.BundleAcceptItem:
    return m.BundleAcceptItem(WIRE, "destination", "/out/", states)


def done(size: int, *alone: tuple[int, int]) -> m.TransferCompleteItem:
    return m.TransferCompleteItem(WIRE, size, DIGEST, DIGEST, role="source", alone=alone or None)


def delivered(count: int, *alone: tuple[int, int]) -> m.BundleCompleteItem:
    return m.BundleCompleteItem(WIRE, "destination", tuple(f"{n:064x}" for n in range(count)), alone)


def committing(*states: m.BundleState) -> BundleMachine:
    machine = bundle()
    machine.begin()
    machine.accepted(accept(*states))
    machine.source_completed(done(machine.size))
    machine.all_acked()
    assert machine.state is State.COMMITTING
    return machine


def test_files_that_are_wanted_move_and_the_others_are_decided() -> None:
    machine = bundle(compression="lz4", conflict="newer", preserve=("mode",))
    (asked,) = machine.begin()
    assert isinstance(asked, Send)
    assert (asked.role, asked.message) == ("destination", m.BundleRequest)
    item = asked.item
    assert (item.path, item.names, item.sizes) == ("/out", ("D/0", "D/1", "D/2", "D/3"), (0, 10, 20, 30))
    assert (item.parts[1], item.modes[1], item.mtimes) == (f"{1:032x}", 0o644, (0, 1, 2, 3))
    assert (item.conflict, item.preserve_mtime, item.preserve_mode, item.repeated) == ("newer", False, True, False)
    opened, request, start = machine.accepted(accept("equal", "new", "skipped", "new"))
    assert opened == OpenStream(WIRE, 40, BUNDLE_BYTES, 1)
    assert start == StartStream(WIRE, 0)
    assert isinstance(request, Send)
    assert (request.role, request.item.path, request.item.names) == ("source", "/in", ("d/1", "d/3"))
    assert (request.item.sizes, request.item.mtimes, request.item.compression) == ((10, 30), (1, 3), "lz4")
    assert machine.all_acked() == []
    (commit,) = machine.source_completed(done(40))
    assert isinstance(commit, Send)
    assert (commit.role, commit.item.size, commit.item.chunk_digest, commit.item.alone) == (
        "destination",
        40,
        DIGEST,
        None,
    )
    release, close = machine.completed(delivered(2))
    assert isinstance(release, Send)
    assert (release.role, release.message, close) == ("source", m.TransferRelease, CloseStream(WIRE))
    assert machine.ended
    assert machine.outcomes == ["equal", "completed", "skipped", "completed"]
    assert machine.digests == {1: f"{0:064x}", 3: f"{1:064x}"}
    assert machine.path == "/out/"


def test_what_either_end_leaves_is_alone() -> None:
    machine = bundle()
    machine.begin()
    machine.accepted(accept("alone", "new", "new", "new"))
    machine.source_completed(done(60, (0, 0)))
    (commit,) = machine.all_acked()
    assert isinstance(commit, Send)
    assert commit.item.alone == ((0, 0),)
    machine.completed(delivered(3, (0, 1)))
    assert machine.outcomes == ["alone", "alone", "alone", "completed"]


def test_nothing_wanted_is_the_end() -> None:
    machine = bundle()
    machine.begin()
    assert machine.accepted(accept("equal", "equal", "skipped", "alone")) == [CloseStream(WIRE)]
    assert machine.ended
    assert machine.outcomes == ["equal", "equal", "skipped", "alone"]


@pytest.mark.parametrize("by", [None, "source", "destination"])
def test_who_gives_up_leaves_everything_undecided_alone(by: m.Role | None) -> None:
    machine = committing("equal", "new", "new", "new")
    effects = machine.give_up("io", by=by)
    told = {effect.role for effect in effects if isinstance(effect, Send) and effect.item.discard}
    assert told == {"source", "destination"} - {by}
    assert effects[-1] == CloseStream(WIRE)
    assert machine.outcomes == ["equal", "alone", "alone", "alone"]
    assert machine.give_up("io") == []
    asked = bundle()
    asked.begin()
    assert [effect.role for effect in asked.give_up("x") if isinstance(effect, Send)] == ["destination"]


def test_links() -> None:
    machine = bundle()
    machine.begin()
    assert machine.link_changed("destination") == machine.link_changed("source") == [], "the question comes again"
    machine.accepted(accept("new", "new", "new", "new"))
    assert machine.link_changed("source") == [RelinkStream(WIRE)]
    assert machine.link_changed("destination")[-1] == CloseStream(WIRE)
    assert machine.ended
    assert committing("new", "new", "new", "new").link_changed("destination") == []


def test_words_that_cannot_be_right() -> None:
    machine = bundle()
    machine.begin()
    for wrong in (done(60), delivered(4)):
        with pytest.raises(RemoteProtocolError, match="not expected now"):
            machine.source_completed(wrong) if isinstance(wrong, m.TransferCompleteItem) else machine.completed(wrong)
    with pytest.raises(RemoteProtocolError, match="3 states for 4 files"):
        machine.accepted(accept("new", "new", "new"))
    machine.accepted(accept("new", "new", "new", "new"))
    with pytest.raises(RemoteProtocolError, match="61 bytes, not 60"):
        machine.source_completed(done(61))
    with pytest.raises(RemoteProtocolError, match="2 digests for 3 files"):
        committing("equal", "new", "new", "new").completed(delivered(2))
    late = committing("equal", "new", "new", "new")
    late.completed(delivered(3, (1, 2**31)))
    assert late.outcomes == ["equal", "completed", "alone", "alone"], "indexes beyond the files are nobody's"


@pytest.mark.parametrize(
    ("change", "may"),
    [
        ({}, True),
        ({"conflict": "newer"}, True),
        ({"conflict": "fail"}, True),
        ({"symlinks": "copy"}, True),
        ({"conflict": "rename"}, False),
        ({"symlinks": "follow"}, False),
        ({"verify": "full"}, False),
        ({"verify": "reread"}, False),
        ({"on_success": "delete"}, False),
        ({"keep_versions": 1}, False),
    ],
)
def test_jobs_that_need_more_are_not_bundled(change: dict[str, Any], may: bool) -> None:
    assert may_be_bundled(replace(SPEC, **change)) is may
