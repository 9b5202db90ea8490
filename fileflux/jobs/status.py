"""The statuses that users see, and which of them are terminal (docs/reference.md, Statuses)."""

from __future__ import annotations

from enum import StrEnum


class AgentStatus(StrEnum):
    NEW = "new"
    PENDING = "pending"
    ONLINE = "online"
    OFFLINE = "offline"
    REVOKED = "revoked"


class RunStatus(StrEnum):
    QUEUED = "queued"
    WAITING_AGENT = "waiting_agent"
    PLANNING = "planning"
    TRANSFERRING = "transferring"
    VERIFYING = "verifying"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        return self in _TERMINAL_RUN


class TransferStatus(StrEnum):
    PENDING = "pending"
    WAITING = "waiting"
    TRANSFERRING = "transferring"
    VERIFYING = "verifying"
    COMPLETED = "completed"
    SKIPPED = "skipped"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        return self in _TERMINAL_TRANSFER


_TERMINAL_RUN = frozenset({RunStatus.SUCCEEDED, RunStatus.PARTIAL, RunStatus.FAILED, RunStatus.CANCELLED})
_TERMINAL_TRANSFER = frozenset(
    {TransferStatus.COMPLETED, TransferStatus.SKIPPED, TransferStatus.FAILED, TransferStatus.CANCELLED}
)
