"""The live feed: parsing, and going on after a connection that broke."""

from __future__ import annotations

import json

import pytest

from fileflux import errors as e
from fileflux.cli import feed
from fileflux.cli.options import ExitCode
from tests.cli.conftest import EVENTS, Command
from tests.cli.stub import StubHub


@pytest.mark.unit
@pytest.mark.parametrize("cut", range(1, len(EVENTS), 7))
def test_events_come_out_however_the_bytes_are_cut(cut: int) -> None:
    pieces = [EVENTS[start : start + cut] for start in range(0, len(EVENTS), cut)]
    assert list(feed.parse(iter(pieces))) == [
        {"id": "41", "type": "run", "data": {"id": 5}},
        {"id": "42", "type": "transfer", "data": {"id": 8}},
    ]


@pytest.mark.unit
@pytest.mark.parametrize("stream", [b"data: {\n\n", b"data: " + b"[" * 100_000 + b"\n\n", b"x" * (feed.MAX_EVENT + 1)])
def test_what_is_no_feed(stream: bytes) -> None:
    with pytest.raises(e.FluxError):
        list(feed.parse(iter([stream])))


def test_a_line_each_and_on_after_a_break(command: Command, hub: StubHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "PAUSE_S", 0.01)
    code, out, err = command("events", "--run", "5", "--type", "run", "--count", "2")
    assert (code, err) == (ExitCode.OK, "")
    assert [json.loads(line)["data"] for line in out.splitlines()] == [{"id": 5}, {"id": 5}]
    assert {request[1] for request in hub.requests} == {"run_id=5"}
    assert [headers.get("Last-Event-ID") for headers in hub.headers] == [None, "42"]


def test_an_end_by_the_clock(command: Command, hub: StubHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "PAUSE_S", 0.01)
    assert command("events", "--type", "alert", "--timeout", "0.2")[0] == ExitCode.TIME_OUT


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((200, {"items": []}), ExitCode.OTHER),
        ((404, {"code": "not_found"}), ExitCode.NOT_FOUND),
        ((503, {"code": "unavailable"}), ExitCode.TEMPORARY),
    ],
)
def test_what_answers_otherwise(command: Command, hub: StubHub, answer: object, code: ExitCode) -> None:
    hub.routes["GET /api/events"] = answer
    assert command("events")[0] == code
