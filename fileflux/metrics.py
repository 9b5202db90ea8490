"""Every metric of the program, in one place and present at zero.

Plain integers, so that the agent needs no metrics library. A label's values are fixed where the metric is made; any other value counts as
``other``: what peers send can never make a new series. Counting is for the thread of the loop; it takes no lock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from fileflux.errors import LocalProtocolError

OTHER: Final = "other"


@dataclass(frozen=True, slots=True)
class Sample:
    """One number to show. ``label_value`` is empty for a metric without a label."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    label: str
    label_value: str
    value: int


class _Metric:
    kind: Literal["counter", "gauge"]

    def __init__(self, name: str, help_text: str, label: str = "", values: Sequence[str] = ()) -> None:
        self.name = name
        self.help = help_text
        self.label = label
        self._values: dict[str, int] = dict.fromkeys((*values, OTHER) if label else ("",), 0)

    def value(self, label_value: str = "") -> int:
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


class Gauge(_Metric):
    """Goes up and down."""

    kind = "gauge"

    def set(self, value: int, label_value: str = "") -> None:
        self._values[self._key(label_value)] = value

    def add(self, by: int, label_value: str = "") -> None:
        self._values[self._key(label_value)] += by


class Metrics:
    """All metrics of one process. Made once by the composition root and handed to who counts."""

    def __init__(self) -> None:
        ends = ("succeeded", "partial", "failed", "cancelled")
        self.agents_online = Gauge("fileflux_agents_online", "Agents with a live link.")
        self.links_opened = Counter(
            "fileflux_links_opened_total", "Links that were opened.", "transport", ("websocket", "polling")
        )
        self.messages_refused = Counter(
            "fileflux_messages_refused_total",
            "Messages and frames that broke the protocol.",
            "code",
            ("bad_message", "bad_magic", "bad_payload", "short_header", "too_large", "piece_order", "not_yours"),
        )
        self.bytes_relayed = Counter("fileflux_relayed_bytes_total", "Bytes of frames that passed through the relay.")
        self.bytes_held = Gauge("fileflux_relay_held_bytes", "Bytes of pieces that the relay holds.")
        self.runs_ended = Counter("fileflux_runs_ended_total", "Runs that reached a terminal status.", "status", ends)
        self.transfers_ended = Counter(
            "fileflux_transfers_ended_total",
            "Transfers that reached a terminal status.",
            "status",
            ("completed", "skipped", "failed", "cancelled"),
        )
        self.actor_restarts = Counter("fileflux_actor_restarts_total", "Actors and services that were restarted.")
        self.worker_restarts = Counter("fileflux_worker_restarts_total", "Worker processes that were restarted.")
        self.events_dropped = Counter("fileflux_events_dropped_total", "Events lost by subscribers that were too slow.")

    def samples(self) -> Iterator[Sample]:
        """Everything there is to show, in a stable order."""
        for metric in vars(self).values():
            if isinstance(metric, _Metric):
                yield from metric.samples()
