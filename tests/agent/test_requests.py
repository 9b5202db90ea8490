from __future__ import annotations

import pytest

from fileflux.errors import LocalProtocolError, OverloadedError, TransferError
from fileflux.protocol import messages as m
from fileflux.protocol.limits import DEFAULT_LIMITS
from flux_agent.doctor_report import Check
from flux_agent.requests import BROWSES_MAX, LISTINGS_MAX, Requests

pytestmark = pytest.mark.unit

PAGE = {
    "last": False,
    "base": "/data",
    "path_type": "directory",
    "entries": [{"path": "a", "kind": "file", "size": 1, "mtime_ns": 2, "mode": 3, "code": ""}],
    "errors": [{"path": "b", "code": "permission", "message": "no\0"}],
}


class Recorder:
    """Workers that answer when the test says so, and what was sent."""

    def __init__(self):
        self.tasks = []
        self.sent = []
        self.examined = []
        self.requests = Requests(self, DEFAULT_LIMITS, "1", self.sent.append, self.examined.append)

    def submit(self, key, task, args, done, beside=""):
        self.tasks.append((key, task, args, done))

    def answer(self, value=None, error=None):
        self.tasks.pop(0)[3](value, error)


@pytest.fixture
def agent():
    return Recorder()


def test_pages_of_a_listing_come_from_one_worker(agent):
    assert agent.requests.handle(m.ListRequest(7, "/data", page_size=100_000))
    key, task, args, _ = agent.tasks[0]
    assert (task, args["page_size"]) == ("list_page", DEFAULT_LIMITS.list_page)
    agent.answer(PAGE)
    assert agent.sent == [
        m.ListResult(7, 0, last=False, base="/data", path_type="directory", entries=(m.Entry("a", "file", 1, 2, 3),),
                     errors=(m.ListError("b", "permission", "no?"),))
    ]  # fmt: skip
    agent.requests.handle(m.ListRequest(7, "/data", page=1))
    assert agent.tasks[0][0] == key


def test_a_listing_that_cannot_be_made_has_one_error(agent):
    agent.requests.handle(m.ListRequest(7, "/data"))
    agent.answer(error=TransferError("outside", code="outside_roots"))
    (result,) = agent.sent
    assert result.last
    assert result.errors == (m.ListError("", "outside_roots", "outside"),)


def test_a_page_that_no_message_can_hold_is_an_error(agent):
    def send(message):
        if getattr(message, "entries", ()):
            raise LocalProtocolError("above 1 MiB")
        agent.sent.append(message)

    agent.requests = Requests(agent, DEFAULT_LIMITS, "1", send, agent.examined.append)
    agent.requests.handle(m.ListRequest(7, "/data"))
    agent.answer(PAGE)
    (result,) = agent.sent
    assert result.last
    assert result.errors[0].path == ""


def test_a_cancelled_listing_is_not_answered(agent):
    agent.requests.handle(m.ListRequest(7, "/data"))
    agent.requests.handle(m.ListCancel(7))
    agent.answer(PAGE)
    assert agent.sent == []
    assert agent.tasks[0][:2] == ("list:7", "list_cancel")


def test_answers_of_an_earlier_session_are_dropped(agent):
    agent.requests.handle(m.ListRequest(7, "/data"))
    agent.requests.handle(m.DirApply(8, "/data", (m.DirItem("a"),)))
    agent.requests.reset()
    agent.answer(PAGE)
    agent.answer({"errors": []})
    assert agent.sent == []


def test_listings_at_once_are_bounded(agent):
    for request_id in range(1, LISTINGS_MAX + 2):
        agent.requests.handle(m.ListRequest(request_id, "/data"))
    assert len(agent.tasks) == LISTINGS_MAX
    (refused,) = agent.sent
    assert refused.last
    assert refused.errors[0].code == "overloaded"


def test_directories(agent):
    agent.requests.handle(m.DirApply(8, "/data", (m.DirItem("a", 0o755, 5),)))
    assert agent.tasks[0][2] == {"base": "/data", "items": [{"path": "a", "mode": 0o755, "mtime_ns": 5}]}
    agent.answer({"errors": [{"path": "a", "code": "permission", "message": "no"}]})
    agent.requests.handle(m.DirApply(9, "/data", (m.DirItem("a"),)))
    agent.answer(error=TransferError("gone", code="io"))
    assert agent.sent == [
        m.DirApplied(8, (m.ListError("a", "permission", "no"),)),
        m.DirApplied(9, (m.ListError("", "io", "gone"),)),
    ]


ITEM = {"name": "a", "kind": "file", "size": 1, "mtime_ns": 2, "mode": 3, "read": None, "write": None}


def test_a_page_for_people(agent):
    assert agent.requests.handle(m.BrowseRequest(3, "/data", "Z", 10**9))
    key, task, args, _ = agent.tasks[0]
    assert (key, task) == ("browse", "browse"), "one worker makes all of them"
    assert (args["path"], args["after"]) == ("/data", "Z")
    assert args["limit"] <= 1000
    agent.answer({"path": "/data", "parent": "", "items": [ITEM], "following": "a"})
    assert agent.sent == [m.BrowseResult(3, "/data", "", (m.BrowseItem("a", "file", 1, 2, 3),), "a")]


def test_a_page_that_cannot_be_made_says_why(agent):
    agent.requests.handle(m.BrowseRequest(3, "/etc"))
    agent.answer(error=TransferError("outside\0", code="outside_roots"))
    assert agent.sent == [m.BrowseResult(3, code="outside_roots", message="outside?")]


def test_pages_for_people_are_bounded_and_end_with_their_session(agent):
    for request_id in range(1, BROWSES_MAX + 2):
        agent.requests.handle(m.BrowseRequest(request_id, "/data"))
    assert len(agent.tasks) == BROWSES_MAX
    assert [result.code for result in agent.sent] == ["overloaded"]
    agent.requests.reset()
    agent.answer({"path": "/data", "parent": "", "items": [], "following": None})
    assert len(agent.sent) == 1
    for request_id in range(1, BROWSES_MAX + 1):
        agent.requests.handle(m.BrowseRequest(request_id, "/data"))
    assert len(agent.sent) == 1, "those of the earlier session do not count"


def test_the_doctor_reports(agent):
    agent.requests.handle(m.DoctorRequest(4))
    agent.examined.pop()([Check("dns", "ok", "x is 192.0.2.1"), Check("tcp", "fail", "no\0", "y" * 5000)], None)
    agent.requests.handle(m.DoctorRequest(5))
    agent.examined.pop()(None, OverloadedError("at work", code="busy"))
    first, second = agent.sent
    assert [(check.name, check.status, check.found) for check in first.checks] == [
        ("dns", "ok", "x is 192.0.2.1"),
        ("tcp", "fail", "no?"),
    ]
    assert len(first.checks[1].advice) == 1000
    assert second == m.DoctorResult(5, code="busy", message="at work")


def test_a_report_for_an_earlier_session_is_dropped(agent):
    agent.requests.handle(m.DoctorRequest(4))
    agent.requests.reset()
    agent.examined.pop()([], None)
    assert agent.sent == []


def test_the_connection_test_is_echoed_and_the_rest_is_not_ours(agent):
    assert agent.requests.handle(m.ConnectionTest("t"))
    assert agent.sent == [m.ConnectionTestResult("t")]
    assert not agent.requests.handle(m.HeartbeatAck("now"))


def test_agent_info_tells_the_roots(agent):
    agent.requests.tell_about_us()
    agent.answer({"roots": [{"path": "/data", "read": True, "write": False, "total": 10, "free": 5}]})
    (info,) = agent.sent
    assert info.roots == (m.RootInfo("/data", read=True, write=False, total=10, free=5),)
    assert info.version == "1"
