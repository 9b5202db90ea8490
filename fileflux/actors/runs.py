"""Keeps the live runs: starts a ``Run`` for each claimed row, at the hub's start for every run that has not ended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import structlog

from fileflux.actors import messages as a
from fileflux.actors.kernel.actor import Actor
from fileflux.actors.kernel.ref import ActorRef, Reply
from fileflux.actors.kernel.supervisor import ChildSpec, Supervisor
from fileflux.actors.run import Run, RunDeps
from fileflux.storage.runs import LEASE_S, RunRow

log = structlog.get_logger("fileflux.runs")


class Runs(Actor[a.RunsMessage]):
    """``owner_id`` is new for every server process; it is written into the runs' leases."""

    mailbox_size = 10_000

    def __init__(self, supervisor: Supervisor, owner_id: UUID, deps: RunDeps) -> None:
        super().__init__()
        self._supervisor = supervisor
        self._owner_id = owner_id
        self._deps = deps
        self._refs: dict[int, ActorRef[Any]] = {}
        self._new: set[int] = set()
        self._waiting: dict[int, list[Reply[ActorRef[Any] | None]]] = {}

    def on_start(self) -> None:
        self._deps = replace(self._deps, runs=self.ref)
        self._deps.persistence.tell(a.ClaimRuns(self._owner_id, None, self.ref))
        self.after(LEASE_S / 3, a.Tick())

    def receive(self, message: a.RunsMessage) -> None:
        match message:
            case a.StartRun():
                self._new.add(message.run_id)
                self._deps.persistence.tell(a.ClaimRuns(self._owner_id, message.run_id, self.ref))
            case a.ClaimedRuns():
                for row in message.rows:
                    self._start(row)
            case a.RunFinished():
                self._refs.pop(message.run_id, None)
            case a.FindRun():
                message.reply.send(self._refs.get(message.run_id))
            case a.AwaitRun():
                ref = self._refs.get(message.run_id)
                if ref is not None or message.run_id not in self._new:
                    message.reply.send(ref)
                else:
                    self._waiting.setdefault(message.run_id, []).append(message.reply)
            case a.Tick():
                if self._refs:
                    self._deps.persistence.tell(a.RenewLeases(self._owner_id))
                self.after(LEASE_S / 3, a.Tick())

    def _start(self, row: RunRow) -> None:
        if row.id in self._refs:
            return
        adopted = row.id not in self._new
        self._new.discard(row.id)
        if adopted:
            log.info("run goes on", run_id=row.id, status=row.status)
        made = False

        def factory() -> Run:
            # After a crash of its actor a run is rebuilt from the store, like one of another process.
            nonlocal made
            again, made = made, True
            return Run(row, self._deps, adopted=adopted or again)

        ref = self._supervisor.start_child(ChildSpec(f"run-{row.id}", factory, "transient"))
        self._refs[row.id] = ref
        for reply in self._waiting.pop(row.id, []):
            reply.send(ref)
