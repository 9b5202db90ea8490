"""Every limit and time-out, each with its reason. Nothing else in the project holds such a number.

All values can be set by configuration (section ``[limits]``, or ``FILEFLUX_LIMITS_<NAME>`` / ``FLUX_AGENT_LIMITS_<NAME>``): tests shorten
times that way, and nobody else should need to. What is part of the wire format is a module constant and cannot be set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Final

from fileflux.errors import ConfigError

KIB: Final = 1024
MIB: Final = 1024 * KIB

HEADER_SIZE: Final = 57
"""Bytes of a frame's header (docs/protocol.md, Binary messages)."""
HASH_SIZE: Final = 32
DEFAULT_CHUNK_SIZE: Final = 8 * MIB
MIN_CHUNK_SIZE: Final = 256 * KIB
MAX_CHUNK_SIZE: Final = 64 * MIB
MAX_CHUNKS: Final = 1_048_576
"""Chunks in one file: bounds bitmaps and have-lists at both ends (32 MiB of hashes)."""
MAX_FILE_SIZE: Final = MAX_CHUNKS * MAX_CHUNK_SIZE
HAVE_PAGE_MAX: Final = 8192
"""Hashes in one have page: 256 KiB, so that no page holds up a heartbeat."""
BANDWIDTH_MIN: Final = 1024
"""Bytes per second: a limit below it is a mistake, as in megabytes."""
BANDWIDTH_MAX: Final = 2**40
MAX_ITEMS: Final = 1000
"""Items in one control message: about 300 KiB of JSON, well under max_text_bytes."""
MAX_PATH_BYTES: Final = 4096
MAX_NAME_BYTES: Final = 255
BUNDLE_FILES: Final = 500
"""Files in one bundle: about 100 KiB of JSON, and as many rows as are written in one statement."""
BUNDLE_FILE_MAX: Final = 128 * KIB
"""A larger file gains nothing from company."""
BUNDLE_BYTES: Final = 4 * MIB
"""Of all files of a bundle, which are one chunk."""
BUNDLE_NAMES: Final = 128 * KIB
"""Bytes of all names of a bundle: six of them in JSON for one that is escaped."""
PROTOCOL_VERSIONS: Final = (1,)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that both ends respect. Seconds unless the name says otherwise; sizes in bytes."""

    max_text_bytes: int = 1 * MIB
    """A control message. Parsing 1 MiB of JSON takes about 10 ms of the loop."""
    max_binary_bytes: int = 2 * MIB
    """A binary message: one piece of at most 1 MiB with room for batches of small frames."""
    piece_min: int = 16 * KIB
    piece_max: int = 1 * MIB - 64
    """With its heads it fits into a slice of 1 MiB, so that it is passed on without a copy."""
    piece_seconds: float = 0.05
    """A piece is about this long on the link, and so is what the system holds unsent: what a heartbeat waits for."""
    outbox_max: int = 1000
    """Control messages sent and not acknowledged: then their producer waits."""
    ack_after_messages: int = 64
    ack_after_s: float = 1.0
    ping_interval: float = 20.0
    """Shorter than the idle time-outs of common proxies (30 s and more)."""
    silence_timeout: float = 60.0
    """No byte for three ping intervals: the peer is gone."""
    heartbeat_interval: float = 60.0
    handshake_timeout: float = 10.0
    """From the open connection to the end of the handshake; slow-loris guard. Also for the head of any HTTP request and for each pause in its body."""
    keep_alive_timeout: float = 75.0
    """Between two requests on one connection: more than the minute that clients keep a connection for."""
    body_rate_window: float = 30.0
    """A request's body that brings less than 1 KiB a second while the hub waits so long for it is given up."""
    pending_per_address: int = 256
    """Connections of one address that have not finished their first request's head: a thousand agents behind one address share it with room."""
    session_linger: float = 300.0
    """How long the hub keeps a session without a link; afterwards the agent gets a new one and transfers start new attempts."""
    reconnect_initial: float = 1.0
    reconnect_max: float = 30.0
    reconnect_max_late: float = 300.0
    """After reconnect_late of failures: a hub that is down for a day is not hammered by its agents."""
    reconnect_late: float = 3600.0
    duplicate_wait: float = 60.0
    """After close code 4409 (a newer session took over), doubling: two hosts with one token must not fight."""
    websocket_probe_interval: float = 300.0
    young_link: float = 60.0
    """A WebSocket that worked and is cut sooner than this was cut by something in between: long-polling is next, and the probes get rarer."""
    poll_timeout: float = 25.0
    """How long the hub holds a poll: shorter than the idle time-outs of common proxies (30 s and more)."""
    polls_max: int = 8
    """Polls of one agent that may wait at once; one while nothing moves."""
    slices_in_flight: int = 8
    """Slices of one direction that are on their way at once: four large ones, and small ones between them."""
    slice_min: int = 8 * KIB
    """Four of them are half a second of 64 kB/s: what a heartbeat waits for on the slowest link."""
    slice_start: int = 1 * MIB
    """The largest slice at first: the body that nginx takes as it is shipped."""
    slice_max: int = 4 * MIB
    """Four of them fill 100 MB/s at a round trip of 100 ms."""
    slice_queue_s: float = 0.2
    """Slices in flight beyond what the round trip needs, as time: so long does a message wait for those ahead of it."""
    slice_reorder_budget: int = 64 * MIB
    """Slices that the hub holds, over all agents, because the one before is still on its way; then their senders wait."""
    request_retry: float = 20.0
    """How long one request of long-polling is repeated before the link is given up."""
    window_max: int = 64 * MIB
    """Unacknowledged bytes of one transfer; more than one sync group, so that syncing never stops the stream."""
    receive_buffer: int = 96 * MIB
    """What a destination agent holds of chunks that are not yet written, over all its transfers."""
    relay_budget: int = 96 * MIB
    """Bytes of pieces that the hub holds at once, over all streams."""
    relay_share_max: int = 32 * MIB
    """Of one stream. Over long-polling at 100 MB/s and 100 ms a byte is granted again 0.27 s after it was."""
    slow_destination_after: float = 2.0
    """A destination that has not drained for so long shares half of relay_budget with all others like it."""
    nack_max: int = 5
    """A chunk refused so often is corrupt at its source or on its way: the transfer fails."""
    sync_group_bytes: int = 32 * MIB
    sync_group_s: float = 0.1
    list_page: int = 500
    """Entries in one page of a listing: about 60 KiB of JSON."""
    list_timeout: float = 120.0
    """A page that takes longer: the listing is given up and started again."""
    watch_events: float = 0.25
    """How often an agent asks for the events of a watched path: what a file that is ready waits at most, besides its settling."""
    watch_rescan: float = 60.0
    """How often a watched path is scanned although its events are heard: some may be lost."""
    watch_poll: float = 5.0
    """How often it is scanned where there are no events, and looked for when it is not there."""
    watch_gather: float = 1.0
    """How long the hub gathers files that arrived before it makes a run of them."""
    request_timeout: float = 120.0
    """A transfer's request that an agent on a live session has not answered: a new attempt is made, as after a failure."""
    worker_in_flight: int = 4
    """Tasks handed to one worker at once: one runs, the others hide the way there and back."""
    worker_backlog: int = 20_000
    worker_restart_delay: float = 0.2
    arena_bytes: int = 128 * MIB
    """Shared memory for chunks between an agent's main process and its workers."""
    transfers_parallel: int = 8
    stop_timeout: float = 30.0
    progress_interval: float = 1.0
    database_retry: float = 0.5
    parts_sweep_interval: float = 30.0
    """How often the hub looks for runs that ended while their destination was away: its parts are not urgent, and none is made by waiting."""
    run_lease: float = 60.0
    """So long after a hub's last sign of life another one takes its runs; it says so three times as often."""
    database_statement_timeout: float = 30.0
    small_messages_flush: float = 0.005
    """How long items of control messages are gathered before they leave together."""
    agent_away_after: float = 60.0
    """An agent that is back sooner was not away as far as notifications are concerned: flapping links are no news."""
    data_free_min: int = 128 * MIB
    """Free space in the hub's data folder: eight segments of PostgreSQL's log, and room to clear up. Below it /readyz says so."""
    feed_heartbeat: float = 15.0
    """Between two comments on an idle feed, shorter than the idle time-outs of proxies; then its client's rights are looked at again too."""
    feeds_max: int = 2000
    """Open feeds: a waiting greenlet each."""
    feeds_per_user: int = 64
    """More tabs than anybody has open, and no script can take all places."""
    login_attempts: int = 10
    login_window: float = 300.0
    """Failed logins allowed for one account or address within the window."""

    def with_overrides(self, overrides: Mapping[str, object]) -> Limits:
        """A copy with values by name; strings are converted.

        Raises ConfigError for an unknown name or a value that is not a positive number.
        """
        kinds = {field.name: type(getattr(self, field.name)) for field in fields(self)}
        changes: dict[str, int | float] = {}
        for name, value in overrides.items():
            if name not in kinds:
                # With it comes YAML, and every command has limits.
                from fileflux.config import suggestion

                raise ConfigError(f"unknown limit {name!r}{suggestion(name, kinds)}")
            try:
                number = kinds[name](str(value))
            except ValueError:
                raise ConfigError(f"limit {name} must be a {kinds[name].__name__}, not {value!r}") from None
            if not 0 < number < 2**53:
                raise ConfigError(f"limit {name} must be above 0, not {value!r}")
            changes[name] = number
        return replace(self, **changes)  # type: ignore[arg-type]  # mypy cannot see that names and kinds were checked above


DEFAULT_LIMITS: Final = Limits()
