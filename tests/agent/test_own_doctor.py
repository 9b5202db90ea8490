"""The doctor inside a running agent: one at a time, within its time, and without a secret in its report."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import gevent
import pytest

from fileflux.actors.kernel.resolver import Resolver
from fileflux.clock import SystemClock
from fileflux.errors import OverloadedError, UnavailableError
from flux_agent import config, own_doctor
from flux_agent.doctor_walk import LAYERS
from flux_agent.own_doctor import HIDDEN, OwnDoctor
from flux_agent.transfer.turns import Turns

TOKEN = "ffx_0123456789"
ROOTS = {"checks": [{"status": "ok", "found": "/data (read), 1.0 GiB free", "advice": ""}]}


class Workers:
    """Answer when the test says so."""

    def __init__(self) -> None:
        self.tasks: list[tuple[str, Callable[..., None]]] = []

    def submit(self, key: str, task: str, args: dict[str, Any], done: Callable[..., None], beside: str = "") -> None:
        del key, args
        self.tasks.append((task, done))

    def broadcast(self, task: str, args: dict[str, Any]) -> None:
        raise AssertionError(task, args)


class Place:
    def __init__(self, look_up: Callable[..., Any], **values: Any) -> None:
        loaded = config.load({"hub": "https://hub.example:1", "token": TOKEN, **values}, {}, None)
        self.workers = Workers()
        self.reports: list[Any] = []
        self.errors: list[Any] = []
        self.doctor = OwnDoctor(
            config.check(loaded, environment={}), self.workers, Turns(self.errors.append), SystemClock(), Resolver(look_up)
        )  # fmt: skip

    def examine(self) -> None:
        self.doctor.examine(lambda checks, error: self.reports.append((checks, error)))

    def report(self) -> list[Any]:
        with gevent.Timeout(10, AssertionError("no report")):
            while not self.reports:
                gevent.sleep(0.005)
        checks, error = self.reports.pop()
        assert error is None
        assert not self.errors
        return list(checks)


def nowhere(host: str, port: int) -> Any:
    raise OSError(f"no {host} {port} {TOKEN}")


def test_the_whole_report() -> None:
    place = Place(nowhere)
    place.examine()
    place.workers.tasks.pop()[1](ROOTS, None)
    report = place.report()
    assert [check.name for check in report] == ["configuration", *LAYERS, "root"]
    assert [check.status for check in report[:3]] == ["ok", "fail", "skipped"]
    assert report[-1].found == "/data (read), 1.0 GiB free"


def test_no_secret_leaves_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(nowhere, proxy="http://u:s3cret@proxy.example:3128")
    pair = base64.b64encode(b"u:s3cret").decode()
    quoted = f"refused: {pair} u:s3cret {TOKEN}\x1b[2J"

    def checks(walk: Any) -> Any:
        walk.made.append(own_doctor.Check("dns", "fail", quoted, quoted))

    monkeypatch.setattr(own_doctor.Walk, "checks", checks)
    place.examine()
    place.workers.tasks.pop()[1](ROOTS, None)
    (shown,) = (check for check in place.report() if check.name == "dns")
    assert shown.found == shown.advice == f"refused: {HIDDEN} {HIDDEN} {HIDDEN}?[2J"


def test_one_at_a_time() -> None:
    place = Place(nowhere)
    place.examine()
    place.examine()
    checks, error = place.reports.pop()
    assert checks is None
    assert isinstance(error, OverloadedError)
    assert error.code == "busy"
    place.workers.tasks.pop()[1](None, UnavailableError("no worker"))
    assert place.report()[-1].found == "nobody could look: no worker"
    place.examine()
    place.workers.tasks.pop()[1](ROOTS, None)
    assert place.report()


def test_a_late_report_says_how_far_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_doctor, "WALK_S", 0.05)
    place = Place(nowhere)
    monkeypatch.setattr(own_doctor.Walk, "checks", lambda walk: gevent.sleep(30))
    place.examine()
    report = place.report()
    assert {check.status for check in report[1:-1]} == {"skipped"}
    assert (report[-1].name, report[-1].status) == ("root", "fail")
    assert "file system that hangs" in report[-1].advice
    place.workers.tasks.pop()[1](ROOTS, None)
    assert not place.reports, "what comes later does not count"
