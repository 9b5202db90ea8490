"""``fileflux send``."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time

import pytest

from fileflux.cli.options import ExitCode
from tests.cli.conftest import Command
from tests.cli.stub import StubHub, run_record


@pytest.mark.parametrize(("status", "code"), [("succeeded", 0), ("partial", 6), ("cancelled", 8)])
def test_send_makes_a_job_runs_it_and_waits(command: Command, hub: StubHub, status: str, code: int) -> None:
    hub.routes["GET /api/runs/5"] = (200, run_record(status=status))
    got, out, _ = command("send", "web-1:/srv/in", "7:/data/in", "--verify", "reread")
    assert got == code
    assert status in out
    body = next(request[3] for request in hub.requests if request[0] == "POST /api/jobs")
    assert body["name"].startswith("send-")
    assert (body["source_path"], body["verify"]) == ("/srv/in", "reread")


def test_an_interrupted_send_cancels_its_run(command: Command, hub: StubHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fileflux.cli.progress.watch_run", interrupted)
    assert command("send", "web-1:/srv/in", "7:/data/in")[0] == ExitCode.CANCELLED
    assert hub.lines()[-1] == "POST /api/runs/5/cancel"


@pytest.mark.parametrize(
    ("places", "words"),
    [
        (("./a",), "give a source and a destination"),
        (("./a", "./b"), "use cp"),
        (("./missing", "7:/in/"), "no such file or folder"),
        (("web-1:/a", "./missing/name"), "make it first"),
        (("./send.txt", "nobody:/in/"), "there is no agent 'nobody'"),
        (("web-1:", "7:/in/"), "is not AGENT:PATH"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_made(
    command: Command, hub: StubHub, places: tuple[str, ...], words: str, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "send.txt").write_text("x")
    code, out, err = command("send", *places)
    assert code in (ExitCode.USAGE, ExitCode.NOT_FOUND)
    assert out == ""
    assert words in err
    assert all(line.startswith("GET ") for line in hub.lines())


def test_several_sources_land_in_one_folder_and_the_first_failure_is_the_exit_code(
    command: Command, hub: StubHub
) -> None:
    hub.routes["GET /api/runs/5"] = [(200, run_record(status="failed")), (200, run_record(status="succeeded"))]
    code, out, _ = command("send", "web-1:/a", "web-1:/b", "7:/in", "--json")
    assert code == ExitCode.OTHER
    assert [run["status"] for run in json.loads(out)] == ["failed", "succeeded"]
    bodies = [request[3] for request in hub.requests if request[0] == "POST /api/jobs"]
    assert [(body["source_path"], body["destination_path"]) for body in bodies] == [("/a", "/in/"), ("/b", "/in/")]
    assert all(body["ad_hoc"] for body in bodies)


def test_with_a_time_out_a_run_between_agents_goes_on(command: Command, hub: StubHub) -> None:
    hub.routes["GET /api/runs/5"] = (200, run_record())
    assert command("send", "web-1:/a", "7:/b", "--timeout", "0.1")[0] == ExitCode.TIME_OUT
    assert "POST /api/runs/5/cancel" not in hub.lines()


def test_with_a_time_out_what_needs_this_machine_is_cancelled_and_that_is_said(
    command: Command, hub: StubHub, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Here(contextlib.AbstractContextManager["Here"]):
        id = 1

        def __init__(self, *_: object, **__: object) -> None: ...

        def __exit__(self, *_: object) -> None: ...

        def hear(self) -> None: ...

    monkeypatch.setattr("fileflux.cli.local_agent.LocalAgent", Here)
    monkeypatch.setattr("fileflux.cli.send.CANCEL_S", 0.2)
    hub.routes["GET /api/runs/5"] = (200, run_record())
    (tmp_path / "x").write_text("x")
    code, _, err = command("send", str(tmp_path / "x"), "7:/b", "--timeout", "0.1")
    assert code == ExitCode.TIME_OUT
    assert "POST /api/runs/5/cancel" in hub.lines()
    assert "cannot go on" in err
    assert "runs watch" not in err


def test_being_terminated_cancels_too(command: Command, hub: StubHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def terminated(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

    monkeypatch.setattr("fileflux.cli.progress.watch_run", terminated)
    assert command("send", "web-1:/srv/in", "7:/data/in")[0] == ExitCode.CANCELLED
    assert hub.lines()[-1] == "POST /api/runs/5/cancel"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.fixture
def with_hangup():
    """Whoever started the tests under nohup has it ignored, and the command keeps to that."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("with_hangup")
def test_watching_ends_without_touching_the_run(
    command: Command, hub: StubHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)):

        def told(*_: object, number: int = number, **__: object) -> None:
            os.kill(os.getpid(), number)
            time.sleep(10)

        monkeypatch.setattr("fileflux.cli.progress.watch_run", told)
        got, _, err = command("runs", "watch", "5")
        assert got == code
        assert "run 5 goes on" in err
    assert "POST /api/runs/5/cancel" not in hub.lines()
