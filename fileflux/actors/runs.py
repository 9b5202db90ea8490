"""Keeps the live runs: starts a ``Run`` for each row that this hub holds the lease of.

At its start a hub takes at once what an earlier process of it held; the runs of another hub only when their leases have run out, or when
nobody holds them. A lease that was lost is found at its renewal, if the run has not noticed before: its actor stops without another word.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import structlog

from fileflux.actors import messages as a
from fileflux.actors.kernel import runtime
from fileflux.actors.kernel.actor import Actor
from fileflux.actors.kernel.ref import ActorRef, Reply
from fileflux.actors.kernel.supervisor import ChildSpec, Supervisor
from fileflux.actors.run import Run, RunDeps
from fileflux.storage.runs import CLAIM_LIMIT, RunRow

log = structlog.get_logger("fileflux.runs")

CLAIM_EVERY_S = 5.0
"""How often it is looked for runs that another hub left behind."""
STARTED_AT_ONCE = 20
"""Runs; then others get their turn."""


class Runs(Actor[a.RunsMessage]):
    """``owner_id`` is the hub's, over its restarts; it is written into the runs' leases."""

    mailbox_size = 10_000

    def __init__(self, supervisor: Supervisor, owner_id: UUID, deps: RunDeps) -> None:
        super().__init__()
        self._supervisor = supervisor
        self._owner_id = owner_id
        self._deps = deps
        self._lease_s = deps.limits.run_lease
        self._refs: dict[int, ActorRef[Any]] = {}
        self._new: set[int] = set()
        self._waiting: dict[int, list[Reply[ActorRef[Any] | None]]] = {}

    def on_start(self) -> None:
        self._deps = replace(self._deps, runs=self.ref)
        self._claim(own_after=0)
        self.after(self._lease_s / 3, a.Tick("renew"))
        self.after(0, a.Tick("claim"))

    def on_stop(self) -> None:
        self._deps.persistence.tell_control(a.ReleaseLeases(self._owner_id))

    def receive(self, message: a.RunsMessage) -> None:
        match message:
            case a.StartRun():
                self._claim_new((message.run_id,))
            case a.StartRuns():
                self._claim_new(message.run_ids)
            case a.ClaimedRuns():
                self._claimed(message)
            case a.RunFinished():
                self._refs.pop(message.run_id, None)
                self._claim(behind=message.run_id)
            case a.LeasesHeld():
                self._compare(message)
            case a.FindRun():
                message.reply.send(self._refs.get(message.run_id))
            case a.AwaitRun():
                ref = self._refs.get(message.run_id)
                if ref is not None or message.run_id not in self._new:
                    message.reply.send(ref)
                else:
                    self._waiting.setdefault(message.run_id, []).append(message.reply)
            case a.Tick("renew"):
                if self._refs:
                    known = frozenset(self._refs)
                    self._deps.persistence.tell(a.RenewLeases(self._owner_id, self._lease_s, self.ref, known))
                self.after(self._lease_s / 3, a.Tick("renew"))
            case a.Tick():
                self._claim()
                self.after(min(CLAIM_EVERY_S, self._lease_s / 3), a.Tick("claim"))

    def _claim(
        self, run_ids: tuple[int, ...] | None = None, own_after: int | None = None, behind: int | None = None
    ) -> None:
        claim = a.ClaimRuns(self._owner_id, self._lease_s, self.ref, run_ids, own_after, behind)
        self._deps.persistence.tell(claim)

    def _claim_new(self, run_ids: tuple[int, ...]) -> None:
        self._new.update(run_ids)
        for start in range(0, len(run_ids), CLAIM_LIMIT):
            self._claim(run_ids[start : start + CLAIM_LIMIT])

    def _claimed(self, message: a.ClaimedRuns) -> None:
        for number, row in enumerate(message.rows, 1):
            self._start(row)
            if number % STARTED_AT_ONCE == 0:
                runtime.yield_loop()
        for run_id in message.asked.run_ids or ():
            # Held by another hub, ended, or waiting for a run of its job.
            self._known(run_id, self._refs.get(run_id))
        if len(message.rows) < CLAIM_LIMIT or message.asked.run_ids is not None:
            return
        self._claim(own_after=None if message.asked.own_after is None else message.rows[-1].id)

    def _start(self, row: RunRow) -> None:
        adopted = row.lease_epoch > 1
        if adopted:
            log.info("run goes on", run_id=row.id, status=row.status)
        # An actor of an earlier lease, which it lost, or of this actor's predecessor.
        self._supervisor.stop_child(f"run-{row.id}")
        made = False

        def factory() -> Run:
            # After a crash of its actor a run is rebuilt from the store, like one of another process.
            nonlocal made
            again, made = made, True
            return Run(row, self._deps, adopted=adopted, again=again)

        ref = self._supervisor.start_child(ChildSpec(f"run-{row.id}", factory, "transient"))
        self._refs[row.id] = ref
        self._known(row.id, ref)

    def _known(self, run_id: int, ref: ActorRef[Any] | None) -> None:
        self._new.discard(run_id)
        for reply in self._waiting.pop(run_id, []):
            reply.send(ref)

    def _compare(self, message: a.LeasesHeld) -> None:
        """Those that are driven here and not held any more stop; those of which another hub noted what people want look it up.

        All hear of the agents that are at another hub.
        """
        for run_id in message.asked.known:
            ref = self._refs.get(run_id)
            if ref is None:
                continue
            if run_id not in message.runs:
                ref.tell_control(a.Fenced())
            elif message.runs[run_id] is not None:
                ref.tell_control(a.LookAgain())
            for agent_id in message.elsewhere:
                ref.tell_control(a.AgentElsewhere(agent_id))
