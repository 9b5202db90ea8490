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
MAX_ITEMS: Final = 1000
"""Items in one control message: about 300 KiB of JSON, well under max_text_bytes."""
MAX_PATH_BYTES: Final = 4096
MAX_NAME_BYTES: Final = 255
PROTOCOL_VERSIONS: Final = (1,)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that both ends respect. Seconds unless the name says otherwise; sizes in bytes."""

    max_text_bytes: int = 1 * MIB
    """A control message. Parsing 1 MiB of JSON takes about 10 ms of the loop."""
    max_binary_bytes: int = 2 * MIB
    """A binary message: one piece of at most 1 MiB with room for batches of small frames."""
    piece_min: int = 64 * KIB
    piece_max: int = 1 * MIB
    piece_seconds: float = 0.05
    """A piece is about this long on the link, so that a heartbeat never waits longer behind one."""
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
    """From the open connection to the end of the handshake; slow-loris guard."""
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
    window_max: int = 64 * MIB
    """Unacknowledged bytes of one transfer; more than one sync group, so that syncing never stops the stream."""
    receive_buffer: int = 96 * MIB
    """What a destination agent holds of chunks that are not yet written, over all its transfers."""
    relay_budget: int = 96 * MIB
    """Bytes of pieces that the hub holds at once, over all streams."""
    relay_share_max: int = 16 * MIB
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
    database_statement_timeout: float = 30.0
    small_messages_flush: float = 0.005
    """How long items of control messages are gathered before they leave together."""
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
                raise ConfigError(f"unknown limit {name!r}; known limits are the fields of Limits in docs/reference.md")
            try:
                number = kinds[name](str(value))
            except ValueError:
                raise ConfigError(f"limit {name} must be a {kinds[name].__name__}, not {value!r}") from None
            if not 0 < number < 2**53:
                raise ConfigError(f"limit {name} must be above 0, not {value!r}")
            changes[name] = number
        return replace(self, **changes)  # type: ignore[arg-type]  # mypy cannot see that names and kinds were checked above


DEFAULT_LIMITS: Final = Limits()
