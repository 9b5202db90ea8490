"""What the routes ask of the running hub (``deps.py``), answered by its actors and workers."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from fileflux.actors import messages as a
from fileflux.actors.kernel.ref import ActorRef, Reply
from fileflux.actors.tree import Tree
from fileflux.audit import log as audit
from fileflux.clock import Clock
from fileflux.errors import ConflictError, FluxError, UnavailableError
from fileflux.protocol.messages import BrowseResult, DoctorResult, ListCancel, ListRequest, ListResult, ListRules
from fileflux.storage import jobs, runs
from fileflux.storage.plans import PlanRow
from fileflux.storage.pool import Database
from fileflux.storage.runs import RunRow
from fileflux.storage.transfers import TransferRow
from fileflux.web.deps import LiveAgent
from fileflux.workers.pool import WorkerPool
from fileflux.workers.tasks import password_outdated

T = TypeVar("T")

TEST_WAIT = 10.0
BROWSE_WAIT = 15.0
"""A page of a directory with a million names takes a second, and others may be asked for before it."""
EXAMINE_WAIT = 60.0
"""More than an agent takes for a report that says what did not answer."""
ROWS_WAIT = 2.0
"""Seconds that the answer to "run this job" waits for the first rows."""


class HubRuns:
    """Runs, LiveRuns."""

    def __init__(self, database: Database, tree: Tree) -> None:
        self._database = database
        self._tree = tree
        self._stopping = False

    def stop(self) -> None:
        """Start no more runs: the hub is stopping."""
        self._stopping = True

    def start(self, job_id: int, requested_by: str) -> RunRow:
        if self._stopping:
            raise UnavailableError("the hub is stopping: try again when it runs")
        with self._database.transaction() as tx:
            row = runs.create(tx, jobs.to_run(tx, job_id), requested_by)
            audit.append(tx, requested_by, "run.requested", f"run:{row.id}", "ok", {"job_id": job_id})
        self.begin(row.id)
        try:
            with self._database.transaction() as tx:
                return runs.get(tx, row.id) or row
        except FluxError:
            # The run is there: an error here would have the caller ask for another.
            return row

    def begin(self, run_id: int) -> None:
        # If the keeper of the runs is drowning, the hub takes the row up when it starts again: a delay and no loss.
        if self._tree.runs.tell(a.StartRun(run_id)):
            self._await_rows(run_id)

    def asked(self, run_id: int) -> None:
        run = self._tree.live_runs.get(run_id)
        if run is None:
            # It reads its row when it starts, which one that waited for another run does now, to be cancelled.
            self._tree.runs.tell(a.StartRun(run_id))
            return
        try:
            done: bool = run.ref.ask(a.LookAgain, ROWS_WAIT)
            del done
        except FluxError:
            # It may not have heard of it; it only reads what is stored.
            run.ref.tell_control(a.LookAgain())

    def cancel_transfer(self, row: TransferRow, requested_by: str) -> None:
        run = self._tree.live_runs.get(row.run_id)
        if run is not None:
            run.ref.tell_control(a.CancelOne(row, requested_by))

    def resume_transfer(self, run_id: int, transfer_id: int, requested_by: str) -> None:
        run = self._tree.live_runs.get(run_id)
        if run is None:
            raise UnavailableError(f"run {run_id} is being started: try again in a moment")
        done: bool = run.ref.ask(lambda reply: a.ReviveOne(transfer_id, requested_by, reply), ROWS_WAIT)
        del done

    def progress(self, run_id: int) -> a.LiveProgress | None:
        run = self._tree.live_runs.get(run_id)
        return run.live() if run is not None else None

    def ids(self) -> tuple[int, ...]:
        return tuple(self._tree.live_runs)

    def chunks(self, run_id: int, transfer_id: int, first: int, count: int) -> list[str] | None:
        run = self._tree.live_runs.get(run_id)
        wire_id = 0 if run is None else run.wire_id(transfer_id)
        return self._tree.relay.chunks(wire_id, first, count)

    def _await_rows(self, run_id: int) -> None:
        try:
            ref: ActorRef[Any] | None = self._tree.runs.ask(lambda reply: a.AwaitRun(run_id, reply), ROWS_WAIT)
            if ref is not None:
                answer: bool = ref.ask(a.AwaitRows, ROWS_WAIT)
                del answer
        except FluxError:
            # Only a courtesy to the caller: the run goes on, and its rows come when they come.
            return


class HubPlans:
    """Planning."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def begin(self, row: PlanRow) -> None:
        self._tree.plan(row)

    def compare(self, plan_id: int, run_id: int) -> None:
        # One that is at it already needs no other.
        with suppress(ConflictError):
            self._tree.find_drift(plan_id, run_id)


class HubAgents:
    """AgentsLive."""

    def __init__(self, tree: Tree, clock: Clock) -> None:
        self._tree = tree
        self._clock = clock

    def status(self, agent_id: int) -> LiveAgent | None:
        live = self._tree.connections.live(agent_id)
        if live is None:
            return None
        since = self._clock.utc_now() - timedelta(seconds=self._clock.monotonic() - live.since)
        return LiveAgent(live.online, live.transport, live.reason, since, live.session_id, live.load)

    def online(self) -> list[int]:
        return self._tree.connections.online_ids()

    def cut(self, agent_id: int, reason: str, token_id: int | None = None) -> None:
        self._tree.hub.tell_control(a.CutAgent(agent_id, reason, token_id))

    def limit_token(self, agent_id: int, token_id: int, expires_at: datetime) -> None:
        self._tree.hub.tell_control(a.LimitToken(agent_id, token_id, expires_at))

    def test(self, agent_id: int) -> a.RoundTrip:
        return self._ask(agent_id, lambda reply: a.TestConnection(TEST_WAIT, reply), TEST_WAIT)

    def browse(self, agent_id: int, path: str, after: str | None, limit: int) -> BrowseResult:
        return self._ask(agent_id, lambda reply: a.BrowseAgent(path, after, limit, BROWSE_WAIT, reply), BROWSE_WAIT)

    def examine(self, agent_id: int) -> DoctorResult:
        return self._ask(agent_id, lambda reply: a.ExamineAgent(EXAMINE_WAIT, reply), EXAMINE_WAIT)

    def listing(self, agent_id: int, path: str, rules: ListRules, seconds: float) -> Generator[ListResult]:
        until = self._clock.monotonic() + seconds
        request = ListRequest(next(self._tree.ids), path, rules=rules)
        last = False
        try:
            while not last:
                wait = max(0.1, until - self._clock.monotonic())
                found: ListResult = self._ask(agent_id, partial(a.ListAgent, request, wait), wait)
                last = found.last
                yield found
                request = replace(request, page=request.page + 1)
        finally:
            port = None if last else self._tree.connections.port(agent_id)
            if port is not None:
                port.post(a.Post(ListCancel(request.request_id)))

    def _ask(self, agent_id: int, question: Callable[[Reply[T]], a.SessionMessage], wait: float) -> T:
        port = self._tree.connections.port(agent_id)
        if port is None:
            raise UnavailableError("the agent is not connected", code="agent_offline")
        # The session itself says what it did not hear in time: its words name the agent.
        return port.ref.ask(question, wait + 2)


class WorkerPasswords:
    """Passwords: argon2id takes 100 ms and 64 MiB, so a worker does it."""

    def __init__(self, workers: WorkerPool) -> None:
        self._workers = workers
        # Loads argon2 now: in the middle of a login it would hold the loop for 20 ms.
        password_outdated("")

    def hash(self, password: str) -> str:
        return str(self._workers.run(_spread(), "hash_password", {"password": password}, timeout=30)["hash"])

    def check(self, password: str, password_hash: str) -> bool:
        args = {"password": password, "hash": password_hash}
        return bool(self._workers.run(_spread(), "check_password", args, timeout=30)["ok"])

    def outdated(self, password_hash: str) -> bool:
        return password_outdated(password_hash)


def _spread() -> str:
    """A key of its own for each password: any worker may have it."""
    return secrets.token_hex(4)
