"""The run's table and its endings."""

import pytest

from fileflux.jobs.run import TABLE, RunMachine
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


@pytest.mark.parametrize(
    ("ends", "errors", "expected"),
    [
        ([TransferStatus.COMPLETED, TransferStatus.SKIPPED], 0, RunStatus.SUCCEEDED),
        ([], 0, RunStatus.SUCCEEDED),
        ([TransferStatus.COMPLETED, TransferStatus.FAILED], 0, RunStatus.PARTIAL),
        ([TransferStatus.FAILED, TransferStatus.FAILED], 0, RunStatus.FAILED),
        ([TransferStatus.COMPLETED], 1, RunStatus.PARTIAL),
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
