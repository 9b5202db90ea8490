from __future__ import annotations

import pytest

from fileflux.errors import LocalProtocolError, TransferError
from fileflux.protocol import messages as m
from fileflux.protocol.limits import DEFAULT_LIMITS
from flux_agent.requests import LISTINGS_MAX, Requests

pytestmark = pytest.mark.unit

PAGE = {
    "last": False,
    "base": "/data",
    "path_type": "directory",
    "entries": [{"path": "a", "kind": "file", "size": 1, "mtime_ns": 2, "mode": 3}],
    "errors": [{"path": "b", "code": "permission", "message": "no\0"}],
}


class Recorder:
    """Workers that answer when the test says so, and what was sent."""

    def __init__(self):
        self.tasks = []
        self.sent = []
        self.requests = Requests(self, DEFAULT_LIMITS, "1", self.sent.append)

    def submit(self, key, task, args, done):
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

    agent.requests = Requests(agent, DEFAULT_LIMITS, "1", send)
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
