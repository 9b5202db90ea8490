"""One end of a session, ready to be talked to by hand."""

from __future__ import annotations

import json
from typing import Any

from fileflux.protocol import messages as m
from fileflux.protocol.codec import encode
from fileflux.protocol.limits import DEFAULT_LIMITS
from fileflux.protocol.session import Established, HelloReceived, Session, Side

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
