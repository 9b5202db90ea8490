"""Follows a run until it ends: a live bar on a terminal, a line per change of status elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Any, Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from fileflux.cli.client import HubClient
from fileflux.cli.options import ExitCode, WaitedTooLongError
from fileflux.cli.output import clean, size
from fileflux.clock import Clock, SystemClock
from fileflux.errors import UnavailableError
from fileflux.jobs.status import RunStatus

POLL_S: Final = 0.5
PATIENCE_S: Final = 300.0
"""How long a hub may be away before following gives up: the run itself goes on meanwhile."""
RATE_WINDOW_S: Final = 10.0
FAILURES_SHOWN: Final = 20
_INTEGRITY_CODES: Final = frozenset({"corrupt", "hash_mismatch"})


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended: its last state, the first failed transfers, and the exit code that says it."""

    run: dict[str, Any]
    failures: tuple[dict[str, Any], ...]
    exit_code: ExitCode

    @property
    def status(self) -> str:
        return str(self.run["status"])


def watch_run(
    client: HubClient,
    run_id: int,
    console: Console,
    *,
    timeout: float | None = None,
    clock: Clock | None = None,
    pause: Callable[[float], object] | None = None,
) -> RunResult:
    """Follow a run to its end, showing it on ``console`` (a quiet one shows nothing).

    Survives a hub that is away for a while. Raises WaitedTooLongError after ``timeout`` seconds, and what the client raises.
    """
    clock = clock or SystemClock()
    pause = pause or Event().wait
    deadline = None if timeout is None else clock.monotonic() + timeout
    # A hub that was never reached is a wrong address, not an interruption.
    run = client.get(f"/api/runs/{run_id}")
    with _Display(console, clock) as display:
        display.show(run)
        away_since: float | None = None
        while not RunStatus(run["status"]).terminal:
            now = clock.monotonic()
            if deadline is not None and now >= deadline:
                raise WaitedTooLongError(
                    f"run {run_id} has not ended yet; follow it with `fileflux runs watch {run_id}`"
                )
            pause(POLL_S if deadline is None else min(POLL_S, deadline - now))
            try:
                run = client.get(f"/api/runs/{run_id}")
            except UnavailableError:
                away_since = away_since if away_since is not None else clock.monotonic()
                if clock.monotonic() - away_since > PATIENCE_S:
                    raise
                continue
            away_since = None
            display.show(run)
    return _result(client, run)


def summary(result: RunResult) -> str:
    """One line about how the run ended."""
    run = result.run
    text = (
        f"run {run['id']} {run['status']}: {run['files_done']} files moved, {run['files_skipped']} skipped, "
        f"{run['files_failed']} failed, {size(run['bytes_done'])} ({size(run['bytes_transferred'])} on the wire)"
    )
    return f"{text}: {clean(run['reason'])}" if run["reason"] else text


def failure_lines(result: RunResult) -> list[str]:
    """A line for each failed file that is shown."""
    return [f"failed: {clean(item['filename'])}: {clean(item['reason'] or item['code'])}" for item in result.failures]


def _result(client: HubClient, run: dict[str, Any]) -> RunResult:
    failures: tuple[dict[str, Any], ...] = ()
    if run["files_failed"]:
        failures = tuple(client.pages("/api/transfers", FAILURES_SHOWN, run_id=run["id"], status="failed"))
    return RunResult(run, failures, _exit_code(run, failures))


def _exit_code(run: dict[str, Any], failures: tuple[dict[str, Any], ...]) -> ExitCode:
    status = RunStatus(run["status"])
    if status is RunStatus.SUCCEEDED:
        return ExitCode.OK
    if status is RunStatus.CANCELLED:
        return ExitCode.CANCELLED
    if any(item["code"] in _INTEGRITY_CODES for item in failures):
        return ExitCode.INTEGRITY
    if status is RunStatus.PARTIAL or run["files_failed"]:
        return ExitCode.SOME_FAILED
    return ExitCode.OTHER


class _Display:
    """The bar of one run. On a console that is no terminal: a line when the status changes."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console = console
        self._clock = clock
        self._live = console.is_terminal and not console.quiet
        self._progress = Progress(
            TextColumn("{task.fields[status]}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%", markup=False),
            _Counts(),
            console=console,
            disable=not self._live,
            get_time=clock.monotonic,
            speed_estimate_period=RATE_WINDOW_S,
        )
        self._task = self._progress.add_task("run", total=None, status="", run={})
        self._said = ""

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, run: dict[str, Any]) -> None:
        waiting = f" ({clean(run['reason'])})" if run["reason"] else ""
        status = f"{run['status']}{waiting}"
        # While the walk goes on the total grows; a bar that runs backwards tells nothing.
        total = run["bytes_total"] if run["files_total"] is not None else None
        self._progress.update(self._task, completed=run["bytes_done"], total=total, status=status, run=run)
        if not self._live and status != self._said:
            self._said = status
            self._console.print(f"run {run['id']}: {status}", markup=False, highlight=False)


class _Counts(ProgressColumn):
    """Files, bytes, rate and time left."""

    def render(self, task: Task) -> Text:
        run = task.fields["run"]
        if not run:
            return Text("")
        ended = run["files_done"] + run["files_skipped"] + run["files_failed"]
        files = f"{ended}/{'?' if run['files_total'] is None else run['files_total']} files"
        parts = [files, f"{size(run['bytes_done'])}/{size(run['bytes_total'])}"]
        if task.speed:
            parts.append(f"{size(task.speed)}/s")
        if task.time_remaining is not None and not task.finished:
            minutes, seconds = divmod(int(task.time_remaining), 60)
            parts.append(f"{minutes}:{seconds:02d} left")
        return Text(" · ".join(parts))
