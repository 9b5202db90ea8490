"""A run's bundles: small files that move together, gathered from its queue (jobs/bundle.py, docs/protocol.md, Bundles).

A bundle's wire id is told to the relay with itself, negative, as its token, so that answers about it are told from those about transfers.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, Protocol

from fileflux.actors import messages as a
from fileflux.errors import RemoteProtocolError
from fileflux.jobs.bundle import BundleFile, BundleMachine, Outcome, State
from fileflux.jobs.effects import CloseStream, Effect, OpenStream, RelinkStream, Send, StartStream
from fileflux.jobs.models import JobSpec
from fileflux.jobs.status import TransferStatus
from fileflux.protocol import messages as m
from fileflux.protocol.compression import CODE_NAMES
from fileflux.protocol.limits import BUNDLE_BYTES, BUNDLE_FILE_MAX, BUNDLE_FILES, BUNDLE_NAMES
from fileflux.storage.delivered import Delivered
from fileflux.storage.transfers import TransferRow

_COMPLETED: Final = TransferStatus.COMPLETED.value
_SKIPPED: Final = TransferStatus.SKIPPED.value
TIRED: Final = 3
"""Attempts after which a file is moved alone: something about its bundles does not work."""


class Queued(NamedTuple):
    """A row that waits for its turn. ``adopted``: it may have been begun before. ``alone``: it is not to be bundled."""

    row: TransferRow
    adopted: bool
    alone: bool = False


@dataclass(slots=True)
class Bundle:
    """One bundle that is on its way."""

    machine: BundleMachine
    entries: list[Queued]
    begun_at: float
    heard_at: float
    bytes_wire: int = 0
    compression: int = 0
    receipt: a.Receipt | None = None
    cancelled: dict[int, str] = field(default_factory=dict)
    """Rows that a person wants to end, and why: too late, unless they are left alone."""


class BundleHost(Protocol):
    """What the run's actor does for its bundles."""

    def post(self, role: m.Role, message: a.PostItem) -> None: ...
    def to_relay(self, message: a.RelayMessage) -> None: ...
    def open_bundle(self) -> int: ...
    def save_bundle(self, ended: tuple[Delivered, ...]) -> None:
        """Store how files ended; ``stored`` is told of the last one."""
        ...

    def now(self) -> float: ...


class Bundles:
    """Owned by the run's ``Files``. ``ended`` gets every bundle when nothing of it is open any more, with the rows that are left and those of them that are to end."""

    def __init__(
        self, spec: JobSpec, run_id: int, host: BundleHost, ended: Callable[[list[Queued], Mapping[int, str]], None]
    ) -> None:
        self._spec = spec
        self._run_id = run_id
        self._host = host
        self._ended = ended
        self.live: dict[int, Bundle] = {}
        self._unsaved: dict[int, a.Receipt] = {}
        """By the row that is stored last: what is told to the agent then."""

    def gather(self, queue: deque[Queued]) -> list[Queued]:
        """Take the files of a bundle from the front of the queue; empty when no two there may move together."""
        size = names = count = 0
        for row, adopted, alone in queue:
            size += row.size
            names += len(row.path)
            usual = row.kind == "file" and row.size <= BUNDLE_FILE_MAX and row.attempt < TIRED
            if alone or not usual or count == BUNDLE_FILES or size > BUNDLE_BYTES or names > BUNDLE_NAMES:
                break
            if count and adopted != queue[0].adopted:
                break
            count += 1
        return [queue.popleft() for _ in range(count)] if count > 1 else []

    def begin(self, entries: list[Queued], base: str, destination_name: Callable[[str], str]) -> None:
        """Both agents must be there."""
        wire_id = self._host.open_bundle()
        files = []
        for row, _, _ in entries:
            name = os.fsdecode(row.path)
            files.append(BundleFile(name, destination_name(name), row.part, row.size, row.mtime_ns, row.mode))
        repeated = entries[0].adopted
        machine = BundleMachine(tuple(files), self._spec, base, self._run_id, wire_id, repeated)
        bundle = self.live[wire_id] = Bundle(machine, entries, self._host.now(), self._host.now())
        self._carry_out(bundle, machine.begin())

    def said(self, message: a.TransferSaid) -> None:
        """An agent spoke of a bundle. Raises RemoteProtocolError for words out of place, behind which its files move alone."""
        bundle = self.live.get(message.wire_id)
        if bundle is None:
            message.receipt.done()
            return
        bundle.heard_at = self._host.now()
        machine = bundle.machine
        try:
            match message.item:
                case m.BundleAcceptItem() as item if message.role == "destination":
                    effects = machine.accepted(item)
                case m.TransferCompleteItem() as item if message.role == "source":
                    effects = machine.source_completed(item)
                case m.BundleCompleteItem() as item if message.role == "destination":
                    effects = machine.completed(item)
                    bundle.receipt = message.receipt
                    self._carry_out(bundle, effects)
                    return
                case m.TransferErrorItem() as item:
                    effects = machine.give_up(item.code, by=message.role)
                case _:
                    raise RemoteProtocolError("not a word about a bundle", code="out_of_place", field="transfer_id")
        except RemoteProtocolError:
            message.receipt.done()
            self._carry_out(bundle, machine.give_up("protocol"))
            raise
        message.receipt.done()
        self._carry_out(bundle, effects)

    def moved(self, message: a.RouteMoved) -> None:
        """The relay counted."""
        bundle = self.live.get(message.wire_id)
        if bundle is not None:
            bundle.bytes_wire, bundle.compression = message.bytes_wire, message.compression
            if message.done:
                self._carry_out(bundle, bundle.machine.all_acked())

    def failed(self, message: a.RouteFailed) -> None:
        """The relay gave it up."""
        bundle = self.live.get(message.wire_id)
        if bundle is not None:
            self._carry_out(bundle, bundle.machine.give_up(message.code))

    def stored(self, row_id: int) -> None:
        """The last row of a bundle is stored."""
        receipt = self._unsaved.pop(row_id, None)
        if receipt is not None:
            receipt.done()

    def link_changed(self, role: m.Role) -> None:
        """The session of one end goes on over a new link."""
        for bundle in tuple(self.live.values()):
            self._carry_out(bundle, bundle.machine.link_changed(role))

    def give_up(self, reason: str, *, committed: bool) -> None:
        """End all, or those that are not committed; their rows are left."""
        for bundle in tuple(self.live.values()):
            if committed or bundle.machine.state is not State.COMMITTING:
                self._carry_out(bundle, bundle.machine.give_up(reason))

    def give_up_silent(self, timeout: float) -> None:
        """End those that an agent which is there says nothing of."""
        due = self._host.now() - timeout
        for bundle in tuple(self.live.values()):
            if bundle.machine.state is State.ASKED and bundle.heard_at < due:
                self._carry_out(bundle, bundle.machine.give_up("no_answer"))

    def cancel(self, row_id: int, reason: str) -> bool:
        """A person wants a file of a bundle to end. True: it is decided already; False: it is in no bundle, any more."""
        for bundle in tuple(self.live.values()):
            if any(entry.row.id == row_id for entry in bundle.entries):
                if bundle.machine.state is State.COMMITTING:
                    bundle.cancelled[row_id] = reason
                    return True
                self._carry_out(bundle, bundle.machine.give_up(reason))
        return False

    def row_ids(self) -> set[int]:
        """The rows that are on their way."""
        return {entry.row.id for bundle in self.live.values() for entry in bundle.entries}

    def close(self) -> None:
        """The run stops here, whoever goes on with it."""
        for wire_id in self.live:
            self._host.to_relay(a.CloseAttempt(wire_id))

    def _carry_out(self, bundle: Bundle, effects: list[Effect]) -> None:
        host, wire_id = self._host, bundle.machine.wire_id
        for effect in effects:
            match effect:
                case Send():
                    host.post(effect.role, a.PostItem(effect.message, effect.item))
                case OpenStream():
                    host.to_relay(a.OpenRoute(wire_id, effect.size, effect.chunk_size, effect.total_chunks))
                case StartStream():
                    host.to_relay(a.StartRoute(wire_id, effect.have_count))
                case RelinkStream():
                    host.to_relay(a.Relink(wire_id))
                case CloseStream():
                    host.to_relay(a.CloseAttempt(wire_id))
                case _:
                    raise AssertionError(f"not of a bundle: {effect}")
        if bundle.machine.ended and self.live.pop(wire_id, None) is not None:
            self._finish(bundle)

    def _finish(self, bundle: Bundle) -> None:
        """Store what has ended; the rest goes back."""
        machine = bundle.machine
        left: list[Queued] = []
        ended: list[tuple[int, TransferRow, Outcome]] = []
        for index, (entry, outcome) in enumerate(zip(bundle.entries, machine.outcomes, strict=True)):
            if outcome == "alone":
                row = replace(entry.row, attempt=max(1, entry.row.attempt)) if machine.begun else entry.row
                left.append(Queued(row, adopted=entry.adopted or machine.begun, alone=True))
            else:
                ended.append((index, entry.row, outcome))
        if ended:
            self._host.save_bundle(self._delivered(bundle, ended))
            if bundle.receipt is not None:
                self._unsaved[ended[-1][1].id], bundle.receipt = bundle.receipt, None
        if bundle.receipt is not None:
            bundle.receipt.done()
        self._ended(left, bundle.cancelled)

    def _delivered(self, bundle: Bundle, ended: list[tuple[int, TransferRow, Outcome]]) -> tuple[Delivered, ...]:
        machine = bundle.machine
        moved = sum(row.size for _, row, outcome in ended if outcome == "completed")
        separator = machine.path[-1:] or "/"
        compression = CODE_NAMES[bundle.compression]
        reasons = {"equal": "equal file at the destination", "skipped": f"conflict: {self._spec.conflict}"}
        now = self._host.now()
        rows: list[Delivered] = []
        for index, row, outcome in ended:
            completed = outcome == "completed"
            final = machine.path + machine.files[index].destination_name.replace("/", separator)
            rows.append(
                Delivered(
                    row.id,
                    _COMPLETED if completed else _SKIPPED,
                    reasons.get(outcome, ""),
                    row.attempt + 1,
                    os.fsencode(final),
                    row.size if completed else 0,
                    bundle.bytes_wire * row.size // moved if completed and moved else 0,
                    compression,
                    bytes.fromhex(machine.digests[index]) if completed else None,
                    bundle.begun_at,
                    now,
                )
            )
        return tuple(rows)
