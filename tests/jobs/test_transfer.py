"""The hub's view of one transfer, driven by scripts of what agents and relay say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fileflux.errors import RemoteProtocolError
from fileflux.jobs.effects import (
    CloseStream,
    Effect,
    Ended,
    OpenStream,
    Persist,
    RelinkStream,
    RetryAfter,
    Send,
    StartStream,
)
from fileflux.jobs.models import JobSpec
from fileflux.jobs.status import TransferStatus
from fileflux.jobs.transfer import VAIN_RESTARTS_MAX, TransferMachine, TransferPlan
from fileflux.jobs.transfer_state import State
from fileflux.protocol import messages as m

pytestmark = pytest.mark.unit

DIGEST, SHA = "a" * 64, "b" * 64
SPEC = JobSpec("job", 1, "/in", 2, "/out")
PLAN = TransferPlan(10, 20, 30, "a/b.txt", "a/b.txt", "/in", "below", "f" * 32)
SOURCE = m.TransferAcceptItem(1, "source", size=20_000_000, mtime_ns=5, mode=0o644, identity="x")
DESTINATION = m.TransferAcceptItem(1, "destination", state="new", final_path="/out/a/b.txt")
SOURCE_DONE = m.TransferCompleteItem(1, 20_000_000, DIGEST)
DELIVERED = m.TransferCompleteItem(1, 20_000_000, DIGEST, SHA, "/out/a/b.txt")


def machine(**changes: Any) -> TransferMachine:
    return TransferMachine(PLAN, replace(SPEC, **changes))


def sent(effects: list[Effect]) -> list[tuple[str, type]]:
    return [(effect.role, effect.message) for effect in effects if isinstance(effect, Send)]


def moving(**changes: Any) -> TransferMachine:
    transfer = machine(**changes)
    transfer.begin(1)
    transfer.source_accepted(SOURCE)
    transfer.destination_accepted(DESTINATION)
    transfer.have_forwarded()
    assert transfer.state is State.MOVING
    return transfer


def committing(**changes: Any) -> TransferMachine:
    transfer = moving(**changes)
    transfer.all_acked()
    transfer.source_completed(SOURCE_DONE)
    assert transfer.state is State.COMMITTING
    return transfer


def test_a_transfer_from_request_to_release() -> None:
    transfer = machine()
    assert sent(transfer.begin(1)) == [("source", m.TransferRequest)]
    effects = transfer.source_accepted(SOURCE)
    assert effects[0] == OpenStream(1, 20_000_000, 8 * 2**20, 3)
    assert sent(effects) == [("destination", m.TransferRequest)]
    assert effects[1].item.size == 20_000_000  # type: ignore[union-attr]
    assert transfer.destination_accepted(DESTINATION) == [Persist(), StartStream(1, 0)]
    transfer.have_forwarded()
    assert transfer.source_completed(SOURCE_DONE) == []
    assert sent(transfer.all_acked()) == [("destination", m.TransferCommit)]
    assert transfer.status is TransferStatus.VERIFYING
    effects = transfer.destination_completed(DELIVERED)
    assert sent(effects) == [("source", m.TransferRelease)]
    assert effects[-1] == Ended(part_left=False)
    assert CloseStream(1) in effects
    assert transfer.file_sha256 == SHA
    assert transfer.status is TransferStatus.COMPLETED


def test_commit_needs_both_the_source_and_every_ack() -> None:
    transfer = moving()
    assert transfer.all_acked() == []
    assert sent(transfer.source_completed(SOURCE_DONE)) == [("destination", m.TransferCommit)]


@pytest.mark.parametrize("state", ["equal", "skipped"])
def test_destination_needs_nothing(state: Any) -> None:
    transfer = machine()
    transfer.begin(1)
    transfer.source_accepted(SOURCE)
    effects = transfer.destination_accepted(replace(DESTINATION, state=state))
    assert transfer.status is TransferStatus.SKIPPED
    assert sent(effects) == [("source", m.CancelTransfer)]
    assert effects[-1] == Ended(part_left=False)


def test_chosen_name_is_stored_before_the_first_frame() -> None:
    transfer = machine(conflict="rename")
    transfer.begin(1)
    transfer.source_accepted(SOURCE)
    assert transfer.destination_accepted(replace(DESTINATION, final_path="/out/a/b (1).txt")) == [Persist(confirm=True)]
    assert transfer.stored() == [StartStream(1, 0)]


@pytest.mark.parametrize(
    "say",
    [
        lambda t: t.destination_accepted(DESTINATION),
        lambda t: t.source_completed(SOURCE_DONE),
        lambda t: t.destination_completed(DELIVERED),
    ],
)
def test_words_out_of_place_are_refused(say: Any) -> None:
    transfer = machine()
    transfer.begin(1)
    with pytest.raises(RemoteProtocolError):
        say(transfer)
    assert transfer.state is State.OPENING_SOURCE


def test_an_offer_that_is_too_large_ends_it_and_a_second_offer_does_not() -> None:
    transfer = machine()
    transfer.begin(1)
    huge = replace(SOURCE, size=2**53 - 1)
    assert sent(transfer.source_accepted(huge)) == [("source", m.CancelTransfer)]
    assert (transfer.status, transfer.code) == (TransferStatus.FAILED, "too_large")
    for transfer in (moving(), committing()):
        before = transfer.state
        with pytest.raises(RemoteProtocolError):
            transfer.source_accepted(huge)
        assert transfer.state is before


def test_a_completion_without_commit_is_refused() -> None:
    transfer = moving()
    with pytest.raises(RemoteProtocolError, match="before transfer_commit"):
        transfer.destination_completed(DELIVERED)
    assert transfer.status is TransferStatus.TRANSFERRING


def test_full_verification_compares_the_two_hashes() -> None:
    transfer = moving(verify="full")
    with pytest.raises(RemoteProtocolError, match="file_sha256"):
        transfer.source_completed(SOURCE_DONE)
    transfer.source_completed(replace(SOURCE_DONE, file_sha256="c" * 64))
    transfer.all_acked()
    with pytest.raises(RemoteProtocolError, match="does not match"):
        transfer.destination_completed(DELIVERED)


def test_failure_is_tried_again_with_growing_delays_then_ends() -> None:
    transfer = moving(retry_attempts=2)
    effects = transfer.failed("io", "disk error", retryable=True, by="destination")
    assert RetryAfter(10.0) in effects
    assert sent(effects) == [("source", m.CancelTransfer)]
    assert transfer.status is TransferStatus.WAITING
    transfer.begin(2)
    assert transfer.attempt == 2
    assert RetryAfter(20.0) in transfer.failed("io", "disk error", retryable=True, by="source")
    transfer.begin(3)
    effects = transfer.failed("io", "disk error", retryable=True, by="source")
    assert transfer.status is TransferStatus.FAILED
    assert effects[-1] == Ended(part_left=False)


def test_permission_is_not_tried_again() -> None:
    transfer = moving()
    effects = transfer.failed("permission", "may not write", retryable=True, by="destination")
    assert effects[-1] == Ended(part_left=True)
    assert sent(effects) == [("source", m.CancelTransfer)]


def test_stale_have_is_tried_once_with_an_empty_have_list() -> None:
    transfer = committing()
    assert RetryAfter(0.0) in transfer.failed("stale_have", "digest differs", retryable=True, by="destination")
    effects = transfer.begin(2)
    assert effects[0].item.have is False  # type: ignore[union-attr]
    transfer.failed("stale_have", "digest differs", retryable=True, by="destination")
    assert transfer.status is TransferStatus.FAILED


def test_cancel_before_the_commit_ends_it_and_after_it_does_not() -> None:
    transfer = moving()
    effects = transfer.cancel("by a person")
    assert sent(effects) == [("source", m.CancelTransfer), ("destination", m.CancelTransfer)]
    assert all(effect.item.discard for effect in effects if isinstance(effect, Send))
    assert transfer.status is TransferStatus.CANCELLED
    late = committing()
    assert late.cancel("by a person") == []
    late.destination_completed(DELIVERED)
    assert late.status is TransferStatus.COMPLETED


def test_a_new_link_resumes_what_moves_and_restarts_what_compares() -> None:
    assert moving().link_changed("source") == [RelinkStream(1)]
    effects = moving().link_changed("destination")
    assert sent(effects) == [("source", m.CancelTransfer), ("destination", m.CancelTransfer)]
    assert effects[-1] == RetryAfter(0.0)
    assert not any(effect.item.discard for effect in effects if isinstance(effect, Send))
    transfer = machine()
    transfer.begin(1)
    transfer.source_accepted(SOURCE)
    transfer.destination_accepted(replace(DESTINATION, have_count=2, state="resume"))
    effects = transfer.link_changed("source")
    assert effects[-1] == RetryAfter(0.0)
    assert transfer.state is State.IDLE
    assert committing().link_changed("destination") == []


def test_a_new_process_at_either_end_means_a_new_attempt() -> None:
    transfer = committing()
    effects = transfer.session_lost("destination")
    assert sent(effects) == [("source", m.CancelTransfer)]
    assert transfer.state is State.IDLE
    effects = transfer.begin(2)
    assert effects[0].item.attempt == 2  # type: ignore[union-attr]


def test_an_agent_that_ends_again_and_again_over_one_file_uses_up_its_tries() -> None:
    transfer = machine(retry_attempts=1)

    def attempt(wire_id: int) -> list[Any]:
        transfer.begin(wire_id)
        transfer.source_accepted(SOURCE)
        transfer.destination_accepted(DESTINATION)
        return transfer.session_lost("destination")

    for number in range(1, VAIN_RESTARTS_MAX + 1):
        assert attempt(number)[-1] == RetryAfter(0.0)
    transfer.moved(1)
    transfer.moved(1)
    for number in range(VAIN_RESTARTS_MAX):
        assert attempt(10 + number)[-1] == RetryAfter(0.0), "a byte more and it counts from the beginning"
    assert transfer.retries == 0
    attempt(20)
    assert (transfer.retries, transfer.code) == (1, "worker_died")
    attempt(21)
    assert transfer.status is TransferStatus.FAILED
    assert "the destination agent ended 7 times in a row" in transfer.reason


def test_a_source_that_fails_after_the_commit_changes_nothing() -> None:
    transfer = committing()
    assert transfer.failed("io", "late", retryable=True, by="source") == []
    assert transfer.state is State.COMMITTING


@pytest.mark.parametrize("steps", range(5))
def test_a_pause_keeps_the_part_and_the_next_attempt_goes_on(steps: int) -> None:
    transfer = machine()
    script = [
        lambda: transfer.begin(1),
        lambda: transfer.source_accepted(SOURCE),
        lambda: transfer.destination_accepted(DESTINATION),
        transfer.have_forwarded,
    ]
    for step in script[:steps]:
        step()
    effects = transfer.pause("paused by eve")
    if steps == 0:
        assert effects == [], "it has no attempt"
        return
    ends = ["source"] if steps == 1 else ["source", "destination"]
    assert sent(effects) == [(role, m.CancelTransfer) for role in ends]
    assert not any(effect.item.discard for effect in effects if isinstance(effect, Send))
    assert effects[len(ends) :] == [CloseStream(1), Persist(), RetryAfter(0.0)]
    assert (transfer.state, transfer.status, transfer.reason) == (State.IDLE, TransferStatus.WAITING, "paused by eve")
    assert transfer.retries == 0, "a pause is no failure"
    assert transfer.pause("paused by adam") == []
    (request,) = [effect for effect in transfer.begin(2) if isinstance(effect, Send)]
    assert (request.item.attempt, request.item.have) == (2, True)


def test_a_pause_lets_a_commit_come_to_its_end() -> None:
    transfer = committing()
    assert transfer.pause("paused by eve") == []
    transfer.destination_completed(DELIVERED)
    assert transfer.status is TransferStatus.COMPLETED
    assert transfer.pause("paused by eve") == []
