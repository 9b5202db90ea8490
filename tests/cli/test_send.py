"""``fileflux send``."""

from __future__ import annotations

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
