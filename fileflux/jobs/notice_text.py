"""What a mail about an event says: a subject of one line and plain text. Pure; names and reasons are whatever others wrote."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

SUBJECT_MAX: Final = 150
VALUE_MAX: Final = 500
DIGEST_LINES: Final = 100
"""Events that one mail lists; it says how many more there are."""

_ENDED: Final = {
    "run.succeeded": "succeeded",
    "run.partial": "is done, but some files failed",
    "run.failed": "failed",
    "run.cancelled": "was cancelled",
}
_CONTROL: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,187}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Notice:
    """One event as it is told; ``data`` as in a webhook's body."""

    type: str
    at: datetime
    data: Mapping[str, Any]


def is_address(text: str) -> bool:
    """Whether it can be a mail's sender or recipient: one address, without a name, quotes or anything that could end a header."""
    return _ADDRESS.fullmatch(text) is not None and ".." not in text


def plain(value: object, most: int = VALUE_MAX) -> str:
    """One line: what could end a header, move a cursor or turn the direction of text becomes a blank."""
    text = "".join(" " if unicodedata.category(char) in _CONTROL else char for char in str(value)[: most + 1])
    return text if len(text) <= most else f"{text[: most - 1]}…"


def headline(notice: Notice) -> str:
    """What happened, in a few words."""
    data = notice.data
    job, agent = _name(data.get("job")), _name(data.get("agent"))
    match notice.type:
        case "run.started":
            return f"Run of {job} started"
        case "run.succeeded" | "run.partial" | "run.failed" | "run.cancelled":
            return f"Run of {job} {_ENDED[notice.type]}"
        case "file.failed" if data.get("more"):
            return f"More files of {job} failed"
        case "file.failed":
            return f"File of {job} failed: {_field(data, 'file', 'name')}"
        case "agent.online" | "agent.offline":
            return f"Agent {agent} is {notice.type.partition('.')[2]}"
        case "job.changed":
            return f"Job {job} was {plain(data.get('change', 'changed'), 40)}"
        case "job.missed":
            return f"Job {job} did not run when it was due"
        case "job.expectation_failed":
            return f"Job {job} has not succeeded in time"
        case "alert.raised":
            return f"Alert: {_field(data, 'alert', 'message')}"
        case "test":
            return "This is a test"
    return plain(notice.type, 100)


def subject(site: str, notice: Notice) -> str:
    return plain(f"[{site}] {headline(notice)}", SUBJECT_MAX)


def text(notice: Notice, hub_url: str = "") -> str:
    """The mail's body."""
    lines = [headline(notice), "", f"{'event':<20} {notice.type}", f"{'at':<20} {_moment(notice.at)}"]
    for key, value in notice.data.items():
        if isinstance(value, Mapping):
            lines += [_line(f"{key} {name}", item) for name, item in value.items() if item not in (None, "", [])]
        elif key != "path" and value not in (None, "", []):
            lines.append(_line(key, value))
    path = plain(notice.data.get("path") or "")
    if path:
        lines += ["", f"{hub_url.rstrip('/')}{path}"]
    return "\n".join(lines) + "\n"


def digest_subject(site: str, count: int) -> str:
    return plain(f"[{site}] {count} more events", SUBJECT_MAX)


def digest_text(notices: Sequence[Notice]) -> str:
    """One mail for many events, since a mail for each would be too many."""
    lines = [f"{len(notices)} more events in a short time, in one mail:", ""]
    lines += [f"{_moment(one.at)}  {one.type:<24} {headline(one)}" for one in notices[:DIGEST_LINES]]
    if len(notices) > DIGEST_LINES:
        lines.append(f"… and {len(notices) - DIGEST_LINES} more; the hub's delivery log has them all")
    return "\n".join(lines) + "\n"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _line(label: str, value: object) -> str:
    if isinstance(value, (list, tuple)):
        value = ", ".join(map(str, value))
    return f"{plain(label.replace('_', ' '), 40):<20} {plain(value)}"


def _name(value: object) -> str:
    name = value.get("name") if isinstance(value, Mapping) else value
    return plain(name if name not in (None, "") else "?", 100)


def _field(data: Mapping[str, Any], key: str, name: str) -> str:
    inner = data.get(key)
    return plain(inner.get(name, "?") if isinstance(inner, Mapping) else "?", 200)
