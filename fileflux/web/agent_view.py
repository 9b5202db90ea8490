"""What an agent answered to people's questions, as the API shows it. Nothing in it is trusted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fileflux.errors import ConflictError, FluxError, ForbiddenError, NotFoundError, OverloadedError, UnavailableError
from fileflux.protocol.messages import BrowseItem, BrowseResult, DoctorResult
from fileflux.storage.values import name_to_bytes, shown_name
from fileflux.web.agent_schemas import browse_cursor

_ERRORS: Final[dict[str, tuple[type[FluxError], str]]] = {
    "not_found": (NotFoundError, "not_found"),
    "outside_roots": (ForbiddenError, "outside_roots"),
    "refused_path": (ForbiddenError, "refused_path"),
    "permission": (ForbiddenError, "permission"),
    "not_regular": (ConflictError, "not_a_directory"),
    "too_large": (ConflictError, "too_large"),
    "overloaded": (OverloadedError, "overloaded"),
    "busy": (ConflictError, "busy"),
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def answered_page(answer: BrowseResult) -> dict[str, Any]:
    """Raises the error that the agent's code stands for; UnavailableError for one of its system."""
    refuse(answer.code, answer.message)
    return {
        "path": _shown(answer.path),
        "parent": None if answer.parent is None else _shown(answer.parent),
        "items": [_item(item) for item in answer.items],
        "next_cursor": browse_cursor(answer.following) if answer.following else None,
    }


def answered_report(answer: DoctorResult) -> dict[str, Any]:
    """Raises as ``answered_page`` does."""
    refuse(answer.code, answer.message)
    checks = [
        {"name": _line(c.name), "status": c.status, "found": _line(c.found), "advice": _line(c.advice)}
        for c in answer.checks
    ]
    return {"works": all(check["status"] != "fail" for check in checks), "checks": checks}


def refuse(code: str, message: str) -> None:
    """Raise the error that a code of an agent stands for; nothing without one."""
    if code:
        kind, shown = _ERRORS.get(code, (UnavailableError, "agent_failed"))
        raise kind(_line(message) or "the agent could not do this and did not say why", code=shown)


def _item(item: BrowseItem) -> dict[str, Any]:
    name = _shown(item.name)
    return {
        "name": name,
        "exact": name == item.name,
        "kind": item.kind,
        "size": item.size,
        "mtime": None if item.mtime_ns is None else _moment(item.mtime_ns),
        "mode": item.mode,
        "read": item.read,
        "write": item.write,
    }


def _shown(path: str) -> str:
    return shown_name(name_to_bytes(path))


def _moment(nanoseconds: int) -> datetime:
    # 64 bits of nanoseconds are years from 1677 to 2262.
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def _line(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
