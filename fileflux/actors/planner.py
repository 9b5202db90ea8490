"""Makes one plan: asks the source what a run would move, the destination what stands there, and compares them in the database.

One actor for each plan, gone when it is made. It keeps nothing but sums and the page it looks at, while the agent makes the next one. After a
crash of the hub the plan has failed, and says so: planning again is quicker than a way to go on would be worth.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import structlog

from fileflux.actors import messages as a
from fileflux.actors.destination_listing import destination_request
from fileflux.actors.kernel.actor import Actor
from fileflux.actors.kernel.ref import ActorRef
from fileflux.actors.planning import Comparison
from fileflux.actors.run_abilities import lacking
from fileflux.actors.run_agents import Agents
from fileflux.actors.run_listing import Listing
from fileflux.clock import Clock
from fileflux.errors import FluxError, RemoteProtocolError
from fileflux.jobs.models import JobSpec
from fileflux.protocol import messages as m
from fileflux.protocol.limits import Limits
from fileflux.protocol.systems import falls_together, system_of
from fileflux.storage import agents, plans
from fileflux.storage.plans import PlanRow
from fileflux.storage.pool import Database, Transaction

log = structlog.get_logger("fileflux.plan")

AGENT_WAIT_S: Final = 60.0
"""For an agent that is away; a plan is for somebody who waits."""
TICK_S: Final = plans.SILENT_S / 4
SHOWN_EVERY_S: Final = 0.5
"""How often people see how far it is, and how soon it ends when nobody wants it any more."""


class Planner(Actor[a.PlannerMessage]):
    """Drives one plan to its end, then stops."""

    mailbox_size = 100

    def __init__(
        self,
        row: PlanRow,
        database: Database,
        hub: ActorRef[a.ConnectionHubMessage],
        ids: itertools.count[int],
        limits: Limits,
        clock: Clock,
    ) -> None:
        super().__init__()
        self._clock = clock
        self._row = row
        self._database = database
        self._hub = hub
        self._ids = ids
        self._limits = limits
        self._spec = JobSpec.from_json(row.spec)
        self._agents = Agents(self._spec)
        # The destination is asked here, whoever is asked first in a run.
        self._listing = Listing(replace(self._spec, type="push"), limits.list_page)
        self._comparison = Comparison(row, self._spec)
        self._there_id = 0
        self._there_page = 0
        self._asked_at = self._shown_at = clock.monotonic()
        self._asking = False
        self._all_asked = False
        self._over = False
        self._free: int | None = None

    def on_start(self) -> None:
        structlog.contextvars.bind_contextvars(plan_id=self._row.id)
        with self._database.transaction() as tx:
            destination = agents.get(tx, self._spec.destination_agent_id)
        info = {} if destination is None else destination.info
        self._listing.system = system_of(str(info.get("os", "")))
        self._free = _free(info, self._spec.destination_path)
        self._hub.tell(a.Watch(self._agents.ids, self.ref))
        self.after(TICK_S, a.Tick())

    def on_stop(self) -> None:
        self._hub.tell_control(a.Unwatch(self.ref))
        if self._listing.request_id and not self._listing.finished:
            self._post("source", m.ListCancel(self._listing.request_id))
        if self._there_id and not self._all_asked:
            self._post("destination", m.ListCancel(self._there_id))

    def receive(self, message: a.PlannerMessage) -> None:
        try:
            match message:
                case a.AgentUp():
                    same = self._agents.up(message)
                    self._asked_at = self._clock.monotonic()
                    if not same and self._asking:
                        self._end("failed", "an agent was restarted while it was asked: plan again")
                case a.AgentDown():
                    self._agents.down(message)
                    self._asked_at = self._clock.monotonic()
                case a.Answered():
                    message.receipt.done()
                    self._answered(message.message)
                case a.Tick():
                    self._look()
                    self.after(TICK_S, a.Tick())
            self._ask()
        except FileNotFoundError as error:
            self._end("failed", str(error))
        except RemoteProtocolError as error:
            self._end("failed", f"an agent's listing cannot be believed: {error.message}")
        except FluxError as error:
            log.warning("a plan failed", error=error.message)
            self._end("failed", error.message)

    def _ask(self) -> None:
        """Ask for what comes next, unless something is on its way or somebody is away."""
        if self._over or self._asking or self._all_asked:
            return
        if not self._agents.both_known or self._agents.missing(only_destination=False) is not None:
            return
        unable = lacking(self._spec, self._agents)
        if unable is not None:
            self._end("failed", unable)
            return
        self._asking, self._asked_at = True, self._clock.monotonic()
        if not self._listing.finished:
            self._post("source", self._listing.request(next(self._ids)))
            return
        self._there_id = self._there_id or next(self._ids)
        base = self._spec.source_path if self._listing.plan is None else self._listing.plan.base
        size = self._limits.list_page
        self._post("destination", destination_request(self._spec, base, self._there_id, self._there_page, size))

    def _post(self, role: m.Role, message: m.Message) -> None:
        port = self._agents.port(role)
        if port is not None:
            port.post(a.Post(message, reply_to=self.ref))

    def _answered(self, message: m.Message) -> None:
        if not isinstance(message, m.ListResult) or self._over:
            return
        if message.request_id == self._there_id and message.page == self._there_page:
            self._asking = False
            self._there_page += 1
            self._all_asked = message.last
            # The agent makes the next page while this one is stored.
            self._ask()
            self._store(lambda tx: self._comparison.destination(tx, message))
            if message.last:
                self._finish()
            return
        rows = self._listing.take(message)
        if rows is not None:
            self._asking = False
            self._ask()
            self._store(lambda tx: self._comparison.source(tx, message.path_type, *rows))

    def _finish(self) -> None:
        listing, alike = self._listing, falls_together(self._listing.system)
        with self._database.transaction() as tx:
            self._comparison.finish(tx, listing.errors, listing.error_texts, alike=alike, free=self._free)
        self._stop()

    def _store(self, work: Callable[[Transaction], None]) -> None:
        now = self._clock.monotonic()
        shown = now - self._shown_at >= SHOWN_EVERY_S
        with self._database.transaction() as tx:
            work(tx)
            going = not shown or self._show(tx, self._doing())
        if shown:
            self._shown_at = now
        if not going:
            # Somebody does not want it any more.
            self._stop()

    def _doing(self) -> str:
        missing = self._agents.missing(only_destination=False)
        whom = "destination" if self._listing.finished else "source"
        return missing or f"asking the {whom}: {self._comparison.seen} found so far"

    def _show(self, tx: Transaction, reason: str) -> bool:
        return plans.update(tx, self._row.id, reason=reason, sums=self._comparison.sums())

    def _look(self) -> None:
        """Say that this plan is being made, and give up waiting in the end."""
        if self._over:
            return
        missing = self._agents.missing(only_destination=False)
        waited = self._clock.monotonic() - self._asked_at
        if missing is not None and waited > AGENT_WAIT_S:
            self._end("failed", f"{missing}: plan again when it is back")
        elif missing is None and self._asking and waited > self._limits.list_timeout:
            self._end("failed", f"an agent did not answer within {self._limits.list_timeout:.0f} s: plan again")
        else:
            with self._database.transaction() as tx:
                going = self._show(tx, self._doing())
            if not going:
                self._stop()

    def _end(self, status: plans.Status, reason: str) -> None:
        if self._over:
            return
        self._stop()
        try:
            with self._database.transaction() as tx:
                plans.update(tx, self._row.id, status=status, reason=reason)
        except FluxError as error:
            log.warning("the end of a plan is not stored", error=error.message)

    def _stop(self) -> None:
        self._over = True
        self.stop_self()


def _free(info: dict[str, Any], path: str) -> int | None:
    """Free bytes of the root that holds ``path``, as its agent said when it came in."""
    roots = [root for root in info.get("roots", ()) if isinstance(root, dict) and root.get("write")]
    holding = [root for root in roots if f"{path.rstrip('/')}/".startswith(f"{str(root.get('path')).rstrip('/')}/")]
    deepest = max(holding, key=lambda root: len(str(root.get("path"))), default=None)
    return int(deepest["free"]) if deepest is not None and deepest.get("total") else None
