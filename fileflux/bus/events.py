"""Events of the hub: facts that are stored already, for whoever watches. Frozen; ids lead to the rows.

What must not be lost (audit, webhooks) is written in the same transaction as the state, never taken from here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AgentOnline:
    """``transport`` is ``websocket`` or ``polling``."""

    agent_id: int
    session_id: str
    transport: str


@dataclass(frozen=True, slots=True)
class AgentOffline:
    agent_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class AgentChanged:
    """What is stored of an agent is new: its name, its tags, what it says of itself, its revocation."""

    agent_id: int


@dataclass(frozen=True, slots=True)
class RunStarted:
    """This hub drives the run from now on: a new one, or one that an earlier process of the hub left behind."""

    run_id: int


@dataclass(frozen=True, slots=True)
class RunChanged:
    """``status`` is a RunStatus value that is not terminal."""

    run_id: int
    status: str


@dataclass(frozen=True, slots=True)
class RunEnded:
    """``status`` is a terminal RunStatus value."""

    run_id: int
    status: str


@dataclass(frozen=True, slots=True)
class TransferChanged:
    """``status`` is a TransferStatus value."""

    transfer_id: int
    run_id: int
    status: str


@dataclass(frozen=True, slots=True)
class TransferCompleted:
    transfer_id: int
    run_id: int


@dataclass(frozen=True, slots=True)
class TransferFailed:
    """``code`` is one of TRANSFER_CODES."""

    transfer_id: int
    run_id: int
    code: str


@dataclass(frozen=True, slots=True)
class JobChanged:
    """A job was made, edited or deleted; ``version`` is the newest."""

    job_id: int
    version: int
    deleted: bool


@dataclass(frozen=True, slots=True)
class SettingsChanged:
    """Something that is set for the whole hub is new."""


@dataclass(frozen=True, slots=True)
class AlertRaised:
    """An alert is open, for the first time or once more, or was dismissed; ``kind`` and ``message`` as in its row."""

    alert_id: int
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class FrameRefused:
    """An agent sent something that is against the protocol."""

    agent_id: int
    code: str
    message: str


Event = (
    AgentOnline
    | AgentOffline
    | AgentChanged
    | RunStarted
    | RunChanged
    | RunEnded
    | TransferChanged
    | TransferCompleted
    | TransferFailed
    | JobChanged
    | SettingsChanged
    | AlertRaised
    | FrameRefused
)
