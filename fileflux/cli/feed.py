"""The live feed as events, taken up again where a connection broke."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from fileflux.cli.client import HubClient
from fileflux.cli.options import WaitedTooLongError
from fileflux.errors import FluxError, UnavailableError
from fileflux.protocol.limits import MIB

SILENCE_S: Final = 40.0
"""The hub says something every 15 s: after this its connection is dead, whatever the system thinks."""
MAX_EVENT: Final = MIB
PATIENCE_S: Final = 300.0
"""How long a hub may be away before following gives up."""
PAUSE_S: Final = 1.0


def follow_feed(
    client: HubClient, run_id: int | None, say: Callable[[str], None], timeout: float | None = None
) -> Iterator[dict[str, Any]]:
    """``{"id", "type", "data"}``, one after the other, without end.

    Raises WaitedTooLongError after ``timeout`` seconds, UnavailableError for a hub that is not there, or is away for long.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    last_id = ""
    reached, away_since = False, 0.0
    while True:
        silence = SILENCE_S if deadline is None else min(SILENCE_S, max(0.1, deadline - time.monotonic()))
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
        try:
            with client.stream("/api/events", silence, headers, run_id=run_id) as pieces:
                reached, away_since = True, 0.0
                for event in parse(pieces, deadline):
                    last_id = event["id"] or last_id
                    yield event
        except UnavailableError as error:
            _check(deadline)
            now = time.monotonic()
            if not reached:
                raise
            if away_since == 0.0:
                away_since = now
                say(f"{error.message}; waiting for it")
            elif now - away_since > PATIENCE_S:
                raise
        _check(deadline)
        time.sleep(PAUSE_S)


def parse(pieces: Iterator[bytes], deadline: float | None = None) -> Iterator[dict[str, Any]]:
    """Server-sent events out of the bytes of a stream. Raises FluxError for what is no such stream."""
    rest = b""
    fields: dict[str, str] = {}
    for piece in pieces:
        _check(deadline)
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > MAX_EVENT:
            raise FluxError("an event of the live feed is too large", code="bad_answer")
        for line in lines:
            text = line.decode("utf-8", "replace").rstrip("\r")
            name, _, value = text.partition(":")
            if name:
                value = value.removeprefix(" ")
                fields[name] = f"{fields['data']}\n{value}" if name == "data" and "data" in fields else value
            elif not text:
                if "data" in fields:
                    yield _event(fields)
                fields = {}


def _event(fields: dict[str, str]) -> dict[str, Any]:
    try:
        data = json.loads(fields["data"])
    except (ValueError, RecursionError):
        raise FluxError("an event of the live feed is no JSON; check the address", code="bad_answer") from None
    return {"id": fields.get("id", ""), "type": fields.get("event", "message"), "data": data}


def _check(deadline: float | None) -> None:
    if deadline is not None and time.monotonic() >= deadline:
        raise WaitedTooLongError("the time of --timeout is over")
