"""What all tasks have in common, and the hub's own tasks.

A task is a function from JSON arguments to a JSON value; chunks lie in slots of the arena. Factories are named ``module:function`` and
called once in every worker.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from fileflux.errors import TRANSFER_CODES, FluxError, LocalProtocolError, RemoteProtocolError, TransferError
from fileflux.workers.slots import ArenaView

Task = Callable[[dict[str, Any]], dict[str, Any]]

_MESSAGE_MAX: Final = 500

_OS_CODES: Final = {
    errno.ENOSPC: "no_space",
    errno.EDQUOT: "no_space",
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.ENOENT: "not_found",
    errno.EROFS: "read_only",
}


def describe_os_error(error: OSError) -> TransferError:
    """What the system said, as an error of a transfer: one of no_space, permission, not_found, read_only, io."""
    text = error.strerror or type(error).__name__
    if isinstance(error.filename, (str, bytes)):
        text = f"{text}: {os.fsencode(error.filename).decode('utf-8', 'backslashreplace')}"
    return TransferError(text[:_MESSAGE_MAX], code=_OS_CODES.get(error.errno or 0, "io"))


def describe_error(error: Exception) -> dict[str, Any]:
    """``{code, message, retryable}`` of any exception. Of an unexpected one only the type's name: its text may hold anything."""
    if isinstance(error, OSError):
        error = describe_os_error(error)
    if isinstance(error, FluxError):
        message = error.message.encode("utf-8", "backslashreplace").decode()[:_MESSAGE_MAX]
        return {"code": error.code, "message": message, "retryable": error.retryable}
    return {"code": "internal", "message": type(error).__name__, "retryable": False}


def error_from(described: Mapping[str, Any]) -> FluxError:
    """The parent's half of ``describe_error``: a TransferError when the code is one of TRANSFER_CODES."""
    code, message, retryable = str(described["code"]), str(described["message"]), bool(described["retryable"])
    if code in TRANSFER_CODES:
        return TransferError(message, code=code, retryable=retryable)
    return FluxError(message, code=code, retryable=retryable)


def hub_tasks(init: dict[str, Any], arena: ArenaView | None) -> Mapping[str, Task]:  # noqa: ARG001  # every factory has both
    """The hub's tasks.

    ``check_chunk {slot: [offset, length]}``: is the whole frame in the slot what its header says? ``{ok, reason}``.
    ``hash_password {password}``: ``{hash}`` (argon2id). ``check_password {password, hash}``: ``{ok}``.
    """

    def check_chunk(args: dict[str, Any]) -> dict[str, Any]:
        if arena is None:
            raise LocalProtocolError("check_chunk needs shared memory")
        offset, length = args["slot"]
        reason = _wrong_with(arena.view(offset, length))
        return {"ok": not reason, "reason": reason}

    return {"check_chunk": check_chunk, "hash_password": _hash_password, "check_password": _check_password}


def _wrong_with(frame: memoryview) -> str:
    from fileflux.protocol.compression import decompress
    from fileflux.protocol.frames import parse_frame_header
    from fileflux.protocol.limits import HEADER_SIZE

    try:
        header = parse_frame_header(frame)
        if header.frame_size != len(frame):
            return f"the frame has {len(frame)} bytes, its header says {header.frame_size}"
        data = decompress(header.compression, frame[HEADER_SIZE:], header.size)
    except RemoteProtocolError as error:
        return error.message[:_MESSAGE_MAX]
    if hashlib.sha256(data).digest() != header.sha256:
        return "the chunk's bytes do not have the SHA-256 of its header"
    return ""


def _hash_password(args: dict[str, Any]) -> dict[str, Any]:
    from argon2 import PasswordHasher

    return {"hash": PasswordHasher().hash(args["password"])}


def _check_password(args: dict[str, Any]) -> dict[str, Any]:
    from argon2 import PasswordHasher
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return {"ok": PasswordHasher().verify(args["hash"], args["password"])}
    except (VerificationError, InvalidHashError):
        return {"ok": False}


def password_outdated(password_hash: str) -> bool:
    """Whether ``hash_password`` would use other parameters today. Reads the hash and computes nothing: no task is needed for it."""
    from argon2 import PasswordHasher
    from argon2.exceptions import InvalidHashError

    try:
        return bool(PasswordHasher().check_needs_rehash(password_hash))
    except InvalidHashError:
        return False
