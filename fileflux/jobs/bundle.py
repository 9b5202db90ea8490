"""Small files that move as one stream, as the hub sees them (docs/protocol.md, Bundles).

Sans-I/O, like ``transfer.py``, whose effects it uses. A bundle is a short cut and nothing else: a file that needs anything beyond being read,
checked, written and renamed is left ``alone``, and then has a transfer of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Literal

from fileflux.errors import RemoteProtocolError
from fileflux.jobs.effects import CloseStream, Effect, OpenStream, RelinkStream, Send, StartStream
from fileflux.jobs.models import JobSpec
from fileflux.protocol import messages as m
from fileflux.protocol.limits import BUNDLE_BYTES

Outcome = Literal["completed", "equal", "skipped", "alone"]


class State(Enum):
    ASKED = auto()
    """The destination says what it wants."""
    MOVING = auto()
    COMMITTING = auto()
    ENDED = auto()


@dataclass(frozen=True, slots=True)
class BundleFile:
    name: str
    destination_name: str
    part: str
    size: int
    mtime_ns: int
    mode: int


def may_be_bundled(spec: JobSpec) -> bool:
    """Whether files of this job need nothing that only a transfer of its own does."""
    usual = spec.on_success == "keep" and spec.verify == "chunks" and spec.symlinks != "follow"
    return usual and not spec.keep_versions and spec.conflict != "rename"


@dataclass(slots=True)
class BundleMachine:
    """Drive it with what the agents answer. ``ended`` says when ``outcomes`` is final."""

    files: tuple[BundleFile, ...]
    spec: JobSpec
    base: str
    run_id: int
    wire_id: int
    repeated: bool = False
    """An earlier attempt may have delivered some of the files."""
    state: State = State.ASKED
    outcomes: list[Outcome] = field(default_factory=list)
    digests: dict[int, str] = field(default_factory=dict)
    """SHA-256 of the files that were completed, by index."""
    size: int = 0
    """Bytes of the stream."""
    path: str = ""
    """Where the destination's names are below, with a separator at its end."""
    _wanted: list[int] = field(default_factory=list)
    _source_done: m.TransferCompleteItem | None = None
    _all_acked: bool = False

    @property
    def ended(self) -> bool:
        return self.state is State.ENDED

    @property
    def begun(self) -> bool:
        """Something was asked to be sent: files may have been written, and even renamed, without a word of it."""
        return bool(self._wanted)

    def begin(self) -> list[Effect]:
        """Ask the destination. Both agents must be there."""
        self.outcomes = ["alone"] * len(self.files)
        spec = self.spec
        item = m.BundleRequestItem(
            self.wire_id,
            "destination",
            self.run_id,
            spec.destination_path,
            tuple(one.destination_name for one in self.files),
            tuple(one.size for one in self.files),
            tuple(one.mtime_ns for one in self.files),
            tuple(one.mode for one in self.files),
            tuple(one.part for one in self.files),
            conflict=spec.conflict,
            preserve_mtime="mtime" in spec.preserve,
            preserve_mode="mode" in spec.preserve,
            repeated=self.repeated,
        )
        return [Send("destination", m.BundleRequest, item)]

    def accepted(self, item: m.BundleAcceptItem) -> list[Effect]:
        """The destination has looked at its names: ask the source for what is wanted."""
        self._must_be(State.ASKED)
        if len(item.states) != len(self.files):
            raise RemoteProtocolError(f"{len(item.states)} states for {len(self.files)} files", field="states")
        self.path = item.path
        for index, state in enumerate(item.states):
            if state == "new":
                self._wanted.append(index)
            else:
                self.outcomes[index] = state
        if not self._wanted:
            return self._end()
        wanted = [self.files[index] for index in self._wanted]
        self.size = sum(one.size for one in wanted)
        request = m.BundleRequestItem(
            self.wire_id,
            "source",
            self.run_id,
            self.base,
            tuple(one.name for one in wanted),
            tuple(one.size for one in wanted),
            tuple(one.mtime_ns for one in wanted),
            compression=self.spec.compression,
        )
        self.state = State.MOVING
        return [
            OpenStream(self.wire_id, self.size, BUNDLE_BYTES, 1),
            Send("source", m.BundleRequest, request),
            StartStream(self.wire_id, 0),
        ]

    def source_completed(self, item: m.TransferCompleteItem) -> list[Effect]:
        """What the source says it read."""
        self._must_be(State.MOVING)
        if item.size != self.size:
            raise RemoteProtocolError(f"a bundle of {item.size} bytes, not {self.size}", field="size")
        self._source_done = item
        return self._commit_if_agreed()

    def all_acked(self) -> list[Effect]:
        """The relay saw the acknowledgement of the chunk."""
        if self.state is not State.MOVING:
            return []
        self._all_acked = True
        return self._commit_if_agreed()

    def completed(self, item: m.BundleCompleteItem) -> list[Effect]:
        """The files stand at their final names, but those that are told to be alone."""
        self._must_be(State.COMMITTING)
        if len(item.digests) != len(self._wanted):
            raise RemoteProtocolError(f"{len(item.digests)} digests for {len(self._wanted)} files", field="digests")
        alone = {index for first, last in item.alone for index in range(first, min(last, len(self._wanted)) + 1)}
        for position, index in enumerate(self._wanted):
            if position not in alone:
                self.outcomes[index] = "completed"
                self.digests[index] = item.digests[position]
        release = Send("source", m.TransferRelease, m.TransferReleaseItem(self.wire_id))
        return [release, *self._end()]

    def link_changed(self, role: m.Role) -> list[Effect]:
        """The session of one end goes on over a new link."""
        if self.state is State.MOVING and role == "source":
            return [RelinkStream(self.wire_id)]
        return self.give_up("link_changed") if self.state is State.MOVING else []

    def give_up(self, reason: str, by: m.Role | None = None) -> list[Effect]:
        """End it with what is not decided left alone; parts are removed. ``by``: the end that gave up has closed its own already."""
        if self.ended:
            return []
        roles: tuple[m.Role, ...] = ("destination",) if self.state is State.ASKED else ("source", "destination")
        told: list[Effect] = [
            Send(role, m.CancelTransfer, m.CancelTransferItem(self.wire_id, reason, discard=True))
            for role in roles
            if role != by
        ]
        return [*told, *self._end()]

    def _commit_if_agreed(self) -> list[Effect]:
        source = self._source_done
        if source is None or not self._all_acked:
            return []
        self.state = State.COMMITTING
        item = m.TransferCommitItem(self.wire_id, self.size, source.chunk_digest, None, 0, 0, source.alone)
        return [Send("destination", m.TransferCommit, item)]

    def _end(self) -> list[Effect]:
        self.state = State.ENDED
        return [CloseStream(self.wire_id)]

    def _must_be(self, state: State) -> None:
        if self.state is not state:
            raise RemoteProtocolError(
                f"not expected now: the bundle is {self.state.name.lower()}", code="out_of_place", field="transfer_id"
            )
