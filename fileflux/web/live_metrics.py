"""Where the numbers come from that somebody else keeps: read from the running hub when ``/metrics`` is asked for."""

from __future__ import annotations

from fileflux.actors.kernel.lag import LoopLag
from fileflux.actors.tree import Tree
from fileflux.metrics import Metrics
from fileflux.storage.pool import Database
from fileflux.web.readiness import Readiness


def gather(metrics: Metrics, tree: Tree, database: Database, readiness: Readiness, lag: LoopLag) -> None:
    """Have ``metrics`` look at all of these before it shows its numbers."""

    def live() -> None:
        metrics.agents_online.set(tree.connections.online)
        metrics.bytes_held.set(tree.relay.bytes_held)
        metrics.runs_live.set(len(tree.live_runs))
        metrics.actor_restarts.follow(tree.restarts())
        workers = tree.workers.statistics()
        metrics.workers_alive.set(workers.alive)
        metrics.worker_queue.set(workers.queued)
        metrics.worker_restarts.follow(workers.restarts)
        metrics.events_dropped.follow(tree.bus.dropped)
        connections = database.statistics()
        metrics.database_in_use.set(connections.in_use)
        metrics.database_max.set(connections.size)
        metrics.loop_lag.set(lag.worst)

    def checked() -> None:
        state = readiness.state()
        for name, good in state.checks.items():
            metrics.check_ok.set(int(good), name)
        metrics.data_free.set(state.free)
        if state.alerts is not None:
            for kind in ("token_on_two_hosts", "refresh_reused"):
                metrics.alerts_open.set(state.alerts.get(kind, 0), kind)

    metrics.on_scrape(live)
    metrics.on_scrape(checked)
