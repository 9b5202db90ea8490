"""``fileflux runs`` and ``transfers``, and what all lists have in common."""

from __future__ import annotations

import json

import pytest

from fileflux.cli.options import ExitCode
from tests.cli.conftest import Command
from tests.cli.stub import StubHub, run_record


@pytest.mark.parametrize("words", [["agents", "list"], ["tokens", "list"], ["jobs", "list"], ["runs", "list"], ["transfers", "list"],
                                   ["agents", "show", "web-1"], ["jobs", "show", "nightly"], ["runs", "show", "5"],
                                   ["transfers", "show", "8"], ["agents", "test", "web-1"]])  # fmt: skip
def test_lists_and_records_in_each_form(command: Command, words: list[str]) -> None:
    table = command(*words)
    assert table[0] == ExitCode.OK
    assert table[1]
    assert isinstance(json.loads(command(*words, "--json")[1]), list if words[1] == "list" else dict)
    assert command(*words, "-o", "yaml")[0] == ExitCode.OK


def test_a_run_is_started_followed_waited_for_and_cancelled(command: Command, hub: StubHub) -> None:
    assert json.loads(command("jobs", "run", "nightly", "--json")[1])["status"] == "transferring"
    code, out, err = command("jobs", "run", "nightly", "--wait", "--json")
    assert (code, json.loads(out)["status"]) == (ExitCode.OK, "succeeded")
    assert "run 5: succeeded" in err
    assert "succeeded" in command("runs", "watch", "5")[1]
    assert command("runs", "wait", "5")[2] == ""
    assert command("-q", "runs", "watch", "5")[1:] == ("", "")
    assert command("runs", "cancel", "5")[0] == ExitCode.OK
    assert hub.lines()[-1] == "POST /api/runs/5/cancel"


def test_waiting_ends_at_the_time_out(command: Command, hub: StubHub) -> None:
    hub.routes["GET /api/runs/5"] = (200, run_record())
    assert command("runs", "wait", "5", "--timeout", "0.1")[0] == ExitCode.TIME_OUT
