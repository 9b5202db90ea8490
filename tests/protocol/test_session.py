"""The session: handshake, numbering, acks, resume, liveness, and peers that break the rules. Both ends in most tests."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fileflux.errors import LocalProtocolError, OverloadedError
from fileflux.protocol import messages as m
from fileflux.protocol.codec import encode
from fileflux.protocol.limits import DEFAULT_LIMITS
from fileflux.protocol.session import (
    REFUSALS_MAX,
    UNHANDLED_MAX,
    Established,
    HelloReceived,
    LinkDead,
    MessageReceived,
    PeerErrorReported,
    Refused,
    Session,
    Side,
)
from fileflux.protocol.session_state import State
from tests.protocol.paired import PairedSessions
from tests.protocol.strategies import JSON

pytestmark = pytest.mark.unit

NOW = 1000.0
HELLO = m.Hello((1,), "a")
WELCOME = m.Welcome("s1", 1, 1)


def hub(limits: Any = DEFAULT_LIMITS, *, established: bool = True) -> Session:
    session = Session(Side.HUB, limits, session_id="s1", epoch=3, agent_name="a")
    session.link_up(NOW)
    if established:
        [event] = session.receive_text(encode(HELLO, 0, 0), NOW)
        assert event == HelloReceived(HELLO)
        session.welcome(NOW, HELLO, resumed=False)
        session.texts_to_send()
    return session


def agent(limits: Any = DEFAULT_LIMITS, *, established: bool = True) -> Session:
    session = Session(Side.AGENT, limits, agent_name="a", receive_buffer=5)
    session.link_up(NOW)
    session.texts_to_send()
    if established:
        assert session.receive_text(encode(WELCOME, 0, 0), NOW) == [Established(False, WELCOME)]
    return session


def sent(session: Session) -> list[dict[str, Any]]:
    return [json.loads(text) for text in session.texts_to_send()]


def result(token: str, seq: int, ack: int = 0) -> str:
    return encode(m.ConnectionTestResult(token), seq, ack)


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
    }


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


# Resume


def test_resume_sends_what_was_not_handled() -> None:
    pair = PairedSessions()
    pair.connect()
    for number in range(3):
        pair.say(Side.AGENT, f"a{number}")
    pair.disconnect()
    for number in range(3, 6):
        pair.say(Side.AGENT, f"a{number}")
        pair.say(Side.HUB, f"h{number}")
    pair.connect()
    assert pair.got[Side.HUB] == [f"a{number}" for number in range(6)]
    assert pair.got[Side.AGENT] == ["h3", "h4", "h5"]
    established = [event for event in pair.events[Side.AGENT] if isinstance(event, Established)]
    assert [event.resumed for event in established] == [False, True]
    assert not pair.refused


def test_what_is_in_progress_is_not_delivered_again() -> None:
    pair = PairedSessions(handle_at_once=False)
    pair.connect()
    for number in range(4):
        pair.say(Side.AGENT, f"a{number}")
    pair.handle(Side.HUB, 2)
    pair.connect()
    assert pair.got[Side.HUB] == ["a0", "a1", "a2", "a3"]
    for seq in (1, 3, 4):
        pair.handle(Side.HUB, seq)
    pair.pass_time(2.0)
    assert pair.agent._outbox.acknowledged == 4


def test_what_was_handled_between_two_links_is_acknowledged_on_the_next() -> None:
    pair = PairedSessions(handle_at_once=False)
    pair.connect()
    pair.say(Side.AGENT, "a")
    pair.say(Side.HUB, "h")
    pair.disconnect()
    pair.hub.handled(1, pair.now)
    pair.agent.handled(1, pair.now)
    pair.connect()
    assert len(pair.agent._outbox) == len(pair.hub._outbox) == 0


def test_handled_while_the_handshake_runs_is_acknowledged_later() -> None:
    session = agent()
    session.receive_text(encode(m.ConnectionTest("x"), 1, 0), NOW)
    session.link_down(NOW)
    session.link_up(NOW)
    session.handled(1, NOW)
    session.texts_to_send()
    session.receive_text(encode(WELCOME, 0, 0), NOW)
    assert session.deadline() == NOW + 1
    session.tick(NOW + 1)
    assert [text["ack"] for text in sent(session)] == [1]


def test_a_new_session_starts_from_nothing() -> None:
    session = agent()
    session.send(m.ConnectionTestResult("old"), NOW)
    session.receive_text(encode(m.ConnectionTest("x"), 1, 0), NOW)
    session.texts_to_send()
    session.link_down(NOW)
    session.send(m.ConnectionTestResult("old too"), NOW)
    session.link_up(NOW)
    [hello] = sent(session)
    assert hello["payload"]["session_id"] == "s1"
    welcome = replace(WELCOME, session_id="s2", epoch=9)
    assert session.receive_text(encode(welcome, 0, 0), NOW) == [Established(False, welcome)]
    assert (session.session_id, session.epoch) == ("s2", 9)
    # A late word about the old session's messages changes nothing.
    session.handled(1, NOW)
    session.send(m.ConnectionTestResult("new"), NOW)
    assert [(text["seq"], text["ack"], text["payload"]["token"]) for text in sent(session)] == [(1, 0, "new")]
    assert len(session.receive_text(encode(m.ConnectionTest("y"), 1, 0), NOW)) == 1


@pytest.mark.parametrize("last_seq", [0, 3])
def test_a_resume_cannot_forget_or_foresee(last_seq: int) -> None:
    session = hub()
    session.send(m.ConnectionTest("a"), NOW)
    session.send(m.ConnectionTest("b"), NOW)
    session.texts_to_send()
    session.receive_text(encode(m.Ack(), 0, 1), NOW)
    session.link_down(NOW)
    session.send(m.ConnectionTest("c"), NOW)
    session.link_up(NOW)
    [event] = session.receive_text(encode(replace(HELLO, session_id="s1", last_seq=last_seq), 0, 0), NOW)
    assert isinstance(event, Refused)
    assert (event.code, event.field, event.close) == ("sequence", "last_seq", True)
    session.link_down(NOW)
    session.link_up(NOW)
    hello = replace(HELLO, session_id="s1", last_seq=2)
    assert session.receive_text(encode(hello, 0, 0), NOW) == [HelloReceived(hello)]
    session.welcome(NOW, hello, resumed=True)
    assert [(text["type"], text["seq"]) for text in sent(session)] == [("welcome", 0), ("connection_test", 3)]


def test_an_agent_checks_the_welcome_of_a_resume_too() -> None:
    session = agent()
    session.link_down(NOW)
    session.link_up(NOW)
    [event] = session.receive_text(encode(replace(WELCOME, last_seq=1), 0, 0), NOW)
    assert isinstance(event, Refused)
    assert event.close


@given(st.lists(st.tuples(st.text(".rxd", max_size=12), st.text(".rxd", max_size=12)), max_size=8))
def test_every_message_arrives_exactly_once_over_faulty_links(scripts: list[tuple[str, str]]) -> None:
    pair = PairedSessions()
    pair.connect()
    said = 0
    for to_hub, to_agent in scripts:
        pair.connect(to_hub, to_agent)
        for _ in range(4):
            pair.say(Side.AGENT, f"a{said}")
            pair.say(Side.HUB, f"h{said}")
            said += 1
        pair.pass_time(1.5)
    pair.connect()
    pair.pass_time(2.0)
    assert pair.got[Side.HUB] == [f"a{number}" for number in range(said)]
    assert pair.got[Side.AGENT] == [f"h{number}" for number in range(said)]
    assert not pair.refused
    assert len(pair.agent._outbox) == len(pair.hub._outbox) == 0


class Conversation(RuleBasedStateMachine):
    """Any order of talking, handling, losing links and waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = PairedSessions(replace(DEFAULT_LIMITS, outbox_max=20), handle_at_once=False)
        self.pair.connect()
        self.said: dict[Side, list[str]] = {Side.AGENT: [], Side.HUB: []}

    @rule(side=st.sampled_from(Side), count=st.integers(1, 5))
    def say(self, side: Side, count: int) -> None:
        for _ in range(count):
            if self.pair.sessions[side].can_send:
                self.said[side].append(f"{side.value}{len(self.said[side])}")
                self.pair.say(side, self.said[side][-1])

    @precondition(lambda self: any(self.pair.unhandled.values()))
    @rule(data=st.data())
    def handle(self, data: st.DataObject) -> None:
        side = data.draw(st.sampled_from([side for side, seqs in self.pair.unhandled.items() if seqs]))
        self.pair.handle(side, data.draw(st.sampled_from(self.pair.unhandled[side])))

    @rule(to_hub=st.text(".rxd", max_size=6), to_agent=st.text(".rxd", max_size=6))
    def connect(self, to_hub: str, to_agent: str) -> None:
        self.pair.connect(to_hub, to_agent)

    @rule()
    def disconnect(self) -> None:
        self.pair.disconnect()

    @rule(seconds=st.sampled_from([0.5, 1.0, 15.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.pair.pass_time(seconds)

    @invariant()
    def nothing_twice_nothing_out_of_order_nobody_at_fault(self) -> None:
        for side, other in ((Side.AGENT, Side.HUB), (Side.HUB, Side.AGENT)):
            got = self.pair.got[other]
            assert got == self.said[side][: len(got)]
        assert not self.pair.refused

    def teardown(self) -> None:
        self.pair.connect()
        for _ in range(3):
            for side in Side:
                for seq in tuple(self.pair.unhandled[side]):
                    self.pair.handle(side, seq)
            self.pair.pass_time(1.5)
        for side, other in ((Side.AGENT, Side.HUB), (Side.HUB, Side.AGENT)):
            assert self.pair.got[other] == self.said[side]
            assert len(self.pair.sessions[side]._outbox) == 0


TestConversation = Conversation.TestCase


# Anything


@given(st.lists(st.one_of(JSON.map(json.dumps), st.text(max_size=30)), max_size=10), st.booleans())
def test_no_text_of_a_peer_raises(texts: list[str], established: bool) -> None:
    for session in (hub(established=established), agent(established=established)):
        for text in texts:
            session.receive_text(text, NOW)
            session.texts_to_send()
        assert session.state in State
