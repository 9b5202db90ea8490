"""The run's table and its endings."""

import pytest

from fileflux.jobs.run import TABLE, Event, RunMachine
from fileflux.jobs.status import RunStatus, TransferStatus

pytestmark = pytest.mark.unit


def transferring(files: int) -> RunMachine:
    run = RunMachine(files_total=files)
    run.agents(None)
    run.all_listed()
    assert run.status is RunStatus.TRANSFERRING
    return run


def test_terminal_statuses_have_no_way_out() -> None:
    for status, steps in TABLE.items():
        assert status in RunStatus
        assert not (status.terminal and steps)
    assert set(TABLE) == set(RunStatus)


_OUT = {Event.LISTING_FAILED: {"failed"}, Event.CANCELLED: {"cancelled"}}
_LIVE = _OUT | {Event.PAUSED: {"paused"}, Event.AGENT_MISSING: {"waiting_agent"}}
_RESULTS = {"succeeded", "partial", "failed", "cancelled"}
EXPECTED: dict[str, dict[Event, set[str]]] = {
    "queued": _LIVE | {Event.AGENTS_READY: {"planning"}},
    "waiting_agent": _LIVE | {Event.AGENTS_READY: {"planning", "transferring", "verifying"}, Event.ALL_DONE: _RESULTS},
    "planning": _LIVE | {Event.LISTED: {"transferring"}},
    "transferring": _LIVE | {Event.FILES_DONE: {"verifying"}},
    "verifying": _LIVE | {Event.ALL_DONE: _RESULTS},
    "paused": _OUT | {Event.RESUMED: {"waiting_agent"}},
}


@pytest.mark.parametrize("status", list(RunStatus))
@pytest.mark.parametrize("event", list(Event))
def test_every_pair_is_decided(status: RunStatus, event: Event) -> None:
    assert {to.value for to in TABLE[status].get(event, ())} == EXPECTED.get(status.value, {}).get(event, set())


@pytest.mark.parametrize(
    ("ends", "errors", "expected"),
    [
        ([TransferStatus.COMPLETED, TransferStatus.SKIPPED], 0, RunStatus.SUCCEEDED),
        ([], 0, RunStatus.SUCCEEDED),
        ([TransferStatus.COMPLETED, TransferStatus.FAILED], 0, RunStatus.PARTIAL),
        ([TransferStatus.FAILED, TransferStatus.FAILED], 0, RunStatus.FAILED),
        ([TransferStatus.COMPLETED], 1, RunStatus.PARTIAL),
        ([TransferStatus.COMPLETED, TransferStatus.CANCELLED], 0, RunStatus.PARTIAL),
        ([TransferStatus.CANCELLED, TransferStatus.CANCELLED], 0, RunStatus.CANCELLED),
        ([TransferStatus.CANCELLED, TransferStatus.FAILED], 0, RunStatus.FAILED),
        ([TransferStatus.CANCELLED], 1, RunStatus.FAILED),
    ],
)
def test_final_status(ends: list[TransferStatus], errors: int, expected: RunStatus) -> None:
    run = transferring(len(ends))
    for status in ends:
        run.file_ended(status)
    assert run.files_finished()
    assert not run.files_finished(), "only once"
    assert run.finish(errors) is expected


def test_a_run_that_waits_goes_back_to_where_it_was() -> None:
    run = transferring(1)
    assert run.agents("waiting for agent B: not connected")
    assert run.status is RunStatus.WAITING_AGENT
    assert not run.agents("waiting for agent B: not connected"), "nothing new"
    assert run.agents(None)
    assert run.status is RunStatus.TRANSFERRING
    assert run.reason == ""


def test_a_run_with_nothing_left_to_do_ends_whoever_is_away() -> None:
    run = transferring(0)
    assert run.files_finished()
    run.agents("waiting for agent A: not connected")
    assert run.finish() is RunStatus.SUCCEEDED


def test_a_cancelled_run_stays_cancelled() -> None:
    run = transferring(1)
    run.cancel("by a person")
    assert not run.agents("waiting")
    assert run.status is RunStatus.CANCELLED
    assert run.reason == "by a person"


def stage(name: str) -> RunMachine:
    run = RunMachine(files_total=1)
    if name != "queued":
        run.agents(None)
    if name in ("transferring", "verifying"):
        run.all_listed()
    if name == "verifying":
        run.file_ended(TransferStatus.COMPLETED)
        run.files_finished()
    if name == "waiting_agent":
        run.agents("waiting for agent B")
    return run


@pytest.mark.parametrize("name", ["queued", "waiting_agent", "planning", "transferring", "verifying"])
def test_a_paused_run_stays_so_until_it_is_resumed_and_goes_back_to_where_it_was(name: str) -> None:
    run = stage(name)
    assert run.status == name
    assert run.pause("paused by eve")
    assert not run.pause("paused by adam"), "once is enough"
    assert (run.status, run.reason) == (RunStatus.PAUSED, "paused by eve")
    assert not run.agents("waiting for agent B"), "whoever comes and goes"
    assert not run.agents(None)
    assert not run.files_finished()
    assert run.status is RunStatus.PAUSED
    assert run.resume()
    assert not run.resume()
    run.agents(None)
    assert run.status == {"queued": "planning", "waiting_agent": "planning"}.get(name, name)


def test_a_listing_that_ends_during_a_pause_is_not_forgotten() -> None:
    run = stage("planning")
    run.pause("paused by eve")
    run.all_listed()
    assert run.status is RunStatus.PAUSED
    run.resume()
    run.agents(None)
    assert run.status is RunStatus.TRANSFERRING


@pytest.mark.parametrize("end", [lambda run: run.cancel("x"), lambda run: run.fail("the deadline passed")])
def test_a_paused_run_can_end(end) -> None:
    run = stage("transferring")
    run.pause("paused by eve")
    end(run)
    assert run.status.terminal
    assert not run.resume()
    assert not run.pause("paused by eve")


def test_a_revived_transfer_counts_no_more() -> None:
    run = transferring(2)
    run.file_ended(TransferStatus.CANCELLED)
    run.file_ended(TransferStatus.FAILED)
    run.file_revived(TransferStatus.CANCELLED)
    run.file_revived(TransferStatus.FAILED)
    run.file_ended(TransferStatus.COMPLETED)
    run.file_ended(TransferStatus.COMPLETED)
    assert run.files_finished()
    assert run.files_over
    assert run.finish() is RunStatus.SUCCEEDED
