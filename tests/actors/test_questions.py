"""What people ask of one agent: answered once, by the right answer, within its time, and a few at once."""

from __future__ import annotations

from typing import Any

import pytest

from fileflux.actors import messages as a
from fileflux.actors.kernel.ref import Reply
from fileflux.actors.kernel.runtime import Result
from fileflux.actors.questions import Questions
from fileflux.actors.session_port import SessionPort
from fileflux.errors import ConflictError, OverloadedError, UnavailableError
from fileflux.protocol import messages as m

pytestmark = pytest.mark.unit


class Link:
    transport = "polling"
    peer = "192.0.2.1"


class Asked:
    """Questions of a connected agent that can do everything, and their answers."""

    def __init__(self, *, link: Any = Link, features: tuple[str, ...] = m.FEATURES) -> None:
        self.port = SessionPort(a.AgentIdentity(1, "web-1", 2, 3, "192.0.2.1"), "s", 0)
        self.port.link, self.port.features = link, features
        self.questions = Questions(self.port)

    def ask(self, kind: str, now: float = 0.0, timeout: float = 10.0) -> tuple[Any, Result[Any]]:
        result: Result[Any] = Result()
        reply: Reply[Any] = Reply(result, "agent")
        question: Any = {
            "test": lambda: a.TestConnection(timeout, reply),
            "browse": lambda: a.BrowseAgent("/data", "a", 7, timeout, reply),
            "doctor": lambda: a.ExamineAgent(timeout, reply),
            "list": lambda: a.ListAgent(m.ListRequest(7, "/data"), timeout, reply),
        }[kind]()
        return self.questions.ask(question, now), result


def test_each_question_gets_its_own_answer() -> None:
    asked = Asked()
    test, tested = asked.ask("test", 5.0)
    browse, browsed = asked.ask("browse")
    doctor, examined = asked.ask("doctor")
    assert browse == m.BrowseRequest(browse.request_id, "/data", "a", 7)
    page, report = m.BrowseResult(browse.request_id, "/data"), m.DoctorResult(doctor.request_id)
    asked.questions.answered(report, 6.0)
    asked.questions.answered(page, 6.0)
    asked.questions.answered(m.ConnectionTestResult(test.token), 7.5)
    assert tested.get(0) == a.RoundTrip(2.5, "polling")
    assert browsed.get(0) is page
    assert examined.get(0) is report


def test_pages_of_a_listing_are_known_by_its_own_id() -> None:
    asked = Asked()
    asked.ask("test")
    request, listed = asked.ask("list")
    assert request == m.ListRequest(7, "/data")
    page = m.ListResult(7, 0, True, "/data", "directory")
    assert asked.questions.awaits(page)
    assert not asked.questions.awaits(m.ListResult(1, 0, True, "/data", "directory"))
    asked.questions.answered(page, 1.0)
    assert listed.get(0) is page
    assert not asked.questions.awaits(page)


def test_tests_at_one_moment_do_not_share_a_token() -> None:
    asked = Asked()
    first, one = asked.ask("test")
    second, two = asked.ask("test")
    asked.questions.answered(m.ConnectionTestResult(first.token), 1.0)
    third, three = asked.ask("test")
    assert len({first.token, second.token, third.token}) == 3
    asked.questions.answered(m.ConnectionTestResult(second.token), 2.0)
    assert one.get(0).seconds == 1.0
    assert two.get(0).seconds == 2.0
    assert not three.ready


@pytest.mark.parametrize("token", ["", "x", "-1", "0", "99", "9" * 200, "²", "1.0"])
def test_answers_to_no_question_are_dropped(token: str) -> None:
    asked = Asked()
    browse, browsed = asked.ask("browse")
    asked.questions.answered(m.ConnectionTestResult(token), 1.0)
    asked.questions.answered(m.ConnectionTestResult(str(browse.request_id)), 1.0)
    asked.questions.answered(m.DoctorResult(browse.request_id), 1.0)
    asked.questions.answered(m.BrowseResult(99), 1.0)
    assert not browsed.ready
    page = m.BrowseResult(browse.request_id)
    asked.questions.answered(page, 1.0)
    asked.questions.answered(m.BrowseResult(browse.request_id, "/other"), 1.0)
    assert browsed.get(0) is page


@pytest.mark.parametrize("kind", ["test", "browse", "doctor"])
def test_who_is_not_there_is_not_asked(kind: str) -> None:
    said, result = Asked(link=None).ask(kind)
    assert said is None
    with pytest.raises(UnavailableError, match="web-1 is not connected") as caught:
        result.get(0)
    assert caught.value.code == "agent_offline"


def test_an_older_agent_is_asked_only_what_it_knows() -> None:
    asked = Asked(features=())
    assert asked.ask("test")[0] is not None
    for kind in ("browse", "doctor"):
        said, result = asked.ask(kind)
        assert said is None
        with pytest.raises(ConflictError, match="update it") as caught:
            result.get(0)
        assert caught.value.code == "not_supported"


@pytest.mark.parametrize(("kind", "most"), [("test", 16), ("browse", 8), ("doctor", 1)])
def test_open_questions_are_bounded_by_kind(kind: str, most: int) -> None:
    asked = Asked()
    for _ in range(most):
        assert asked.ask(kind)[0] is not None
    said, result = asked.ask(kind)
    assert said is None
    with pytest.raises(OverloadedError):
        result.get(0)
    others = {"test", "browse", "doctor"} - {kind}
    assert all(asked.ask(other)[0] is not None for other in others)


def test_who_waited_long_enough_is_told_so_and_makes_room() -> None:
    asked = Asked()
    _, late = asked.ask("doctor", 0.0, timeout=5.0)
    asked.questions.tick(4.9)
    assert not late.ready
    asked.questions.tick(5.0)
    with pytest.raises(UnavailableError, match="did not answer within 5 s") as caught:
        late.get(0)
    assert caught.value.code == "no_answer"
    assert asked.ask("doctor")[0] is not None


def test_the_end_of_the_session_is_the_end_of_waiting() -> None:
    asked = Asked()
    results = [asked.ask(kind)[1] for kind in ("test", "browse", "doctor")]
    asked.questions.end("its token was revoked")
    for result in results:
        with pytest.raises(UnavailableError, match="its token was revoked"):
            result.get(0)
