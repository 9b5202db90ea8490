"""The supervision tree of the hub, in start order; it stops in the reverse one.

``rest_for_one``: what starts later holds refs of what started earlier, so a crash of an early child restarts all that follow it. Sessions are
never restarted (the agent resumes or opens a new one), runs are, from the store.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from fileflux.actors import messages as a
from fileflux.actors.connection_hub import ConnectionHub
from fileflux.actors.housekeeping import Housekeeping
from fileflux.actors.hub_check import HubCheck
from fileflux.actors.kernel.pump import Pump
from fileflux.actors.kernel.ref import ActorRef
from fileflux.actors.kernel.supervisor import ChildSpec, Supervisor
from fileflux.actors.live_limits import LimitKeeper, LiveLimits
from fileflux.actors.notifier import Notifier
from fileflux.actors.notifier_messages import NotifierMessage
from fileflux.actors.outgoing.http import WebhookClient
from fileflux.actors.outgoing.mail import MailClient
from fileflux.actors.outgoing.reach import Reach
from fileflux.actors.persistence import Persistence
from fileflux.actors.plan_drift import DriftFinder
from fileflux.actors.planner import Planner
from fileflux.actors.presence import Presence
from fileflux.actors.relay import Relay
from fileflux.actors.run import Run, RunDeps
from fileflux.actors.runs import Runs
from fileflux.actors.scheduler import Scheduler
from fileflux.actors.sweeper import Sweeper
from fileflux.actors.watches import Watches
from fileflux.bus.bus import Bus
from fileflux.clock import Clock
from fileflux.metrics import Metrics
from fileflux.protocol.limits import Limits
from fileflux.storage.plans import PlanRow
from fileflux.storage.pool import Database
from fileflux.workers.pool import WorkerPool
from fileflux.workers.slots import Arena


@dataclass(slots=True)
class Tree:
    """The running hub. ``relay`` and ``connections`` are the objects behind the refs, for the data plane and for snapshots."""

    root: Supervisor
    pump: Pump
    bus: Bus
    workers: WorkerPool
    live_runs: dict[int, Run]
    persistence: ActorRef[a.PersistenceMessage]
    relay_ref: ActorRef[a.RelayMessage]
    hub: ActorRef[a.ConnectionHubMessage]
    runs: ActorRef[a.RunsMessage]
    ids: itertools.count[int]
    """Of requests and attempts: none is given out twice."""
    plan: Callable[[PlanRow], None]
    """Begin to make a plan."""
    find_drift: Callable[[int, int], None]
    """Begin to compare a plan with its run."""
    restarts: Callable[[], int]
    """Of actors and services, over all supervisors."""
    _current: dict[str, Relay | ConnectionHub]
    notifier: ActorRef[NotifierMessage]

    @property
    def relay(self) -> Relay:
        relay = self._current["relay"]
        assert isinstance(relay, Relay)  # noqa: S101  # written by this module only
        return relay

    @property
    def connections(self) -> ConnectionHub:
        hub = self._current["hub"]
        assert isinstance(hub, ConnectionHub)  # noqa: S101  # written by this module only
        return hub

    def stop(self, timeout: float) -> None:
        """Stop everything, last started first."""
        self.root.stop(timeout)


def start_tree(
    database: Database,
    limits: Limits,
    clock: Clock,
    workers: WorkerPool,
    arena: Arena,
    metrics: Metrics | None = None,
    hub_id: uuid.UUID | None = None,
) -> Tree:
    """Start the actors and services of one server process. Raises UnavailableError when a worker does not start.

    With ``hub_id`` it takes up at once what an earlier process of this hub had begun.
    """
    bus, pump, metrics = Bus(), Pump(), metrics or Metrics()
    ids = itertools.count(1)
    current: dict[str, Relay | ConnectionHub] = {}
    live_runs: dict[int, Run] = {}
    live_limits = LiveLimits()
    root = Supervisor("root", "rest_for_one", max_restarts=10, within_s=60)

    persistence = root.start_child(ChildSpec("persistence", lambda: Persistence(database, bus, limits, metrics, clock)))
    root.start_service("workers", workers)
    root.start_service("pump", pump)

    def make_relay() -> Relay:
        current["relay"] = relay = Relay(limits, clock, HubCheck(workers, arena), metrics.traffic)
        live_limits.held_back, live_limits.bottleneck = relay.held_back, relay.bottleneck
        return relay

    relay_ref = root.start_child(ChildSpec("relay", make_relay))
    sessions = Supervisor("sessions", "one_for_one", max_restarts=1_000_000, within_s=1)
    root.start_service("sessions", sessions)

    def make_hub() -> ConnectionHub:
        current["hub"] = hub = ConnectionHub(sessions, relay_ref, persistence, bus, limits, clock, metrics)
        return hub

    def online_ids() -> list[int]:
        hub = current["hub"]
        return hub.online_ids() if isinstance(hub, ConnectionHub) else []

    hub = root.start_child(ChildSpec("connections", make_hub))
    planners = Supervisor("plans", "one_for_one", max_restarts=1000, within_s=60)
    root.start_service("plans", planners)
    run_supervisor = Supervisor("runs-live", "one_for_one", max_restarts=1000, within_s=60)
    root.start_service("runs-live", run_supervisor)

    deps = RunDeps(hub, relay_ref, persistence, None, live_runs, ids, limits, clock, live_limits)
    owner_id = hub_id or uuid.uuid4()
    runs = root.start_child(ChildSpec("runs", lambda: Runs(run_supervisor, owner_id, deps)))
    root.start_child(ChildSpec("scheduler", lambda: Scheduler(database, runs, live_runs, bus, clock)))
    root.start_child(ChildSpec("limits", lambda: LimitKeeper(database, relay_ref, live_runs, live_limits, bus, clock)))

    def connections() -> ConnectionHub:
        hub = current["hub"]
        assert isinstance(hub, ConnectionHub)  # noqa: S101  # written by this module only
        return hub

    root.start_child(ChildSpec("watches", lambda: Watches(database, connections, runs, bus, ids, limits, clock)))
    root.start_child(ChildSpec("sweeper", lambda: Sweeper(hub, persistence, limits)))

    root.start_child(ChildSpec("housekeeping", lambda: Housekeeping(database, hub, bus, clock)))

    telling = Supervisor("telling", "one_for_one", max_restarts=1000, within_s=60)
    root.start_service("telling", telling)
    reach = Reach(clock)
    notifier = telling.start_child(
        ChildSpec("notifier", lambda: Notifier(database, bus, WebhookClient(reach), MailClient(reach), clock))
    )
    telling.start_child(
        ChildSpec(
            "presence",
            lambda: Presence(database, owner_id, online_ids, clock, limits.agent_away_after),
        )
    )

    def plan(row: PlanRow) -> None:
        planners.start_child(
            ChildSpec(f"plan-{row.id}", lambda: Planner(row, database, hub, ids, limits, clock), "temporary")
        )

    def find_drift(plan_id: int, run_id: int) -> None:
        planners.start_child(ChildSpec(f"drift-{plan_id}", lambda: DriftFinder(plan_id, run_id, database), "temporary"))

    def restarts() -> int:
        return sum(one.restarts for one in (root, sessions, run_supervisor))

    return Tree(
        root,
        pump,
        bus,
        workers,
        live_runs,
        persistence,
        relay_ref,
        hub,
        runs,
        ids,
        plan,
        find_drift,
        restarts,
        current,
        notifier,
    )
