"""Every metric of the program, in one place and present at zero.

Plain numbers, so that the agent needs no metrics library. A label's values are fixed where the metric is made; any other value counts as
``other``: what peers send can never make a new series. Counting is for the thread of the loop; it takes no lock.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from fileflux.errors import LocalProtocolError

OTHER: Final = "other"
Kind = Literal["counter", "gauge", "histogram"]

REFUSALS: Final = (
    "bad_ack", "bad_chunk", "bad_compression", "bad_geometry", "bad_have", "bad_id", "bad_index", "bad_magic", "bad_message",
    "bad_payload", "bad_record", "bad_slice", "bad_text", "foreign_transfer", "not_yours", "out_of_place", "overrun",
    "piece_order", "sequence", "short_header", "too_large", "truncated", "unknown_transfer", "version", "window",
    "wrong_direction", "wrong_role",
)  # fmt: skip
"""Codes of RemoteProtocolError that the hub raises; a code that is not here counts as ``other``."""
REQUEST_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""From a read out of memory to a login that waits for its worker."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One number to show. ``label`` is empty for a metric without one; ``suffix`` tells a histogram's numbers apart."""

    name: str
    kind: Kind
    help: str
    label: str
    label_value: str
    value: float
    suffix: str = ""


class _Metric:
    kind: Kind

    def __init__(self, name: str, help_text: str, label: str = "", values: Sequence[str] = ()) -> None:
        self.name = name
        self.help = help_text
        self.label = label
        self._values: dict[str, float] = dict.fromkeys((*values, OTHER) if label else ("",), 0)

    def value(self, label_value: str = "") -> float:
        """The number for one label value, or of a metric without a label."""
        return self._values[self._key(label_value)]

    def samples(self) -> Iterator[Sample]:
        for label_value, value in self._values.items():
            yield Sample(self.name, self.kind, self.help, self.label, label_value, value)

    def _key(self, label_value: str) -> str:
        return label_value if label_value in self._values else OTHER if self.label else ""


class Counter(_Metric):
    """Only grows."""

    kind = "counter"

    def inc(self, label_value: str = "", by: int = 1) -> None:
        """Add ``by``, which is not negative."""
        if by < 0:
            raise LocalProtocolError(f"the counter {self.name} cannot shrink")
        self._values[self._key(label_value)] += by

    def follow(self, total: int) -> None:
        """Show what is counted elsewhere; a smaller ``total`` than before is ignored."""
        self._values[""] = max(self._values[""], total)


class Gauge(_Metric):
    """Goes up and down."""

    kind = "gauge"

    def set(self, value: float, label_value: str = "") -> None:
        self._values[self._key(label_value)] = value

    def add(self, by: float, label_value: str = "") -> None:
        self._values[self._key(label_value)] += by


class Histogram:
    """How often a value was at most so large. ``bounds`` ascend; what is larger still counts under ``+Inf``."""

    def __init__(self, name: str, help_text: str, bounds: Sequence[float]) -> None:
        self.name = name
        self.help = help_text
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    @property
    def count(self) -> int:
        return sum(self._counts)

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def samples(self) -> Iterator[Sample]:
        below = 0
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            below += count
            yield Sample(self.name, "histogram", self.help, "le", bound, below, "_bucket")
        yield Sample(self.name, "histogram", self.help, "", "", self._sum, "_sum")
        yield Sample(self.name, "histogram", self.help, "", "", below, "_count")


class Traffic:
    """What the data plane counts: plain attributes, since it does so for every piece."""

    __slots__ = ("bytes_relayed", "chunks_refused")

    def __init__(self) -> None:
        self.bytes_relayed = 0
        self.chunks_refused = 0


class Metrics:
    """All metrics of one process. Made once by the composition root and handed to who counts."""

    def __init__(self) -> None:
        ends = ("succeeded", "partial", "failed", "cancelled")
        self.agents_online = Gauge("fileflux_agents_online", "Agents with a live link.")
        self.links_opened = Counter(
            "fileflux_links_opened_total", "Links that were opened.", "transport", ("websocket", "polling")
        )
        self.messages_refused = Counter(
            "fileflux_messages_refused_total", "Messages and frames that broke the protocol.", "code", REFUSALS
        )
        self.bytes_relayed = Counter("fileflux_relayed_bytes_total", "Bytes of frames that passed through the relay.")
        self.bytes_held = Gauge("fileflux_relay_held_bytes", "Bytes of pieces that the relay holds.")
        self.chunks_refused = Counter(
            "fileflux_chunks_refused_total",
            "Refusals of chunks by the destination or by the hub: their hash was wrong.",
        )
        self.runs_live = Gauge("fileflux_runs_live", "Runs that have not ended.")
        self.runs_ended = Counter("fileflux_runs_ended_total", "Runs that reached a terminal status.", "status", ends)
        self.transfers_ended = Counter(
            "fileflux_transfers_ended_total",
            "Transfers that reached a terminal status.",
            "status",
            ("completed", "skipped", "failed", "cancelled"),
        )
        self.actor_restarts = Counter("fileflux_actor_restarts_total", "Actors and services that were restarted.")
        self.workers_alive = Gauge("fileflux_workers_alive", "Worker processes that take tasks.")
        self.worker_restarts = Counter("fileflux_worker_restarts_total", "Worker processes that were restarted.")
        self.worker_queue = Gauge("fileflux_worker_tasks_queued", "Tasks that wait for a worker process.")
        self.events_dropped = Counter("fileflux_events_dropped_total", "Events lost by subscribers that were too slow.")
        self.requests = Counter(
            "fileflux_http_requests_total", "Answered requests.", "status", ("1xx", "2xx", "3xx", "4xx", "5xx")
        )
        self.request_seconds = Histogram(
            "fileflux_http_request_duration_seconds",
            "Time to the answer, without routes that wait on purpose: polls of agents and live feeds.",
            REQUEST_SECONDS,
        )
        self.connections_refused = Counter(
            "fileflux_http_connections_refused_total", "Connections that were closed because what came was no request."
        )
        self.database_in_use = Gauge(
            "fileflux_database_connections_in_use", "Connections to the database in a transaction."
        )
        self.database_max = Gauge("fileflux_database_connections_max", "Connections that the hub may open.")
        self.loop_lag = Gauge(
            "fileflux_loop_lag_seconds", "The longest that the hub's loop was held up in the last 15 to 30 s."
        )
        self.alerts_open = Gauge(
            "fileflux_alerts_open",
            "Alerts that nobody has dismissed.",
            "kind",
            ("token_on_two_hosts", "refresh_reused"),
        )
        self.check_ok = Gauge(
            "fileflux_check_ok", "1 for each check of /readyz that is ok.", "check", ("database", "workers", "disk")
        )
        self.data_free = Gauge("fileflux_data_free_bytes", "Free space in the hub's data folder.")
        self.traffic = Traffic()
        self._gatherers: list[Callable[[], None]] = []

    def on_scrape(self, gather: Callable[[], None]) -> None:
        """Call ``gather`` before the numbers are shown: it sets those that are kept elsewhere. It must not raise."""
        self._gatherers.append(gather)

    def samples(self) -> Iterator[Sample]:
        """Everything there is to show, in a stable order."""
        for gather in self._gatherers:
            gather()
        self.bytes_relayed.follow(self.traffic.bytes_relayed)
        self.chunks_refused.follow(self.traffic.chunks_refused)
        for metric in vars(self).values():
            if isinstance(metric, _Metric | Histogram):
                yield from metric.samples()
