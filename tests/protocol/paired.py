"""Both ends of a session with a faulty link between them."""

from __future__ import annotations

from collections import deque

from fileflux.protocol.limits import DEFAULT_LIMITS, Limits
from fileflux.protocol.messages import ConnectionTest, ConnectionTestResult
from fileflux.protocol.session import (
    Established,
    HelloReceived,
    LinkDead,
    MessageReceived,
    Refused,
    Session,
    SessionEvent,
    Side,
)


class FaultyLink:
    """What is on its way in one direction. ``script``: one character per text sent, then for ever ``.``

    ``.`` delivers · ``r`` delivers twice (greetings, which open a link, once) · ``x`` cuts the link instead · ``d`` delivers nothing from here on (a black hole)
    """

    def __init__(self, script: str = "") -> None:
        self._script = deque(script)
        self.texts: deque[str] = deque()
        self.cut = False
        self._hole = False

    def send(self, text: str) -> None:
        fault = self._script.popleft() if self._script else "."
        if fault == "x":
            self.cut = True
        elif fault == "d":
            self._hole = True
        if self.cut or self._hole:
            return
        self.texts.extend([text] * (2 if fault == "r" and '"seq":0,' not in text else 1))


class PairedSessions:
    """Drives an agent's and a hub's session; remembers what each application got, by token."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS, *, handle_at_once: bool = True) -> None:
        self.now = 1000.0
        self.limits = limits
        self.agent = Session(Side.AGENT, limits, agent_name="a")
        self.hub = Session(Side.HUB, limits, session_id="s1", epoch=1, agent_name="a")
        self.sessions = {Side.AGENT: self.agent, Side.HUB: self.hub}
        self.got: dict[Side, list[str]] = {Side.AGENT: [], Side.HUB: []}
        self.unhandled: dict[Side, list[int]] = {Side.AGENT: [], Side.HUB: []}
        self.events: dict[Side, list[SessionEvent]] = {Side.AGENT: [], Side.HUB: []}
        self.refused: list[Refused] = []
        self.links = 0
        self._handle_at_once = handle_at_once
        self._to: dict[Side, FaultyLink] | None = None

    def connect(self, to_hub: str = "", to_agent: str = "") -> None:
        """A new link with faults; the old one is gone."""
        self.disconnect()
        self.links += 1
        self._to = {Side.HUB: FaultyLink(to_hub), Side.AGENT: FaultyLink(to_agent)}
        self.hub.link_up(self.now)
        self.agent.link_up(self.now)
        self.run()

    def disconnect(self) -> None:
        self._to = None
        self.agent.link_down(self.now)
        self.hub.link_down(self.now)

    def say(self, side: Side, token: str) -> None:
        self.sessions[side].send(ConnectionTestResult(token) if side is Side.AGENT else ConnectionTest(token), self.now)
        self.run()

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for side, session in self.sessions.items():
            self._happened(side, session.tick(self.now))
        self.run()

    def handle(self, side: Side, seq: int) -> None:
        self.unhandled[side].remove(seq)
        self.sessions[side].handled(seq, self.now)
        self.run()

    def run(self) -> None:
        """Until nothing moves or the link is cut."""
        moved = True
        while moved and self._to is not None:
            moved = False
            for side, other in ((Side.AGENT, Side.HUB), (Side.HUB, Side.AGENT)):
                if self._to is None:
                    return
                for text in self.sessions[side].texts_to_send():
                    self._to[other].send(text)
                    moved = True
                link = self._to[other]
                while link.texts and self._to is not None:
                    moved = True
                    self._happened(other, self.sessions[other].receive_text(link.texts.popleft(), self.now))
                if link.cut:
                    self.disconnect()

    def _happened(self, side: Side, events: list[SessionEvent]) -> None:
        session = self.sessions[side]
        for event in events:
            self.events[side].append(event)
            match event:
                case HelloReceived():
                    resumed = event.hello.session_id == session.session_id
                    session.welcome(self.now, event.hello, resumed=resumed)
                case MessageReceived(seq=seq, message=ConnectionTest(token=token) | ConnectionTestResult(token=token)):
                    self.got[side].append(token)
                    if self._handle_at_once:
                        session.handled(seq, self.now)
                    else:
                        self.unhandled[side].append(seq)
                case Refused():
                    self.refused.append(event)
                    if event.close:
                        self.disconnect()
                case LinkDead():
                    self.disconnect()
                case Established() | _:
                    pass
