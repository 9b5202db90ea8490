"""Sessions over one link after the other: nothing lost, nothing twice, whatever the links do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fileflux.protocol import messages as m
from fileflux.protocol.codec import encode
from fileflux.protocol.limits import DEFAULT_LIMITS
from fileflux.protocol.session import Established, HelloReceived, Refused, Side
from tests.protocol.ends import HELLO, NOW, WELCOME, agent, hub, sent
from tests.protocol.paired import PairedSessions

pytestmark = pytest.mark.unit


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
