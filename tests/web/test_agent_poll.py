"""The routes of long-polling: what they take and give, and what is refused before it is read."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import gevent
import pytest
from werkzeug.test import TestResponse

from fileflux.clock import SystemClock
from fileflux.protocol.codec import encode
from fileflux.protocol.limits import DEFAULT_LIMITS, PROTOCOL_VERSIONS, Limits
from fileflux.protocol.messages import Hello
from fileflux.protocol.records import Kind, RecordReader, close_record, head_of
from fileflux.web.polling_links import PollingLinks
from tests.contracts.link_suite import Recorder
from tests.web.polling import (
    Agent,
    Tree,
    agent,
    codes,
    database,
    heard,
    limits,
    link_of,
    links,
    text,
    texts_in,
    token,
    tree,
)

# Fixtures, used here by name.
__all__ = ["agent", "database", "heard", "limits", "links", "token", "tree"]


WINDOW = max(DEFAULT_LIMITS.polls_max, DEFAULT_LIMITS.slices_in_flight)


def test_a_slice_counts_once_and_in_its_order(agent: Agent, heard: Recorder) -> None:
    assert agent.slice(2, text("b")).status_code == 204
    assert heard.texts == []
    assert agent.slice(1, text("a")).status_code == 204
    for number in (1, 2, 1):
        assert agent.slice(number, text("again")).status_code == 204
    assert heard.texts == ["a", "b"]


def test_a_slice_in_parts(agent: Agent, heard: Recorder) -> None:
    whole = text("x" * 1000)
    assert agent.slice(1, whole[:400], X_FileFlux_Part=f"0/{len(whole)}").status_code == 204
    assert codes(agent.slice(1, whole[500:], X_FileFlux_Part=f"500/{len(whole)}")) == [(400, "bad_slice")]
    for start, end in ((0, 400), (400, 700), (700, len(whole)), (700, len(whole))):
        assert agent.slice(1, whole[start:end], X_FileFlux_Part=f"{start}/{len(whole)}").status_code == 204
    assert heard.texts == ["x" * 1000]


def test_what_comes_too_early_is_bounded(agent: Agent, heard: Recorder, limits: Limits) -> None:
    assert agent.slice(3, bytes(limits.slice_max)).status_code == 204
    assert agent.slice(4, bytes(limits.slice_max)).status_code == 204
    late = agent.slice(2, bytes(10))
    assert codes(late) == [(503, "overloaded")]
    assert late.headers["Retry-After"] == "1"
    assert agent.slice(1, text("due")).status_code == 204
    assert heard.texts == ["due"]


def test_a_poll_is_answered_with_what_there_is_and_again_with_the_same(
    agent: Agent, links: PollingLinks, heard: Recorder
) -> None:
    link_of(links, agent).send_text("hello")
    first = agent.poll(1)
    assert (first.status_code, texts_in(first)) == (200, ["hello"])
    assert first.headers["Content-Type"] == "application/octet-stream"
    assert first.headers["Cache-Control"] == "no-store"
    assert first.headers["X-FileFlux-Seq"] == "1"
    link_of(links, agent).send_text("more")
    assert agent.poll(1).data == first.data
    assert texts_in(agent.poll(2, known=1)) == ["more"]
    assert codes(agent.poll(1)) == [(400, "sequence")]


def test_a_poll_waits_for_what_comes(agent: Agent, links: PollingLinks, heard: Recorder) -> None:
    gevent.spawn_later(0.1, link_of(links, agent).send_text, "at last")
    clock = SystemClock()
    began = clock.monotonic()
    assert texts_in(agent.poll(1, timeout="20")) == ["at last"]
    assert 0.05 < clock.monotonic() - began < 5


def test_the_same_poll_on_another_connection_takes_over(agent: Agent, links: PollingLinks, heard: Recorder) -> None:
    older = gevent.spawn(agent.poll, 1, 0, "20")
    gevent.sleep(0.05)
    newer = gevent.spawn(agent.poll, 1, 0, "20")
    assert codes(older.get(timeout=5)) == [(410, "link_ended")]
    link_of(links, agent).send_text("x")
    assert texts_in(newer.get(timeout=5)) == ["x"]


def test_a_hello_goes_to_the_hub_with_who_it_is(agent: Agent, tree: Tree) -> None:
    hello = encode(Hello(PROTOCOL_VERSIONS, "web-1", link_reason="upgrade refused with 403"), 0, 0)
    assert agent.slice(1, text(hello)).status_code == 204
    (arrived,) = tree.hellos
    assert arrived.text == hello
    assert (arrived.identity.name, arrived.identity.epoch) == ("web-1", 1)
    assert arrived.gate.link.transport == "polling"


def test_nothing_may_come_before_the_hello(agent: Agent, links: PollingLinks, tree: Tree) -> None:
    assert agent.slice(1, head_of(Kind.BINARY, 1) + b"x").status_code == 204
    agent.poll(1)
    assert agent.poll(2).headers["X-FileFlux-Close"] == "1008"
    assert tree.hellos == []


def test_an_agents_farewell_ends_the_link(agent: Agent, links: PollingLinks, heard: Recorder) -> None:
    waiting = gevent.spawn(agent.poll, 1, 0, "20")
    gevent.sleep(0.05)
    answer = agent.slice(1, text("bye") + close_record(1001, "the agent stops"))
    assert (answer.status_code, answer.headers["X-FileFlux-Close"]) == (410, "1001")
    assert (heard.texts, heard.closed) == (["bye"], [(1001, "the agent stops")])
    assert waiting.get(timeout=5).headers["X-FileFlux-Close"] == "1001"
    gevent.sleep(0.01)
    assert len(links) == 0


def test_a_handler_that_raises_costs_its_link_only(agent: Agent, links: PollingLinks, heard: Recorder) -> None:
    heard.react = lambda text: 1 // 0
    assert agent.slice(1, text("boom")).status_code == 500
    assert agent.poll(1).headers["X-FileFlux-Close"] == "1006"
    assert Agent(agent.app, agent.token).connect().poll(1).status_code == 204


# What cannot be


HUGE = "1" * 16


@pytest.mark.parametrize("value", ["", "x", "-1", "+1", "1.0", " 1", "0x1", "\u0661", HUGE, "1" * 5000, "1,1", "NaN"])
def test_headers_that_are_no_numbers(agent: Agent, heard: Recorder, value: str) -> None:
    for answer in (agent.poll(value), agent.poll(1, known=value), agent.slice(value, b"x")):
        assert (answer.status_code, answer.json["code"]) == (400, "bad_request")
    assert heard.closed == []


def test_a_number_is_needed(agent: Agent) -> None:
    assert (
        codes(agent.ask("GET", "/api/agent/poll"), agent.ask("POST", "/api/agent/messages"))
        == [(400, "bad_request")] * 2
    )


@pytest.mark.parametrize(
    ("number", "known"), [(0, 0), (2 * DEFAULT_LIMITS.polls_max + 1, 0), (1, 1), (5, 3), (10**14, 10**14 - 1)]
)
def test_polls_out_of_their_window(agent: Agent, heard: Recorder, audited: Any, number: int, known: int) -> None:
    assert codes(agent.poll(number, known)) == [(400, "sequence")]
    assert audited()[-1] == ("agent", "link.refused", "/api/agent/poll", "refused")
    assert heard.closed == []


@pytest.mark.parametrize("number", [0, WINDOW + 1, 10**14])
def test_slices_out_of_their_window(agent: Agent, heard: Recorder, number: int) -> None:
    assert codes(agent.slice(number, b"x")) == [(400, "sequence")]
    assert heard.closed == []


@pytest.mark.parametrize(
    "part", ["", "x", "0", "/", "0/", "/5", "-1/5", "0/-5", "0/5/5", "0 / 5", f"0/{HUGE}", "0.0/5", "é/5"]
)
def test_part_headers_that_are_none(agent: Agent, part: str) -> None:
    assert codes(agent.slice(1, b"hello", X_FileFlux_Part=part)) == [(400, "bad_request")]


@pytest.mark.parametrize("part", ["0/4", "1/5", "5/5", "5/10", "999999999999999/999999999999999"])
def test_part_headers_that_lie(agent: Agent, heard: Recorder, part: str) -> None:
    answer = agent.slice(1, b"hello", X_FileFlux_Part=part)
    assert (answer.status_code, answer.json["code"]) in ((400, "bad_slice"), (413, "too_large"))
    assert agent.slice(1, text("still fine")).status_code == 204
    assert heard.texts == ["still fine"]


@pytest.mark.parametrize("timeout", ["", "x", "-1", "1e9", "inf", "nan", "99999", "0x1", "1.0000", "²"])
def test_a_time_that_is_none_is_no_time(agent: Agent, timeout: str) -> None:
    with gevent.Timeout(5):
        assert agent.poll(1, timeout=timeout).status_code == 204


def test_a_poll_has_no_body(agent: Agent) -> None:
    answer = agent.ask("GET", "/api/agent/poll?timeout=0", b"x", X_FileFlux_Seq="1")
    assert codes(answer) == [(400, "bad_request")]


class Unread(io.BytesIO):
    """A body that fails the test if anybody looks at it."""

    def read(self, *_: Any) -> bytes:
        raise AssertionError("it was read")


def refused_unread(agent: Agent, number: int, length: str | None, **headers: str) -> TestResponse:
    environ = {"wsgi.input": Unread(), "CONTENT_LENGTH": length}
    sent = {
        "Authorization": f"Bearer {agent.token}",
        "X-FileFlux-Session": agent.link_id,
        "X-FileFlux-Seq": str(number),
    }
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return agent.app.test_client().post("/api/agent/messages", headers=sent, environ_overrides=environ)


def test_what_cannot_be_taken_is_refused_before_it_is_read(agent: Agent, limits: Limits) -> None:
    above = str(limits.slice_max + 1)
    assert codes(
        refused_unread(agent, 1, above),
        refused_unread(agent, 1, "9" * 30),
        refused_unread(agent, 1, "10", X_FileFlux_Part=f"0/{above}"),
        refused_unread(agent, 1, None),
        refused_unread(agent, 1, None, Transfer_Encoding="chunked"),
        refused_unread(agent, WINDOW + 1, "10"),
        refused_unread(agent, 1, "10", X_FileFlux_Part="1/5"),
    ) == [
        (413, "too_large"), (413, "too_large"), (413, "too_large"), (411, "length_required"), (411, "length_required"),
        (400, "sequence"), (400, "bad_slice"),
    ]  # fmt: skip
    nobody = replace(agent, token="ffx_" + "A" * 43)
    assert refused_unread(nobody, 1, "10").status_code == 401
    lost = replace(agent, link_id="x")
    assert refused_unread(lost, 1, "10").status_code == 410


def test_a_body_that_is_shorter_than_it_says_counts_for_nothing(agent: Agent, heard: Recorder) -> None:
    body = text("whole")
    sent = {"Authorization": f"Bearer {agent.token}", "X-FileFlux-Session": agent.link_id, "X-FileFlux-Seq": "1"}
    environ = {"wsgi.input": io.BytesIO(body[:-1]), "CONTENT_LENGTH": str(len(body))}
    short = agent.app.test_client().post("/api/agent/messages", headers=sent, environ_overrides=environ)
    assert short.status_code == 400
    assert agent.slice(1, body).status_code == 204
    assert heard.texts == ["whole"]


def test_records_that_cannot_be_close_the_link_with_their_code(
    agent: Agent, links: PollingLinks, heard: Recorder
) -> None:
    assert agent.slice(1, b"<html>Please sign in</html>").status_code == 204
    farewell = agent.poll(1)
    reader = RecordReader(DEFAULT_LIMITS)
    reader.feed(farewell.data)
    record = reader.next()
    assert record is not None
    assert record.farewell()[0] == 1002
    assert [code for code, _ in heard.closed] == [1002]
    assert [answer.headers["X-FileFlux-Close"] for answer in (agent.poll(2), agent.slice(2, b"x"))] == ["1002", "1002"]
    assert len(links) == 0
