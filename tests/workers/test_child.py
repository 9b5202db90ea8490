from __future__ import annotations

import socket
import threading

import pytest

from fileflux.errors import LocalProtocolError
from fileflux.workers.child import load_factory, serve
from fileflux.workers.link import MAX_MESSAGE, WorkerLink

from . import sample_tasks

FACTORY = f"{sample_tasks.__name__}:make"


@pytest.fixture
def channel():
    """The parent's end; the child's end is served in a thread, whose exit code is appended to the list."""
    left, right = socket.socketpair()
    link, codes = WorkerLink(left), []
    thread = threading.Thread(target=lambda: codes.append(serve(WorkerLink(right), None)))
    thread.start()
    yield link, codes, thread
    left.close()
    thread.join(5)
    right.close()


def begin(link: WorkerLink) -> None:
    link.send({"factory": FACTORY, "init": {"a": 1}})
    assert link.receive() == {"ready": True}


def test_requests_are_answered_in_order_until_the_end(channel):
    link, codes, thread = channel
    begin(link)
    for number in range(3):
        link.send({"id": number, "task": "echo", "args": {"n": number}})
    link.finish()
    assert [link.receive()["value"]["n"] for _ in range(3)] == [0, 1, 2]
    thread.join(5)
    assert codes == [0]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"task": "nope", "args": {}}, {"code": "protocol", "message": "no task 'nope'", "retryable": False}),
        ({"args": {}}, {"code": "protocol", "message": "no task None", "retryable": False}),
        ({"task": "echo"}, {"code": "internal", "message": "KeyError", "retryable": False}),
        ({"task": "fail", "args": {"how": "transfer"}}, {"code": "no_space", "message": "no room", "retryable": True}),
        ({"task": "fail", "args": {"how": "missing"}}, {"code": "not_found", "message": "No such file: x\\xffy", "retryable": False}),
        ({"task": "fail", "args": {"how": "bug"}}, {"code": "internal", "message": "ZeroDivisionError", "retryable": False}),
    ],
)  # fmt: skip
def test_every_error_is_an_answer_and_the_next_request_works(channel, request_, error):
    link, _, _ = channel
    begin(link)
    link.send({"id": 7, **request_})
    assert link.receive() == {"id": 7, "error": error}
    link.send({"id": 8, "task": "init", "args": {}})
    assert link.receive() == {"id": 8, "value": {"init": {"a": 1}}}


@pytest.mark.parametrize(("task", "args"), [("odd", {}), ("big", {"size": MAX_MESSAGE})])
def test_an_answer_that_cannot_be_sent_is_an_error(channel, task, args):
    link, _, _ = channel
    begin(link)
    link.send({"id": 1, "task": task, "args": args})
    assert link.receive()["error"]["code"] == "protocol"


def test_a_factory_that_fails_is_told_before_the_end(channel):
    link, codes, thread = channel
    link.send({"factory": FACTORY, "init": {"broken": True}})
    assert link.receive() == {"error": {"code": "internal", "message": "RuntimeError", "retryable": False}}
    thread.join(5)
    assert codes == [1]


def test_the_end_before_the_beginning(channel):
    link, codes, thread = channel
    link.close()
    thread.join(5)
    assert codes == [0]


@pytest.mark.parametrize(
    "name", ["", "json", "json:", "json:nope", "no_such_module_here:x", f"{sample_tasks.__name__}:not_callable"]
)
def test_factories_that_are_not_there(name):
    with pytest.raises(LocalProtocolError):
        load_factory(name)
