"""How a run moves from ``queued`` to its end. Pure: counts and states in, status out; the actor does the work.

The table decides every status. A run that waits for an agent, or is paused, remembers where it was and goes back there.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from fileflux.jobs.status import RunStatus, TransferStatus


class Event(Enum):
    AGENTS_READY = auto()
    AGENT_MISSING = auto()
    LISTED = auto()
    FILES_DONE = auto()
    ALL_DONE = auto()
    LISTING_FAILED = auto()
    CANCELLED = auto()
    PAUSED = auto()
    RESUMED = auto()


S = RunStatus
_ENDINGS: dict[Event, tuple[RunStatus, ...]] = {Event.LISTING_FAILED: (S.FAILED,), Event.CANCELLED: (S.CANCELLED,)}
_ANYTIME: dict[Event, tuple[RunStatus, ...]] = {**_ENDINGS, Event.PAUSED: (S.PAUSED,)}
_RESULTS = (S.SUCCEEDED, S.PARTIAL, S.FAILED, S.CANCELLED)
TABLE: dict[RunStatus, dict[Event, tuple[RunStatus, ...]]] = {
    S.QUEUED: {Event.AGENTS_READY: (S.PLANNING,), Event.AGENT_MISSING: (S.WAITING_AGENT,), **_ANYTIME},
    S.WAITING_AGENT: {
        Event.AGENTS_READY: (S.PLANNING, S.TRANSFERRING, S.VERIFYING),
        Event.AGENT_MISSING: (S.WAITING_AGENT,),
        Event.ALL_DONE: _RESULTS,
        **_ANYTIME,
    },
    S.PLANNING: {
        Event.AGENT_MISSING: (S.WAITING_AGENT,),
        Event.LISTED: (S.TRANSFERRING,),
        **_ANYTIME,
    },
    S.TRANSFERRING: {
        Event.AGENT_MISSING: (S.WAITING_AGENT,),
        Event.FILES_DONE: (S.VERIFYING,),
        **_ANYTIME,
    },
    S.VERIFYING: {
        Event.AGENT_MISSING: (S.WAITING_AGENT,),
        Event.ALL_DONE: _RESULTS,
        **_ANYTIME,
    },
    # Whether its agents are there is looked at when it goes on.
    S.PAUSED: {Event.RESUMED: (S.WAITING_AGENT,), **_ENDINGS},
    S.SUCCEEDED: {},
    S.PARTIAL: {},
    S.FAILED: {},
    S.CANCELLED: {},
}
"""Allowed steps; where several statuses are listed, the run's own record says which."""


@dataclass(slots=True)
class RunMachine:
    """``status`` and ``reason`` are what users see."""

    status: RunStatus = RunStatus.QUEUED
    reason: str = ""
    listed: bool = False
    files_total: int = 0
    files_done: int = 0
    files_failed: int = 0
    files_skipped: int = 0
    files_cancelled: int = 0
    listing_errors: int = 0
    files_unreleased: int = 0
    """Completed files that could not be deleted or archived at the source."""
    release_word: str = "released"
    extras_kept: int = 0
    """Extra files and directories that could not be removed at the destination."""
    extras_refused: str = ""
    """Why none was looked for."""
    _verifying: bool = False

    @property
    def paused(self) -> bool:
        return self.status is RunStatus.PAUSED

    @property
    def files_over(self) -> bool:
        """Every file has ended and only directories are left: no transfer can be taken up again."""
        return self._verifying

    def pause(self, reason: str) -> bool:
        """Stop beginning anything; True if the run was not paused already. The caller takes live transfers back."""
        if self.paused or self.status.terminal:
            return False
        self._go(Event.PAUSED, RunStatus.PAUSED)
        self.reason = reason
        return True

    def resume(self) -> bool:
        """Go on; True if it was paused. Call ``agents`` next: it finds the status that the run goes back to."""
        if not self.paused:
            return False
        self._go(Event.RESUMED, RunStatus.WAITING_AGENT)
        self.reason = ""
        return True

    def agents(self, missing: str | None) -> bool:
        """Tell which agent is not there, as a sentence for people, or None; True if the status changed. Not while paused."""
        if self.status.terminal or self.paused:
            return False
        if missing is not None:
            changed = self.status is not RunStatus.WAITING_AGENT or self.reason != missing
            self._go(Event.AGENT_MISSING, RunStatus.WAITING_AGENT)
            self.reason = missing
            return changed
        if self.status not in (RunStatus.QUEUED, RunStatus.WAITING_AGENT):
            return False
        back = RunStatus.VERIFYING if self._verifying else RunStatus.TRANSFERRING if self.listed else RunStatus.PLANNING
        if self.status is RunStatus.QUEUED and back is not RunStatus.PLANNING:
            self.status = RunStatus.WAITING_AGENT
        self._go(Event.AGENTS_READY, back)
        self.reason = ""
        return True

    def doing(self, what: str) -> bool:
        """Say what is done once every file has ended; True if that is something else than before."""
        if self.status is not RunStatus.VERIFYING or self.reason == what:
            return False
        self.reason = what
        return True

    def all_listed(self) -> None:
        """The last page of the listing is stored."""
        self.listed = True
        if self.status is RunStatus.PLANNING:
            self._go(Event.LISTED, RunStatus.TRANSFERRING)

    def file_ended(self, status: TransferStatus) -> None:
        """Count one transfer that reached a terminal status."""
        if status is TransferStatus.COMPLETED:
            self.files_done += 1
        elif status is TransferStatus.SKIPPED:
            self.files_skipped += 1
        elif status is TransferStatus.CANCELLED:
            self.files_cancelled += 1
        else:
            self.files_failed += 1

    def file_revived(self, status: TransferStatus) -> None:
        """One that ended with ``status`` is pending again."""
        if status is TransferStatus.CANCELLED:
            self.files_cancelled -= 1
        else:
            self.files_failed -= 1

    def files_finished(self) -> bool:
        """Say that every row has ended; True once, if the listing was complete: directories are due now."""
        if self._verifying or not self.listed or self.status is not RunStatus.TRANSFERRING:
            return False
        self._verifying = True
        self._go(Event.FILES_DONE, RunStatus.VERIFYING)
        return True

    def finish(self, directory_errors: int = 0) -> RunStatus:
        """Directories are done too; the run's final status.

        A file that a person cancelled is missing at the destination, so the run is ``partial``; ``cancelled`` if that is all that became
        of its files.
        """
        wrong = self.files_failed + self.files_cancelled + self.listing_errors + directory_errors
        wrong += self.files_unreleased + self.extras_kept
        if wrong == 0:
            final = RunStatus.SUCCEEDED
        elif self.files_done + self.files_skipped == 0 and self.files_total > 0:
            final = RunStatus.CANCELLED if wrong == self.files_cancelled else RunStatus.FAILED
        else:
            final = RunStatus.PARTIAL
        self._go(Event.ALL_DONE, final)
        parts = [
            f"{count} {one if count == 1 else several}"
            for count, one, several in (
                (self.files_failed, "file failed", "files failed"),
                (self.files_cancelled, "file was cancelled", "files were cancelled"),
                (self.listing_errors, "path could not be listed", "paths could not be listed"),
                (directory_errors, "directory could not be set", "directories could not be set"),
                (
                    self.files_unreleased,
                    *(f"source {files} could not be {self.release_word}" for files in ("file", "files")),
                ),
                (self.extras_kept, "extra path could not be removed", "extra paths could not be removed"),
            )
            if count
        ]
        if self.extras_refused:
            parts.append(f"nothing was removed at the destination: {self.extras_refused}")
        self.reason = ", ".join(parts)
        return final

    def fail(self, reason: str) -> None:
        """The run cannot go on: the source path cannot be listed, the deadline passed."""
        self._go(Event.LISTING_FAILED, RunStatus.FAILED)
        self.reason = reason

    def cancel(self, reason: str) -> None:
        self._go(Event.CANCELLED, RunStatus.CANCELLED)
        self.reason = reason

    def _go(self, event: Event, to: RunStatus) -> None:
        if to not in TABLE[self.status].get(event, ()):
            raise AssertionError(f"{event.name} to {to} in {self.status}")
        self.status = to
