"""What a job is. A run keeps the JobSpec it was started with, so that an edit never changes a running run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from fileflux.protocol.limits import DEFAULT_CHUNK_SIZE
from fileflux.protocol.messages import Compression, Conflict, OnChange, Verify

JobType = Literal["push", "pull"]
HubCheck = Literal["off", "sample", "all"]
Preserve = Literal["mtime", "mode"]


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
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    recursive: bool = True
    compression: Compression = "auto"
    chunk_size: int = DEFAULT_CHUNK_SIZE
    verify: Verify = "chunks"
    hub_check: HubCheck = "sample"
    conflict: Conflict = "overwrite"
    on_change: OnChange = "retry"
    preserve: tuple[Preserve, ...] = ("mtime", "mode")
    retry_attempts: int = 5
    retry_delay_s: float = 10.0
    retry_factor: float = 2.0
    deadline_s: float = 7 * 24 * 3600.0
    parallel: int = 8

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON column; ``from_json`` is the inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> JobSpec:
        """Unknown keys (written by a newer version) are left out, missing ones take their defaults."""
        known = {field.name: data[field.name] for field in fields(cls) if field.name in data}
        for name in ("tags", "include", "exclude", "preserve"):
            if name in known:
                known[name] = tuple(known[name])
        return cls(**known)
