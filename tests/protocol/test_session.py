"""The session: handshake, numbering, acks, resume, liveness, and peers that break the rules. Both ends in most tests."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileflux.errors import LocalProtocolError, OverloadedError
from fileflux.protocol import messages as m
from fileflux.protocol.codec import encode
from fileflux.protocol.limits import DEFAULT_LIMITS
from fileflux.protocol.session import (
    REFUSALS_MAX,
    UNHANDLED_MAX,
    Established,
    LinkDead,
    MessageReceived,
    PeerErrorReported,
    Refused,
    Session,
    Side,
)
from fileflux.protocol.session_state import State
from tests.protocol.ends import HELLO, NOW, WELCOME, agent, hub, result, sent
from tests.protocol.paired import PairedSessions
from tests.protocol.strategies import JSON

pytestmark = pytest.mark.unit

# Handshake


def test_handshake() -> None:
    pair = PairedSessions()
    pair.connect()
    assert pair.agent.established
    assert pair.hub.established
    assert (pair.agent.session_id, pair.agent.epoch) == ("s1", 1)
    [event] = pair.events[Side.AGENT]
    assert isinstance(event, Established)
    assert not event.resumed


def test_hello_says_what_the_agent_is() -> None:
    session = Session(Side.AGENT, DEFAULT_LIMITS, agent_name="nas", receive_buffer=96)
    session.link_up(NOW)
    [hello] = sent(session)
    assert (hello["type"], hello["seq"]) == ("hello", 0)
    assert hello["payload"] == {
        "protocol": [1],
        "agent": "nas",
        "features": [],
        "last_seq": 0,
        "receive_buffer": 96,
        "probe": False,
        "switch": False,
        "link_reason": "",
    }


def test_hello_on_a_link_that_takes_over_names_the_session_and_says_why() -> None:
    session = agent()
    session.link_down(NOW)
    session.link_up(NOW, switch=True, reason="upgrade refused with 403")
    [hello] = sent(session)
    assert (hello["payload"]["session_id"], hello["payload"]["switch"]) == ("s1", True)
    assert hello["payload"]["link_reason"] == "upgrade refused with 403"
    session.link_down(NOW)
    session.link_up(NOW)
    [hello] = sent(session)
    assert (hello["payload"]["switch"], hello["payload"]["link_reason"]) == (False, "")


def test_messages_wait_for_the_first_handshake() -> None:
    pair = PairedSessions()
    pair.say(Side.AGENT, "early")
    pair.say(Side.HUB, "also early")
    pair.connect()
    assert pair.got == {Side.HUB: ["early"], Side.AGENT: ["also early"]}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (result("x", 1), "out_of_place"),
        (encode(m.Ack(), 0, 0), "out_of_place"),
        (encode(HELLO, 1, 0), "out_of_place"),
        (encode(WELCOME, 0, 0), "wrong_direction"),
        (encode(m.Hello((0, 999), "a"), 0, 0), "version"),
        ("{}", "bad_message"),
        ('{"type":"hello","seq":0,"ack":0,"payload":{"protocol":["x"],"agent":"a"}}', "bad_message"),
        ('{"type":"later","seq":0,"ack":0,"payload":{}}', "out_of_place"),
    ],
)
def test_a_bad_first_message_closes(text: str, code: str) -> None:
    session = hub(established=False)
    [event] = session.receive_text(text, NOW)
    assert isinstance(event, Refused)
    assert (event.code, event.close) == (code, True)
    assert session.texts_to_send() == []
    assert session.receive_text(encode(HELLO, 0, 0), NOW) == []


@pytest.mark.parametrize(
    "welcome", [replace(WELCOME, version=2), replace(WELCOME, session_id=""), replace(WELCOME, last_seq=1), HELLO]
)
def test_a_bad_welcome_closes(welcome: m.Message) -> None:
    session = agent(established=False)
    [event] = session.receive_text(encode(welcome, 0, 0), NOW)
    assert isinstance(event, Refused)
    assert event.close
    assert not session.established


def test_the_supported_versions_are_named() -> None:
    [event] = hub(established=False).receive_text(encode(m.Hello((7,), "a"), 0, 0), NOW)
    assert isinstance(event, Refused)
    assert event.message.endswith("here: 1")


def test_nothing_comes_before_welcome_is_decided() -> None:
    session = hub(established=False)
    session.receive_text(encode(HELLO, 0, 0), NOW)
    [event] = session.receive_text(encode(HELLO, 0, 0), NOW)
    assert isinstance(event, Refused)
    assert event.close
    with pytest.raises(LocalProtocolError):
        session.welcome(NOW, HELLO, resumed=False)


def test_welcome_only_for_a_hello_that_waits() -> None:
    session = hub(established=False)
    with pytest.raises(LocalProtocolError):
        session.welcome(NOW, HELLO, resumed=False)
    session.receive_text(encode(HELLO, 0, 0), NOW)
    with pytest.raises(LocalProtocolError):
        session.welcome(NOW, HELLO, resumed=True)


def test_a_second_hello_or_welcome_closes() -> None:
    for session, text in ((hub(), encode(HELLO, 0, 0)), (agent(), encode(WELCOME, 0, 0))):
        [event] = session.receive_text(text, NOW)
        assert isinstance(event, Refused)
        assert (event.code, event.close) == ("out_of_place", True)


def test_link_up_twice_is_a_mistake_here() -> None:
    session = hub()
    with pytest.raises(LocalProtocolError):
        session.link_up(NOW)
    session.link_down(NOW)
    session.link_down(NOW)
    session.link_up(NOW)


# Numbers and acks


def test_acks_ride_on_messages() -> None:
    session = hub()
    session.receive_text(result("x", 1), NOW)
    session.send(m.ConnectionTest("a"), NOW)
    session.handled(1, NOW)
    session.send(m.ConnectionTest("b"), NOW)
    assert [(text["seq"], text["ack"]) for text in sent(session)] == [(1, 1), (2, 1)]
    assert session.tick(NOW + 2) == []
    assert sent(session) == []


def test_a_bare_ack_after_a_second() -> None:
    session = hub()
    session.receive_text(result("x", 1), NOW)
    assert session.deadline() == NOW + DEFAULT_LIMITS.silence_timeout
    session.handled(1, NOW + 5)
    assert session.deadline() == NOW + 6
    assert sent(session) == []
    session.tick(NOW + 6)
    assert sent(session) == [{"type": "ack", "seq": 0, "ack": 1, "payload": {}}]
    assert sent(session) == []


def test_a_bare_ack_after_64_messages() -> None:
    session = hub()
    for seq in range(1, 64):
        session.receive_text(result("x", seq), NOW)
        session.handled(seq, NOW)
        assert sent(session) == []
    session.receive_text(result("x", 64), NOW)
    session.handled(64, NOW)
    assert [text["ack"] for text in sent(session)] == [64]


def test_only_the_unbroken_run_is_acknowledged() -> None:
    session = hub()
    for seq in (1, 2, 3):
        session.receive_text(result("x", seq), NOW)
    session.handled(3, NOW)
    session.handled(2, NOW)
    session.tick(NOW + 5)
    assert sent(session) == []
    session.handled(1, NOW)
    session.tick(NOW + 5)
    assert [text["ack"] for text in sent(session)] == [3]


def test_what_came_twice_is_delivered_once() -> None:
    session = hub()
    assert session.receive_text(result("x", 1), NOW) == [MessageReceived(1, m.ConnectionTestResult("x"))]
    assert session.receive_text(result("x", 1), NOW) == []
    session.handled(1, NOW)
    assert session.receive_text(result("x", 1), NOW) == []
    # A repeat is not even looked at.
    assert session.receive_text('{"type":"connection_test_result","seq":1,"ack":0,"payload":5}', NOW) == []


def test_a_gap_closes() -> None:
    session = hub()
    [event] = session.receive_text(result("x", 2), NOW)
    assert isinstance(event, Refused)
    assert (event.code, event.field, event.close) == ("sequence", "seq", True)
    assert [text["type"] for text in sent(session)] == ["error"]
    assert session.receive_text(result("x", 1), NOW) == []


def test_an_ack_of_what_was_never_sent_closes() -> None:
    session = hub()
    session.send(m.ConnectionTest("a"), NOW)
    [event] = session.receive_text(encode(m.Ack(), 0, 1), NOW)
    assert isinstance(event, Refused)
    assert (event.code, event.close) == ("bad_ack", True)


def test_a_peer_that_does_not_wait_for_acks_is_refused() -> None:
    session = hub()
    events = [event for seq in range(1, UNHANDLED_MAX + 2) for event in session.receive_text(result("x", seq), NOW)]
    assert len(events) == UNHANDLED_MAX + 1
    assert isinstance(events[-1], Refused)
    assert (events[-1].code, events[-1].close) == ("overrun", True)


@pytest.mark.parametrize(
    ("text", "close"),
    [
        ('{"type":"connection_test_result","seq":0,"ack":0,"payload":{"token":"x"}}', True),
        ('{"type":"ack","seq":1,"ack":0,"payload":{}}', True),
    ],
)
def test_numbered_and_unnumbered_are_not_mixed(text: str, close: bool) -> None:
    [event] = hub().receive_text(text, NOW)
    assert isinstance(event, Refused)
    assert (event.field, event.close) == ("seq", close)


# The outbox


def test_the_outbox_is_bounded() -> None:
    session = agent(replace(DEFAULT_LIMITS, outbox_max=3))
    assert [session.send(m.ConnectionTestResult("x"), NOW) for _ in range(3)] == [1, 2, 3]
    assert not session.can_send
    with pytest.raises(OverloadedError):
        session.send(m.ConnectionTestResult("x"), NOW)
    assert len(session.texts_to_send()) == 3
    session.receive_text(encode(m.Ack(), 0, 2), NOW)
    assert session.can_send
    assert session.send(m.ConnectionTestResult("x"), NOW) == 4


@pytest.mark.parametrize("message", [m.ConnectionTest("x"), m.Ack(), HELLO, m.Heartbeat(-1.0)])
def test_what_may_not_be_sent(message: m.Message) -> None:
    with pytest.raises(LocalProtocolError):
        agent().send(message, NOW)


def test_messages_above_the_limit_are_not_kept() -> None:
    session = agent(replace(DEFAULT_LIMITS, max_text_bytes=1000))
    with pytest.raises(LocalProtocolError, match="above 1000 bytes"):
        session.send(m.ErrorMessage("x", "é" * 450), NOW)
    session.send(m.ErrorMessage("x", "e" * 450), NOW)
    assert max(len(text.encode()) for text in session.texts_to_send()) <= 1000


# Refusals that keep the link


@pytest.mark.parametrize(
    ("text", "code", "field"),
    [
        ("not json", "bad_message", None),
        ('{"type":"connection_test_result","seq":1,"ack":0,"payload":{}}', "bad_message", "token"),
        ('{"type":"window","seq":1,"ack":0,"payload":{"items":[]}}', "wrong_direction", "type"),
    ],
)
def test_a_bad_message_is_answered_and_counted_as_handled(text: str, code: str, field: str | None) -> None:
    session = hub()
    [event] = session.receive_text(text, NOW)
    assert isinstance(event, Refused)
    assert (event.code, event.field, event.close) == (code, field, False)
    [answer] = sent(session)
    assert (answer["type"], answer["payload"]["code"], answer["payload"].get("field")) == ("error", code, field)
    assert session.established
    seq = 2 if "seq" in text else 1
    assert answer["ack"] == seq - 1
    assert len(session.receive_text(result("next", seq), NOW)) == 1


def test_unknown_types_are_counted_and_acknowledged() -> None:
    session = hub()
    assert session.receive_text('{"type":"from_the_future","seq":1,"ack":0,"payload":[]}', NOW) == []
    assert session.receive_text('{"type":"bare_future","seq":0,"ack":0,"payload":[]}', NOW) == []
    assert session.unknown_types == 2
    session.tick(NOW + 1)
    assert [text["ack"] for text in sent(session)] == [1]


def test_errors_are_reported_and_never_answered() -> None:
    session = hub()
    error = m.ErrorMessage("bad_message", "no", "x", 4)
    assert session.receive_text(encode(error, 1, 0), NOW) == [PeerErrorReported(error)]
    [event] = session.receive_text('{"type":"error","seq":2,"ack":0,"payload":{}}', NOW)
    assert isinstance(event, Refused)
    session.tick(NOW + 1)
    assert [text["type"] for text in sent(session)] == ["ack"]


def test_endless_refusals_close() -> None:
    session = hub()
    events = [event for _ in range(REFUSALS_MAX + 5) for event in session.receive_text("junk", NOW)]
    assert [event.close for event in events if isinstance(event, Refused)] == [False] * REFUSALS_MAX + [True]


def test_a_full_outbox_closes_instead_of_answering() -> None:
    session = hub(replace(DEFAULT_LIMITS, outbox_max=2))
    events = [event for _ in range(5) for event in session.receive_text("junk", NOW)]
    assert [event.close for event in events if isinstance(event, Refused)] == [False, False, True]
    assert len(sent(session)) == 2


# Liveness


def test_silence_is_noticed_once_and_bytes_are_life() -> None:
    session = agent()
    session.alive(NOW + 30)
    session.alive(NOW + 10)
    assert session.deadline() == NOW + 90
    assert session.tick(NOW + 89.9) == []
    [event] = session.tick(NOW + 90)
    assert isinstance(event, LinkDead)
    assert event.code == 1001
    assert session.tick(NOW + 100) == []
    assert session.deadline() is None


@pytest.mark.parametrize("make", [hub, agent])
def test_a_handshake_has_its_time(make: Any) -> None:
    session = make(established=False)
    session.alive(NOW + 9)
    assert session.deadline() == NOW + 10
    assert session.tick(NOW + 9.9) == []
    [event] = session.tick(NOW + 10)
    assert isinstance(event, LinkDead)
    assert event.code == 1008


def test_without_a_link_there_is_no_deadline() -> None:
    session = agent()
    session.link_down(NOW)
    assert session.deadline() is None
    assert session.tick(NOW + 1e6) == []
    assert session.receive_text(result("x", 1), NOW) == []


# Anything


@given(st.lists(st.one_of(JSON.map(json.dumps), st.text(max_size=30)), max_size=10), st.booleans())
def test_no_text_of_a_peer_raises(texts: list[str], established: bool) -> None:
    for session in (hub(established=established), agent(established=established)):
        for text in texts:
            session.receive_text(text, NOW)
            session.texts_to_send()
        assert session.state in State
