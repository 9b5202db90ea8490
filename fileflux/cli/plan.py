"""``fileflux jobs plan`` and ``fileflux plans``: what a run would do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fileflux.cli.command import Call, Plain, noun, verb
from fileflux.cli.completion import complete_job
from fileflux.cli.options import ExitCode, Format, LimitOption, TimeoutOption, WaitedTooLongError
from fileflux.errors import FluxError

if TYPE_CHECKING:
    from fileflux.cli.client import HubClient

app = noun("What runs would do, without doing it.")
POLL_S: Final = 0.3
SAY_EVERY_S: Final = 2.0
CLASSES: Final = ("new", "changed", "equal", "extra", "refused")
_COLUMNS: Final = ("id", "status", "requested_by", "created_at", "new", "changed", "extra", "refused", "run_id")
_ENTRIES: Final = ("path", "kind", "size", "reason")
PlanArgument = Annotated[int, typer.Argument(metavar="PLAN", help="Its id.", min=1)]
JobArgument = Annotated[str, typer.Argument(help="Name or #id.", autocompletion=complete_job)]


def add_to(jobs: typer.Typer) -> None:
    """Make ``plan`` a verb of jobs."""
    verb(jobs, "plan", "fileflux jobs plan nightly", "fileflux jobs plan nightly -o json")(plan)


def plan(call: Call, job: JobArgument, timeout: TimeoutOption = None) -> None:
    """Ask both agents what a run of the job would do, and say it. Nothing is changed; `fileflux plans run` carries it out."""
    from fileflux.cli.connect import find

    with call.connect() as client:
        made = client.post(f"/api/jobs/{find(client, 'job', job)['id']}/plan")
        shown = _wait(call, client, made["id"], timeout)
    _show(call, shown)
    if shown["status"] != "ready":
        raise typer.Exit(ExitCode.OTHER)


@verb(app, "list", "fileflux plans list nightly")
def list_plans(call: Call, job: JobArgument, limit: LimitOption = 100) -> None:
    """List the plans of a job."""
    from fileflux.cli.connect import find

    with call.connect() as client:
        found = list(client.pages(f"/api/jobs/{find(client, 'job', job)['id']}/plans", limit))
    people = call.form is Format.TABLE and not call.fields
    call.records([_counted(one) for one in found] if people else found, _COLUMNS)


@verb(app, "show", "fileflux plans show 7", "fileflux plans show 7 --json")
def show(call: Call, plan_id: PlanArgument) -> None:
    """Show a plan."""
    with call.connect() as client:
        _show(call, client.get(f"/api/plans/{plan_id}"))


@verb(app, "entries", "fileflux plans entries 7 --class extra", "fileflux plans entries 7 --class refused -o json")
def entries(
    call: Call,
    plan_id: PlanArgument,
    of_class: Annotated[str, typer.Option("--class", metavar="CLASS", help=", ".join(CLASSES) + ".")] = "new",
    limit: LimitOption = 1000,
) -> None:
    """List the files of a plan that are of one class."""
    with call.connect() as client:
        found = list(client.pages(f"/api/plans/{plan_id}/entries", limit, **{"class": of_class}))
    call.records(found, _ENTRIES)


@verb(app, "run", "fileflux plans run 7", "fileflux plans run 7 --wait")
def run(
    call: Call,
    plan_id: PlanArgument,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the run until it ends.")] = False,
    timeout: TimeoutOption = None,
) -> None:
    """Run the job as it was planned; `fileflux plans drift` says what had changed meanwhile."""
    with call.connect() as client:
        started = client.post(f"/api/plans/{plan_id}/run")
        if wait:
            from fileflux.cli.runs import follow

            follow(call, client, started["id"], timeout, record=True)
        else:
            call.record(started)


@verb(app, "drift", "fileflux plans drift 7", "fileflux plans drift 7 --kind gone")
def drift(
    call: Call,
    plan_id: PlanArgument,
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help="new, changed or gone.")] = "changed",
    limit: LimitOption = 1000,
) -> None:
    """How what the plan's run found differs from the plan."""
    with call.connect() as client:
        run_id = client.get(f"/api/plans/{plan_id}")["run_id"]
        if run_id is None:
            raise FluxError(f"plan {plan_id} was not run yet; see `fileflux plans run`", code="plan_not_run")
        counts = client.get(f"/api/runs/{run_id}/drift", limit=1)
        found = list(client.pages(f"/api/runs/{run_id}/drift", limit, kind=kind))
    if not counts["ready"]:
        raise FluxError(f"the drift of plan {plan_id} is not known: {counts['reason']}", code="drift_not_ready")
    call.say(", ".join(f"{counts[name]} {name}" for name in ("new", "changed", "gone")) + " since the plan")
    call.records(found, _ENTRIES[:3])


@verb(app, "cancel", "fileflux plans cancel 7")
def cancel(call: Call, plan_id: PlanArgument) -> None:
    """Stop a plan that is being made; what it has found so far can still be read."""
    with call.connect() as client:
        _show(call, client.post(f"/api/plans/{plan_id}/cancel"))


@verb(app, "delete", "fileflux plans delete 7")
def delete(call: Plain, plan_id: PlanArgument) -> None:
    """Stop a plan that is being made, and forget it."""
    with call.connect() as client:
        client.delete(f"/api/plans/{plan_id}")


def _wait(call: Call, client: HubClient, plan_id: int, timeout: float | None) -> dict[str, Any]:
    """The plan when it is made; says on stderr how far it is, and what it waits for."""
    deadline = None if timeout is None else time.monotonic() + timeout
    said, say_at = "", 0.0
    while True:
        shown: dict[str, Any] = client.get(f"/api/plans/{plan_id}")
        if shown["status"] != "planning":
            return shown
        if shown["reason"] != said and time.monotonic() >= say_at:
            said, say_at = shown["reason"], time.monotonic() + SAY_EVERY_S
            call.say(f"plan {plan_id}: {said}")
        if deadline is not None and time.monotonic() >= deadline:
            raise WaitedTooLongError(f"plan {plan_id} is not made yet; see `fileflux plans show {plan_id}`")
        time.sleep(POLL_S)


def _show(call: Call, shown: dict[str, Any]) -> None:
    if call.form is not Format.TABLE or call.fields:
        call.record(shown)
        return
    left_out = {"job", "warnings", "estimated_s", "estimate_note"}
    facts = {name: value for name, value in _counted(shown).items() if name not in left_out}
    seconds = shown.get("estimated_s")
    if "new" in shown and shown["status"] == "ready":
        from fileflux.cli.output import duration

        estimate = "unknown" if seconds is None else duration(seconds)
        facts["estimated"] = f"{estimate}, {shown['estimate_note']}"
    call.record(facts)
    for warning in shown["warnings"]:
        call.say(f"warning: {warning}")


def _counted(shown: dict[str, Any]) -> dict[str, Any]:
    """With files and bytes of each class as people read them."""
    from fileflux.cli.output import size

    texts: dict[str, Any] = {
        name: f"{shown[name]['files']} ({size(shown[name]['bytes'])})" for name in CLASSES if name in shown
    }
    return {**shown, **texts}
