"""What people ask of one agent and wait for: connection tests, pages of directories and of listings, the doctor's report.

Sans-I/O: a question comes in and a control message goes out; an answer, a tick or the end of the session lets the asker go.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from fileflux.actors import messages as a
from fileflux.actors.kernel.ref import Reply
from fileflux.actors.session_port import SessionPort
from fileflux.errors import ConflictError, OverloadedError, UnavailableError
from fileflux.protocol import messages as m

Question = a.TestConnection | a.BrowseAgent | a.ExamineAgent | a.ListAgent

_OPEN_MAX: Final[dict[type[Question], int]] = {
    a.TestConnection: 16,
    a.BrowseAgent: 8,
    a.ExamineAgent: 1,
    a.ListAgent: 4,
}
"""Of one kind at once. A page costs the agent up to a second of a worker, a report a minute of its network."""
_FEATURES: Final[dict[type[Question], str]] = {a.BrowseAgent: "browse", a.ExamineAgent: "doctor"}


@dataclass(frozen=True, slots=True)
class _Open:
    kind: type[Question]
    reply: Reply[Any]
    asked: float
    until: float


class Questions:
    """Of one session."""

    def __init__(self, port: SessionPort) -> None:
        self._port = port
        self._count = 0
        self._open: dict[tuple[type[Question], int], _Open] = {}

    def ask(self, question: Question, now: float) -> m.Message | None:
        """What to send to the agent; None when the asker has been told already why nothing is sent."""
        kind, name = type(question), self._port.agent_name
        problem: Exception | None = None
        if self._port.link is None:
            problem = UnavailableError(f"agent {name} is not connected", code="agent_offline")
        elif kind in _FEATURES and _FEATURES[kind] not in self._port.features:
            problem = ConflictError(f"agent {name} has a version that cannot do this: update it", code="not_supported")
        elif sum(other.kind is kind for other in self._open.values()) >= _OPEN_MAX[kind]:
            problem = OverloadedError(f"agent {name} is being asked the same already: try again when that is answered")
        if problem is not None:
            question.reply.fail(problem)
            return None
        self._count += 1
        # The pages of a listing have one id, which no run's may have.
        number = question.request.request_id if isinstance(question, a.ListAgent) else self._count
        self._open[kind, number] = _Open(kind, question.reply, now, now + question.timeout)
        match question:
            case a.TestConnection():
                return m.ConnectionTest(str(self._count))
            case a.BrowseAgent():
                return m.BrowseRequest(self._count, question.path, question.after, question.limit)
            case a.ExamineAgent():
                return m.DoctorRequest(self._count)
            case a.ListAgent():
                return question.request

    def awaits(self, page: m.ListResult) -> bool:
        """Whether this page of a listing is for somebody here, not for a run."""
        return (a.ListAgent, page.request_id) in self._open

    def answered(
        self, answer: m.ConnectionTestResult | m.BrowseResult | m.DoctorResult | m.ListResult, now: float
    ) -> None:
        """The agent said something; what answers no open question is dropped."""
        match answer:
            case m.ConnectionTestResult():
                found = self._take(a.TestConnection, int(answer.token) if _is_number(answer.token) else 0)
                link = self._port.link
                if found is not None and link is not None:
                    found.reply.send(a.RoundTrip(now - found.asked, link.transport))
            case m.BrowseResult():
                self._give(a.BrowseAgent, answer.request_id, answer)
            case m.DoctorResult():
                self._give(a.ExamineAgent, answer.request_id, answer)
            case m.ListResult():
                self._give(a.ListAgent, answer.request_id, answer)

    def tick(self, now: float) -> None:
        """Time has passed: who has waited long enough is told so."""
        for number, open_ in tuple(self._open.items()):
            if now >= open_.until:
                del self._open[number]
                waited = round(now - open_.asked)
                text = f"agent {self._port.agent_name} did not answer within {waited} s"
                open_.reply.fail(UnavailableError(text, code="no_answer"))

    def deadline(self) -> float:
        """When ``tick`` has something to do; infinite when nobody waits."""
        return min((open_.until for open_ in self._open.values()), default=math.inf)

    def end(self, reason: str) -> None:
        """No answer comes any more."""
        for open_ in self._open.values():
            open_.reply.fail(UnavailableError(f"agent {self._port.agent_name}: {reason}", code="agent_offline"))
        self._open.clear()

    def _give(self, kind: type[Question], number: int, answer: m.Message) -> None:
        found = self._take(kind, number)
        if found is not None:
            found.reply.send(answer)

    def _take(self, kind: type[Question], number: int) -> _Open | None:
        return self._open.pop((kind, number), None)


def _is_number(token: str) -> bool:
    return token.isascii() and token.isdecimal() and len(token) < 16
