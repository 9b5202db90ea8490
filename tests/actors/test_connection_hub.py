"""Which connection has the session of an agent: the newest one, unless it only wants to take over what is not there. Real actors, played links."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import gevent
import pytest

from fileflux.actors import messages as a
from fileflux.actors.connection_hub import ConnectionHub
from fileflux.actors.kernel.ref import ActorRef
from fileflux.actors.kernel.supervisor import ChildSpec, Supervisor
from fileflux.actors.session_port import LinkGate
from fileflux.bus.bus import Bus
from fileflux.clock import SystemClock
from fileflux.protocol import messages as m
from fileflux.protocol.codec import decode, encode
from fileflux.protocol.limits import DEFAULT_LIMITS, PROTOCOL_VERSIONS
from fileflux.protocol.messages import FROM_HUB, Heartbeat, Hello, Welcome

pytestmark = pytest.mark.unit


class Link:
    """What the hub says on one connection."""

    peer = ""
    queued_bytes = 0
    answered = False

    def __init__(self, transport: str) -> None:
        self.transport = transport
        self.texts: list[str] = []
        self.closed: tuple[int, str] | None = None
        self.gate: LinkGate | None = None

    def send_text(self, text: str) -> None:
        self.texts.append(text)

    def close(self, code: int, reason: str) -> None:
        if self.closed is None:
            self.closed = (code, reason)
            assert self.gate is not None
            self.gate.on_closed(code, reason)

    def tick(self, now: float) -> None:
        """Nothing of it takes time."""

    @property
    def welcome(self) -> Welcome | None:
        for text in self.texts:
            message = decode(text, FROM_HUB, DEFAULT_LIMITS).message
            if isinstance(message, Welcome):
                return message
        return None


class Box:
    """A ref whose messages are kept."""

    def __init__(self, messages: list[Any]) -> None:
        self._messages = messages

    def tell(self, message: Any) -> bool:
        self._messages.append(message)
        return True

    tell_control = tell


class Hub:
    def __init__(self) -> None:
        self.sessions = Supervisor("sessions", "one_for_one", max_restarts=1000, within_s=1)
        self.root = Supervisor("root", "one_for_one")
        self.root.start()
        self.sessions.start()
        self.audit: list[Any] = []
        self.clock = SystemClock()
        relay: ActorRef[Any] = ActorRef("relay")
        persistence: Any = Box(self.audit)
        relay.open(1000)
        self.actor: ConnectionHub | None = None
        self.links: list[Link] = []

        def make() -> ConnectionHub:
            self.actor = ConnectionHub(self.sessions, relay, persistence, Bus(), DEFAULT_LIMITS, SystemClock())
            return self.actor

        self.ref = self.root.start_child(ChildSpec("connections", make))

    def connect(
        self,
        epoch: int,
        transport: str = "websocket",
        *,
        peer: str = "192.0.2.1",
        token_id: int = 7,
        checked_at: float | None = None,
        expires_at: datetime | None = None,
        **hello: Any,
    ) -> Link:
        link = Link(transport)
        link.peer = peer
        checked = self.clock.monotonic() if checked_at is None else checked_at
        identity = a.AgentIdentity(1, "web-1", token_id, epoch, peer, checked, expires_at)
        link.gate = LinkGate(link, identity, self.ref, None, SystemClock(), DEFAULT_LIMITS)
        self.links.append(link)
        link.gate.on_text(encode(Hello(PROTOCOL_VERSIONS, "web-1", **hello), 0, 0))
        return link

    def live(self) -> Any:
        assert self.actor is not None
        return self.actor.live(1)

    @property
    def alerts(self) -> list[a.SaveAlert]:
        return [message for message in self.audit if isinstance(message, a.SaveAlert)]

    def cut(self, token_id: int | None = None) -> None:
        self.ref.tell_control(a.CutAgent(1, "its token was revoked", token_id))

    def close(self) -> None:
        for link in self.links:
            link.close(1000, "the test is over")
        self.root.stop()
        self.sessions.stop()


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()
    yield made
    made.close()


def until(condition: Callable[[], object]) -> None:
    with gevent.Timeout(10, AssertionError("it did not happen")):
        while not condition():
            gevent.sleep(0.001)


def welcomed(link: Link) -> Welcome:
    until(lambda: link.welcome)
    assert link.welcome is not None
    return link.welcome


def refused(hub: Hub, link: Link) -> tuple[int, str]:
    until(lambda: link.closed)
    assert link.closed is not None
    assert link.welcome is None
    return link.closed


def test_the_reason_for_a_transport_is_shown_and_goes_with_the_link(hub: Hub) -> None:
    first = hub.connect(1, "polling", link_reason="upgrade refused with 403")
    session = welcomed(first).session_id
    assert (hub.live().transport, hub.live().reason) == ("polling", "upgrade refused with 403")
    welcomed(hub.connect(2, session_id=session, switch=True))
    assert (hub.live().transport, hub.live().reason) == ("websocket", "")


def test_a_switch_takes_the_session_over_and_closes_the_older_link(hub: Hub) -> None:
    old = hub.connect(1, "polling")
    session = welcomed(old).session_id
    new = hub.connect(2, session_id=session, switch=True)
    assert welcomed(new).session_id == session
    until(lambda: old.closed)
    assert old.closed == (4409, "a newer connection of this agent took over")
    assert hub.live().online
    assert new.closed is None


@pytest.mark.parametrize("named", ["another", "5" * 32])
def test_a_switch_without_its_session_is_refused_and_begins_none(hub: Hub, named: str) -> None:
    assert refused(hub, hub.connect(1, session_id=named, switch=True)) == (1008, "there is no session to switch")
    assert hub.live() is None
    old = hub.connect(2)
    session = welcomed(old).session_id
    assert refused(hub, hub.connect(3, session_id=named, switch=True))[0] == 1008
    assert old.closed is None, "and harms none"
    assert hub.live().session_id == session
    assert [message.action for message in hub.audit if message.outcome == "refused"] == ["hello.refused"] * 2


def test_a_switch_that_names_no_session_is_refused(hub: Hub) -> None:
    assert refused(hub, hub.connect(1, switch=True))[0] == 1008
    assert hub.live() is None


def test_a_switch_of_a_session_that_is_away_resumes_it(hub: Hub) -> None:
    old = hub.connect(1)
    session = welcomed(old).session_id
    old.close(1006, "cut")
    until(lambda: not hub.live().online)
    assert welcomed(hub.connect(2, session_id=session, switch=True)).session_id == session


def test_an_older_connection_that_greets_late_is_closed(hub: Hub) -> None:
    """Its hello was held somewhere while a newer connection came; a switch is no exception."""
    newest = hub.connect(5)
    session = welcomed(newest).session_id
    for switch in (False, True):
        late = hub.connect(4, session_id=session, switch=switch)
        assert refused(hub, late) == (4409, "a newer connection of this agent took over")
    assert newest.closed is None
    assert hub.live().session_id == session


def test_a_second_probe_is_refused(hub: Hub) -> None:
    link = hub.connect(1, probe=True)
    assert link.gate is not None
    gevent.sleep(0.01)
    assert link.closed is None
    link.gate.on_text(encode(Hello(PROTOCOL_VERSIONS, "web-1", probe=True), 0, 0))
    assert refused(hub, link) == (1008, "a second probe")


def test_a_probe_takes_nothing_over(hub: Hub) -> None:
    old = hub.connect(1, "polling")
    session = welcomed(old).session_id
    hub.connect(2, probe=True)
    gevent.sleep(0.01)
    assert old.closed is None
    assert hub.live().session_id == session


# One identity in two places


def test_a_process_that_comes_back_after_another_took_over_is_a_duplicate(hub: Hub) -> None:
    first = hub.connect(1, peer="192.0.2.1")
    session = welcomed(first).session_id
    second = hub.connect(2, peer="192.0.2.2")
    other_session = welcomed(second).session_id
    until(lambda: first.closed)
    assert not hub.alerts, "it may have been killed and started again elsewhere"
    welcomed(hub.connect(3, peer="192.0.2.1", session_id=session))
    (alert,) = hub.alerts
    assert (alert.kind, alert.object) == ("token_on_two_hosts", "agent:1")
    assert "web-1" in alert.message
    assert "at 192.0.2.1 and at 192.0.2.2" in alert.message
    assert (alert.audit.action, alert.audit.detail["other_peer"]) == ("agent.duplicate", "192.0.2.2")
    welcomed(hub.connect(4, peer="192.0.2.2", session_id=other_session))
    assert len(hub.alerts) == 2, "they take turns"


def test_a_displaced_process_that_answers_the_close_is_alive(hub: Hub) -> None:
    first = hub.connect(1, peer="192.0.2.1")
    welcomed(first)
    first.answered = True
    welcomed(hub.connect(2, peer="192.0.2.2"))
    until(lambda: hub.alerts)
    (alert,) = hub.alerts
    assert "at 192.0.2.1 and at 192.0.2.2" in alert.message


def test_an_answered_close_of_another_kind_is_no_duplicate(hub: Hub) -> None:
    first = hub.connect(1)
    session = welcomed(first).session_id
    first.answered = True
    moved = hub.connect(2, session_id=session, switch=True)
    welcomed(moved)
    moved.answered = True
    hub.cut()
    until(lambda: moved.closed)
    assert not hub.alerts


def test_a_thief_who_is_gone_again_is_noticed_too(hub: Hub) -> None:
    session = welcomed(hub.connect(1)).session_id
    thief = hub.connect(2, peer="198.51.100.9")
    welcomed(thief)
    thief.close(1000, "seen enough")
    until(lambda: not hub.live().online)
    welcomed(hub.connect(3, session_id=session))
    assert "198.51.100.9" in hub.alerts[0].message


def test_two_processes_on_one_host_are_told_as_such(hub: Hub) -> None:
    session = welcomed(hub.connect(1)).session_id
    welcomed(hub.connect(2))
    welcomed(hub.connect(3, session_id=session))
    assert "at 192.0.2.1, twice" in hub.alerts[0].message


def test_restarts_and_switches_are_no_duplicates(hub: Hub) -> None:
    """Each new process knows no session; one that goes on names its own, whatever the link."""
    session = welcomed(hub.connect(1)).session_id
    session = welcomed(hub.connect(2, "polling", session_id=session)).session_id
    session = welcomed(hub.connect(3, session_id=session, switch=True)).session_id
    for epoch in range(4, 16, 2):
        # Killed: its old link still looks alive.
        session = welcomed(hub.connect(epoch, "polling")).session_id
        session = welcomed(hub.connect(epoch + 1, session_id=session)).session_id
    welcomed(hub.connect(100, session_id="of a hub that was restarted"))
    assert not hub.alerts


# Tokens that end


def test_a_cut_is_for_the_session_that_came_in_with_the_token(hub: Hub) -> None:
    link = hub.connect(1, token_id=7)
    session = welcomed(link).session_id
    hub.cut(token_id=6)
    newer = hub.connect(2, token_id=8, session_id=session)
    welcomed(newer)
    hub.cut(token_id=7)
    gevent.sleep(0.01)
    assert newer.closed is None, "it goes on with another token"
    hub.cut(token_id=8)
    until(lambda: newer.closed)
    assert newer.closed == (1008, "its token was revoked")
    until(lambda: hub.live() is None)


@pytest.mark.parametrize("token_id", [7, None])
def test_a_link_that_was_open_before_its_token_ended_opens_no_session(hub: Hub, token_id: int | None) -> None:
    before = hub.clock.monotonic()
    hub.cut(token_id)
    gevent.sleep(0.001)
    assert refused(hub, hub.connect(1, checked_at=before)) == (1008, "the token was revoked")
    welcomed(hub.connect(2, token_id=8, checked_at=before if token_id else None))


def test_a_session_ends_with_its_token(hub: Hub) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=0.3)
    link = hub.connect(1, expires_at=soon)
    welcomed(link)
    until(lambda: link.closed)
    assert link.closed == (1008, "its token has expired")
    assert datetime.now(UTC) >= soon
    assert any(getattr(message, "action", "") == "token.expired" for message in hub.audit)
    assert refused(hub, hub.connect(2, expires_at=soon)) == (1008, "the token has expired")


def test_a_token_that_ends_sooner_than_its_session_knows(hub: Hub) -> None:
    link = hub.connect(1, token_id=7)
    session = welcomed(link).session_id
    ended = datetime.now(UTC) - timedelta(seconds=1)
    hub.ref.tell_control(a.LimitToken(1, 8, ended))
    gevent.sleep(0.01)
    assert link.closed is None
    hub.ref.tell_control(a.LimitToken(1, 7, ended))
    until(lambda: link.closed)
    late = hub.connect(2, token_id=7, session_id=session)
    assert refused(hub, late) == (1008, "the token has expired"), "looked up before, and said hello after it"


def test_heartbeats_are_stored_for_all_agents_at_once(hub: Hub) -> None:
    link = hub.connect(1)
    welcomed(link)
    link.gate.on_text(encode(Heartbeat(1.0), 1, 0))  # type: ignore[union-attr]  # it is set by connect
    assert hub.actor is not None
    until(lambda: hub.actor and hub.actor.port(1).heard)  # type: ignore[union-attr]  # it is online
    hub.ref.tell_control(a.Tick("seen"))
    until(lambda: any(isinstance(message, a.SaveSeen) for message in hub.audit))
    (seen,) = (message for message in hub.audit if isinstance(message, a.SaveSeen))
    assert (seen.agent_ids, seen.token_ids) == ((1,), (7,))
    hub.ref.tell_control(a.Tick("seen"))
    gevent.sleep(0.01)
    assert sum(isinstance(message, a.SaveSeen) for message in hub.audit) == 1


def test_what_belongs_together_is_said_in_its_order(hub: Hub) -> None:
    """Items are gathered by their kind; a resume must not be gathered with one of before and so come ahead of its own request."""
    link = hub.connect(1)
    welcomed(link)
    assert link.gate is not None
    port = link.gate.port
    assert port is not None
    bundles = [m.BundleRequestItem(wire, "source", 1, "/in", ("a",), (1,), (1,)) for wire in (5, 6)]
    resumes = [m.TransferResumeItem(wire, up_to=1) for wire in (5, 6)]
    for bundle, resume in zip(bundles, resumes, strict=True):
        port.post(a.PostItem(m.BundleRequest, bundle))
        port.post(a.PostItem(m.TransferResume, resume))
    port.post(a.PostItem(m.Window, m.WindowItem(6, 2)))

    def said() -> list[tuple[type, int]]:
        messages = [decode(text, FROM_HUB, DEFAULT_LIMITS).message for text in link.texts]
        kinds = (m.BundleRequest, m.TransferResume, m.Window)
        return [(type(one), item.transfer_id) for one in messages if isinstance(one, kinds) for item in one.items]

    until(lambda: len(said()) == 5)
    order = said()
    for wire in (5, 6):
        assert order.index((m.BundleRequest, wire)) < order.index((m.TransferResume, wire))
    assert order.index((m.TransferResume, 6)) < order.index((m.Window, 6))
