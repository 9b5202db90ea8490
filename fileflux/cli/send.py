"""``fileflux send``: files from anywhere to anywhere, for once, like scp."""

from __future__ import annotations

import secrets
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fileflux.cli import job_options as o
from fileflux.cli.command import Call, verb
from fileflux.cli.completion import complete_place
from fileflux.cli.options import ExitCode, Format, TimeoutOption, WaitedTooLongError
from fileflux.cli.place import Place, parse_place
from fileflux.errors import ConfigError, FluxError

if TYPE_CHECKING:
    from fileflux.cli.client import HubClient
    from fileflux.cli.local_agent import LocalAgent
    from fileflux.cli.progress import RunResult

CANCEL_S: Final = 10.0
"""How long a cancelled run gets to put away what it has begun."""
POLL_S: Final = 0.1


def add_to(app: typer.Typer) -> None:
    """Make this a command of ``app``."""
    verb(
        app,
        "send",
        "fileflux send web-1:/srv/in backup:/data/in",
        "fileflux send ./report.pdf backup:/in/",
        "fileflux send web-1:/srv/x ./here/",
        "fileflux send ./logs ./more web-1:/var/tmp/logs --exclude '*.tmp' --verify reread",
    )(send)


def send(
    call: Call,
    places: Annotated[
        list[str],
        typer.Argument(
            metavar="[AGENT:]SOURCE... [AGENT:]DESTINATION", show_default=False, autocompletion=complete_place
        ),
    ],
    include: o.IncludeOption = None,
    exclude: o.ExcludeOption = None,
    recursive: o.RecursiveOption = None,
    compression: o.CompressionOption = None,
    verify: o.VerifyOption = None,
    conflict: o.ConflictOption = None,
    parallel: o.ParallelOption = None,
    timeout: TimeoutOption = None,
) -> None:
    """Move a file, a directory's contents or what a glob matches, and wait until it is there.

    A place without AGENT: is on this machine: the command then is an agent itself while it runs, which may touch the folders named and
    nothing else. As with scp, a place with a slash before its first colon is on this machine too: ./a:b.

    A single file lands in the destination if that is a directory or ends in /, else under that very name. Of a directory the contents land
    there. Ctrl-C cancels; with a time-out it goes on after the command has given up, but never from or to this machine.
    """
    if len(places) < 2:
        raise ConfigError("give a source and a destination, as in `fileflux send ./report.pdf backup:/in/`")
    *texts, last = places
    sources, destination = [parse_place(text) for text in texts], parse_place(last)
    if destination.agent is None and any(source.agent is None for source in sources):
        raise ConfigError("both places are on this machine: use cp")
    if len(sources) > 1 and not destination.path.endswith(("/", "\\")):
        destination = Place(destination.agent, f"{destination.path}/")
    options = {
        "include": include,
        "exclude": exclude,
        "recursive": recursive,
        "compression": compression,
        "verify": verify,
        "conflict": conflict,
        "parallel": parallel,
    }
    results = _send(call, sources, destination, options, timeout)
    _show(call, results)
    failure = next((result.exit_code for result in results if result.exit_code is not ExitCode.OK), None)
    if failure is not None:
        raise typer.Exit(failure)


def _send(
    call: Call, sources: list[Place], destination: Place, options: dict[str, Any], timeout: float | None
) -> list[RunResult]:
    from fileflux.cli.connect import find
    from fileflux.cli.interrupt import told_to_stop
    from fileflux.cli.local_agent import LocalAgent, local_destination, local_source

    # What is wrong on this machine is found before anything is made.
    here = [local_source(source.path) if source.agent is None else None for source in sources]
    with ExitStack() as stack:
        client = stack.enter_context(call.connect())
        ids: dict[str | None, int] = {
            place.agent: find(client, "agent", place.agent)["id"]
            for place in (*sources, destination)
            if place.agent is not None
        }
        there = local_destination(destination.path) if destination.agent is None else None
        read = list(dict.fromkeys(end.root for end in here if end is not None))
        stack.enter_context(told_to_stop())
        local: LocalAgent | None = None
        if read or there is not None:
            write = [there.root] if there is not None else []
            local = LocalAgent(client, read, write, call.say, output=call.settings.verbose > 0)
            ids[None] = stack.enter_context(local).id
        base = o.job_fields(client, None, None, **options) | {
            "ad_hoc": True,
            "destination_agent_id": ids[destination.agent],
            "destination_path": there.path if there is not None else destination.path,
        }
        results: list[RunResult] = []
        for source, end in zip(sources, here, strict=True):
            ends = {"source_agent_id": ids[source.agent], "source_path": end.path if end is not None else source.path}
            results.append(_run(call, client, base | ends, timeout, local))
        return results


def _run(
    call: Call, client: HubClient, job: dict[str, Any], timeout: float | None, local: LocalAgent | None
) -> RunResult:
    """One source: a job for once, and its run to the end."""
    from fileflux.cli.progress import failure_lines, watch_run
    from fileflux.cli.runs import stderr_console
    from fileflux.clock import SystemClock

    stamp = SystemClock().utc_now().strftime("%Y%m%d-%H%M%S")
    made = client.post("/api/jobs", {"name": f"send-{stamp}-{secrets.token_hex(3)}", **job})
    run_id = client.post(f"/api/jobs/{made['id']}/run")["id"]
    try:
        result = watch_run(client, run_id, stderr_console(call), timeout=timeout)
    except KeyboardInterrupt:
        _cancel(client, run_id, local)
        raise typer.Exit(ExitCode.CANCELLED) from None
    except WaitedTooLongError:
        if local is None:
            raise
        _cancel(client, run_id, local)
        raise WaitedTooLongError(
            f"run {run_id} has not ended in time, and without this machine it cannot go on"
        ) from None
    except BaseException:
        # With this machine's agent goes its run: nobody else could end it.
        if local is not None:
            _cancel(client, run_id, local)
        raise
    for line in failure_lines(result):
        print(line, file=sys.stderr)
    return result


def _cancel(client: HubClient, run_id: int, local: LocalAgent | None) -> None:
    """End a run; the agent of this machine gets a moment to put away what it has begun. A second Ctrl-C ends the waiting."""
    from fileflux.jobs.status import RunStatus

    client.hurry(CANCEL_S / 2)
    try:
        client.post(f"/api/runs/{run_id}/cancel")
        print(f"run {run_id} is being cancelled", file=sys.stderr)
        if local is None:
            return
        deadline = time.monotonic() + CANCEL_S
        while time.monotonic() < deadline and not RunStatus(client.get(f"/api/runs/{run_id}")["status"]).terminal:
            time.sleep(POLL_S)
        local.hear()
    except FluxError as error:
        print(f"run {run_id} could not be cancelled: {error.message}", file=sys.stderr)
    except KeyboardInterrupt:
        return


def _show(call: Call, results: list[RunResult]) -> None:
    from fileflux.cli.progress import summary

    if call.form is Format.TABLE and not call.fields:
        if not call.settings.quiet:
            for result in results:
                print(summary(result))
    elif len(results) == 1:
        call.record(results[0].run)
    else:
        call.records([result.run for result in results], ("id", "status", "files_done", "files_failed", "reason"))
