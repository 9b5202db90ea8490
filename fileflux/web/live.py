"""What the routes ask of the running hub (``deps.py``), answered by its actors and workers."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

from fileflux.actors import messages as a
from fileflux.actors.kernel.ref import ActorRef
from fileflux.actors.session_port import SessionPort
from fileflux.actors.tree import Tree
from fileflux.audit import log as audit
from fileflux.clock import Clock
from fileflux.errors import ConflictError, FluxError, NotFoundError, UnavailableError
from fileflux.jobs.status import RunStatus
from fileflux.storage import jobs, runs
from fileflux.storage.pool import Database
from fileflux.storage.runs import RunRow
from fileflux.web.deps import LiveAgent
from fileflux.workers.pool import WorkerPool

ROWS_WAIT = 2.0
"""Seconds that the answer to "run this job" waits for the first rows."""


class HubRuns:
    """Runs, LiveRuns."""

    def __init__(self, database: Database, tree: Tree) -> None:
        self._database = database
        self._tree = tree

    def start(self, job_id: int, requested_by: str) -> RunRow:
        with self._database.transaction() as tx:
            job = jobs.get(tx, job_id)
            if job is None:
                raise NotFoundError(f"there is no job {job_id}")
            row = runs.create(tx, job, requested_by)
            audit.append(tx, requested_by, "run.requested", f"run:{row.id}", "ok", {"job_id": job_id})
        if not self._tree.runs.tell(a.StartRun(row.id)):
            # The row is stored: the hub takes it up when it starts again, so this is a delay and no loss.
            return row
        self._await_rows(row.id)
        with self._database.transaction() as tx:
            return runs.get(tx, row.id) or row

    def cancel(self, run_id: int, requested_by: str) -> None:
        with self._database.transaction() as tx:
            row = runs.get(tx, run_id)
            if row is None:
                raise NotFoundError(f"there is no run {run_id}")
            if RunStatus(row.status).terminal:
                raise ConflictError(f"run {run_id} has ended already: {row.status}")
            audit.append(tx, requested_by, "run.cancel", f"run:{run_id}", "ok", {})
        ref = self._find(run_id)
        if ref is None or not ref.tell(a.CancelRun(requested_by)):
            raise UnavailableError(f"run {run_id} is being started: try again in a moment")

    def progress(self, run_id: int) -> a.LiveProgress | None:
        run = self._tree.live_runs.get(run_id)
        return run.live() if run is not None else None

    def _find(self, run_id: int) -> ActorRef[Any] | None:
        return self._tree.runs.ask(lambda reply: a.FindRun(run_id, reply), ROWS_WAIT)

    def _await_rows(self, run_id: int) -> None:
        try:
            ref: ActorRef[Any] | None = self._tree.runs.ask(lambda reply: a.AwaitRun(run_id, reply), ROWS_WAIT)
            if ref is not None:
                answer: bool = ref.ask(a.AwaitRows, ROWS_WAIT)
                del answer
        except FluxError:
            # Only a courtesy to the caller: the run goes on, and its rows come when they come.
            return


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
        return LiveAgent(live.online, live.transport, live.reason, since, live.session_id)

    def cut(self, agent_id: int, reason: str) -> None:
        self._tree.hub.tell_control(a.CutAgent(agent_id, reason))

    def test(self, agent_id: int, timeout: float) -> float:
        port: SessionPort | None = self._tree.hub.ask(lambda reply: a.FindPort(agent_id, reply), timeout)
        if port is None:
            raise UnavailableError("the agent is not connected")
        seconds: float = port.ref.ask(a.TestConnection, timeout)
        return seconds


class WorkerPasswords:
    """Passwords: argon2id takes 100 ms and 64 MiB, so a worker does it."""

    def __init__(self, workers: WorkerPool) -> None:
        self._workers = workers

    def hash(self, password: str) -> str:
        return str(self._workers.run(_spread(), "hash_password", {"password": password}, timeout=30)["hash"])

    def check(self, password: str, password_hash: str) -> bool:
        args = {"password": password, "hash": password_hash}
        return bool(self._workers.run(_spread(), "check_password", args, timeout=30)["ok"])


def _spread() -> str:
    """A key of its own for each password: any worker may have it."""
    return secrets.token_hex(4)
