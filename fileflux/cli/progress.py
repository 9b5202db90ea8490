"""Follows a run until it ends: a live bar on a terminal; elsewhere a line when the status changes, and now and then one on how far it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Any, Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fileflux.cli.client import HubClient
from fileflux.cli.options import ExitCode, WaitedTooLongError
from fileflux.cli.output import clean, duration, size
from fileflux.cli.rate import Rate
from fileflux.clock import Clock, SystemClock
from fileflux.errors import UnavailableError
from fileflux.jobs.status import RunStatus

POLL_S: Final = 0.5
PATIENCE_S: Final = 300.0
"""How long a hub may be away before following gives up: the run itself goes on meanwhile."""
SAY_EVERY_S: Final = 10.0
"""How often a file or a pipe gets a line on a run that goes on."""
BAR_WIDTH: Final = 40
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
    moved = f"{run['files_done']} {'file' if run['files_done'] == 1 else 'files'} moved"
    text = (
        f"run {run['id']} {run['status']}: {moved}, {run['files_skipped']} skipped, "
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
    """The bar of one run. On a console that cannot go back in its line: a line when the status changes, and every ten seconds."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console = console
        self._clock = clock
        live = console.is_terminal and not console.is_dumb_terminal and not console.quiet
        self._live = Live(console=console, refresh_per_second=8, transient=False) if live else None
        self._rate = Rate()
        self._said = ""
        self._said_at = clock.monotonic()

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, run: dict[str, Any]) -> None:
        now = self._clock.monotonic()
        self._rate.add(now, run["bytes_done"])
        speed = self._rate.per_second
        if self._live is not None:
            self._live.update(_picture(run, speed, self._console.width), refresh=True)
            return
        status = _status(run)
        if status != self._said:
            self._console.print(
                f"run {run['id']}: {status}", markup=False, emoji=False, highlight=False, soft_wrap=True
            )
        elif now - self._said_at >= SAY_EVERY_S and not RunStatus(run["status"]).terminal:
            facts = " · ".join([f"{run['progress']:.0f}%", *_facts(run, speed)])
            self._console.print(
                f"run {run['id']}: {status}: {facts}", markup=False, emoji=False, highlight=False, soft_wrap=True
            )
        else:
            return
        self._said, self._said_at = status, now


_COLOURS: Final = {
    RunStatus.SUCCEEDED: "green",
    RunStatus.PARTIAL: "yellow",
    RunStatus.FAILED: "red",
    RunStatus.CANCELLED: "yellow",
    RunStatus.PAUSED: "yellow",
    RunStatus.WAITING_AGENT: "yellow",
}


def _status(run: dict[str, Any]) -> str:
    return f"{run['status']} ({clean(run['reason'])})" if run["reason"] else str(run["status"])


def _picture(run: dict[str, Any], speed: float, width: int) -> Group:
    """Two lines: how it goes, with the bar, and the figures; no line wider than the terminal."""
    status = RunStatus(run["status"])
    style = _COLOURS.get(status, "cyan")
    # While the walk goes on the total grows; a bar that runs backwards tells nothing.
    known = run["files_total"] is not None
    share = 100.0 if status is RunStatus.SUCCEEDED else run["progress"] if known else None
    head = Table.grid(padding=(0, 1), pad_edge=False)
    # Figures change all the time, and the words do not: the bar keeps its place.
    head.add_column(no_wrap=True, overflow="ellipsis", min_width=min(12, width))
    cells: list[Any] = [Text(status.value.replace("_", " "), style=style)]
    room = width - 12 - 1
    if room >= 12:
        bar = ProgressBar(
            total=None if share is None and not status.terminal else 100.0,
            completed=share or 0.0,
            width=min(BAR_WIDTH, room - 6),
            pulse=share is None and not status.terminal,
            complete_style=style,
            finished_style=style,
        )
        head.add_column(no_wrap=True)
        head.add_column(no_wrap=True, justify="right", min_width=4)
        cells += [bar, Text("   ?" if share is None else f"{share:3.0f}%")]
    head.add_row(*cells)
    lines = [_joined(_facts(run, speed), width)]
    if run["reason"]:
        lines.append(Text(clean(run["reason"]), style=style, overflow="ellipsis", no_wrap=True))
    return Group(head, *lines)


def _joined(parts: list[str], width: int) -> Text:
    """As many of the parts as fit; the first ones say most."""
    line = parts[0]
    for part in parts[1:]:
        if len(line) + 3 + len(part) > width:
            break
        line += f" · {part}"
    return Text(line, no_wrap=True, overflow="ellipsis")


def _facts(run: dict[str, Any], speed: float) -> list[str]:
    """Files, bytes, rate, and what is left; the most telling first."""
    ended = run["files_done"] + run["files_skipped"] + run["files_failed"]
    total = run["files_total"]
    parts = [
        f"{ended}/{'?' if total is None else total} files",
        f"{size(run['bytes_done'])}/{size(run['bytes_total'])}",
    ]
    if run["files_failed"]:
        parts.insert(1, f"{run['files_failed']} failed")
    if RunStatus(run["status"]).terminal:
        return parts
    if speed > 0:
        parts.append(f"{size(speed)}/s")
        if total is not None and run["bytes_total"] > run["bytes_done"]:
            parts.append(f"{duration((run['bytes_total'] - run['bytes_done']) / speed)} left")
    if total is not None and total > ended:
        parts.append(f"{total - ended} {'file' if total - ended == 1 else 'files'} left")
    return parts
