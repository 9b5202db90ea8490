"""What a job is. A run keeps the JobSpec it was started with, so that an edit never changes a running run; of ``bandwidth_limit``, ``priority`` and
``parallel`` it follows the job (``actors/live_limits.py``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from fileflux.protocol.limits import DEFAULT_CHUNK_SIZE
from fileflux.protocol.messages import Compression, Conflict, OnChange, OnSuccess, Verify

JobType = Literal["push", "pull"]
HubCheck = Literal["off", "sample", "all"]
Preserve = Literal["mtime", "mode"]
Overlap = Literal["skip", "queue", "cancel"]
CatchUp = Literal["skip", "once"]
Symlinks = Literal["skip", "copy", "follow"]
Names = Literal["reject", "encode"]


@dataclass(frozen=True, slots=True)
class WatchRule:
    """When files that arrive at the source start a run (docs/how-to/watch-a-folder.md).

    A file is ready when size and mtime have not changed for ``settle_s`` seconds or it was renamed into place, and, with a ``marker``, when a
    file of its name with that suffix stands beside it. ``poll_s``: look so often instead of waiting for the system's events.
    """

    settle_s: float = 5.0
    marker: str = ""
    poll_s: float | None = None


@dataclass(frozen=True, slots=True)
class JobSpec:
    """Everything that decides what a run of the job does (docs/reference.md, A job)."""

    name: str
    source_agent_id: int
    source_path: str
    destination_agent_id: int
    destination_path: str
    description: str = ""
    tags: tuple[str, ...] = ()
    type: JobType = "push"
    pattern: str = ""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    recursive: bool = True
    schedule: str | None = None
    timezone: str = "UTC"
    overlap: Overlap = "skip"
    catch_up: CatchUp = "once"
    jitter_s: float = 0.0
    watch: WatchRule | None = None
    compression: Compression = "auto"
    chunk_size: int = DEFAULT_CHUNK_SIZE
    verify: Verify = "chunks"
    hub_check: HubCheck = "sample"
    conflict: Conflict = "overwrite"
    delete_extra: bool = False
    on_success: OnSuccess = "keep"
    archive_path: str = ""
    """With ``on_success: archive``: below the source's folder, or absolute; empty for ``.fileflux-archive``."""
    on_change: OnChange = "retry"
    preserve: tuple[Preserve, ...] = ("mtime", "mode")
    symlinks: Symlinks = "skip"
    names: Names = "reject"
    retry_attempts: int = 5
    retry_delay_s: float = 10.0
    retry_factor: float = 2.0
    deadline_s: float = 7 * 24 * 3600.0
    expected_by: str | None = None
    """A time of day or a cron expression, in ``timezone``: a run must have succeeded since the one before."""
    min_age_s: float = 0.0
    keep_versions: int = 0
    bandwidth_limit: int | None = None
    """Bytes per second over the wire, of all transfers of a run together."""
    priority: int = 5
    """1 (last) to 9 (first)."""
    parallel: int = 8

    @property
    def wanted(self) -> tuple[str, ...]:
        """The include patterns: ``pattern`` is one more of them."""
        return (self.pattern, *self.include) if self.pattern else self.include

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON column; ``from_json`` is the inverse."""
        # ``asdict`` copies every value with great care: a third of a millisecond, and imports have ten thousand jobs.
        plain = {name: getattr(self, name) for name in self.__slots__}
        return plain if self.watch is None else plain | {"watch": asdict(self.watch)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> JobSpec:
        """Unknown keys (written by a newer version) are left out, missing ones take their defaults."""
        known = {field.name: data[field.name] for field in fields(cls) if field.name in data}
        for name in ("tags", "include", "exclude", "preserve"):
            if name in known:
                known[name] = tuple(known[name])
        if known.get("watch") is not None:
            known["watch"] = WatchRule(**known["watch"])
        return cls(**known)
