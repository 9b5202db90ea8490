"""Every error of FileFlux.

Two marks answer the only two questions that callers ask: *try again?* (``retryable``) and *who is at fault?* (``fault``).
The retry policy, the supervisor and the command line's exit code look at the marks and at ``code``, never at the class.

    FluxError
    ├── ConfigError              the configuration or the command line is wrong
    ├── ProtocolError            do not raise this one; raise one of the two below
    │   ├── LocalProtocolError   this program broke the rules: a bug here
    │   └── RemoteProtocolError  the peer broke the rules: refuse, count, audit
    ├── TransferError            one file could not be moved; ``code`` is one of TRANSFER_CODES
    ├── RefusedPathError         a path is outside the roots or not acceptable as a name
    ├── NotFoundError            no such job, agent, run, transfer, file
    ├── ConflictError            it exists already, or its state does not allow this
    ├── AuthError                no valid credentials
    ├── ForbiddenError           valid credentials, not enough rights
    ├── UnavailableError         database, hub, agent or worker is not there just now
    │   ├── WorkerDiedError      the worker process that held the task ended before it answered
    │   ├── UpgradeRefusedError  something between agent and hub does not let WebSocket through (protocol/upgrade.py)
    │   └── ReachError           a layer of the agent's way to its hub fails (flux_agent.transports.reach)
    └── OverloadedError          a bounded queue is full
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class Fault(Enum):
    """Who has to change something before the same thing can work."""

    LOCAL = "local"
    REMOTE = "remote"
    USER = "user"
    ENVIRONMENT = "environment"


class FluxError(Exception):
    """Root of all errors. ``str(error)`` is one line for a person and says what to do next.

    ``code`` is stable and goes to peers, the API and the audit log.
    """

    code: str = "internal"
    retryable: bool = False
    fault: Fault = Fault.LOCAL

    def __init__(self, message: str, *, code: str | None = None, retryable: bool | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        if retryable is not None:
            self.retryable = retryable

    @property
    def message(self) -> str:
        """The sentence for a person."""
        return str(self)


class ConfigError(FluxError):
    code = "config"
    fault = Fault.USER


class ProtocolError(FluxError):
    code = "protocol"


class LocalProtocolError(ProtocolError):
    """A caller in this program asked for something the protocol does not allow."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something the protocol does not allow (docs/protocol.md).

    ``field`` names the offending field of a control message; ``close`` says that the link cannot go on.
    """

    fault = Fault.REMOTE

    def __init__(
        self, message: str, *, code: str = "bad_message", field: str | None = None, close: bool = False
    ) -> None:
        super().__init__(message, code=code)
        self.field = field
        self.close = close


class TransferError(FluxError):
    """One file could not be moved. Codes: see TRANSFER_CODES."""

    fault = Fault.ENVIRONMENT

    def __init__(self, message: str, *, code: str, retryable: bool | None = None) -> None:
        super().__init__(
            message, code=code, retryable=TRANSFER_CODES.get(code, False) if retryable is None else retryable
        )


class RefusedPathError(FluxError):
    code = "refused_path"
    fault = Fault.USER


class NotFoundError(FluxError):
    code = "not_found"
    fault = Fault.USER


class ConflictError(FluxError):
    code = "conflict"
    fault = Fault.USER


class AuthError(FluxError):
    code = "unauthenticated"
    fault = Fault.USER


class ForbiddenError(FluxError):
    code = "forbidden"
    fault = Fault.USER


class UnavailableError(FluxError):
    """``retry_after``: seconds that the other end asked to wait before the next try; 0 when it said nothing."""

    code = "unavailable"
    retryable = True
    fault = Fault.ENVIRONMENT
    retry_after: float = 0.0


class WorkerDiedError(UnavailableError):
    code = "worker_died"


class OverloadedError(FluxError):
    code = "overloaded"
    retryable = True
    fault = Fault.ENVIRONMENT


TRANSFER_CODES: Final[dict[str, bool]] = {
    # code: worth trying again without a person? (jobs/retry.py decides how often)
    "source_changed": True,
    "stale_have": True,
    "no_answer": True,  # an agent with a live session did not answer a request
    "busy": True,  # another live transfer has the same final name
    "worker_died": True,
    "no_space": True,
    "io": True,
    "not_found": False,
    "permission": False,
    "not_regular": False,  # a directory, FIFO, socket or device where a file is needed
    "outside_roots": False,
    "refused_path": False,
    "read_only": False,
    "corrupt": False,  # a chunk failed its hash five times
    "hash_mismatch": False,  # every chunk agreed and the whole file did not
    "exists": False,  # conflict: fail
    "name_collision": False,  # another file of the run has the same name at the destination
    "bad_name": False,  # the destination's system cannot hold the name
    "too_large": False,  # more than 1,048,576 chunks
    "protocol": False,
    "overloaded": True,
    "internal": False,
}
"""Reason codes of a failed transfer; the value says whether trying again can help."""
