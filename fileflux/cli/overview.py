"""``fileflux dashboard``, ``events``, ``alerts``, ``audit`` and ``settings``: what goes on at a hub, and what it is told."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

import typer

from fileflux.cli.command import Call, Plain, noun, verb
from fileflux.cli.options import Format, LimitOption, TimeoutOption
from fileflux.errors import ConfigError

alerts_app = noun("What somebody should look at.")
audit_app = noun("Who did what.")
settings_app = noun("What the hub itself is told.")
_ALERTS: Final = ("id", "kind", "object", "count", "last_at", "message")
_AUDIT: Final = ("at", "actor", "action", "object", "outcome")


def add_to(app: typer.Typer) -> None:
    """Make these commands and nouns of ``app``."""
    verb(app, "dashboard", "fileflux dashboard", "fileflux dashboard --json")(dashboard)
    verb(
        app,
        "events",
        "fileflux events",
        "fileflux events --run 42 --type transfer",
        "fileflux events --type alert --count 1 --timeout 3600",
    )(events)
    for group, name in ((alerts_app, "alerts"), (audit_app, "audit"), (settings_app, "settings")):
        app.add_typer(group, name=name)


def dashboard(call: Call) -> None:
    """Agents, runs and bytes at a glance."""
    from fileflux.cli.output import clean, size

    with call.connect() as client:
        found = client.get("/api/dashboard")
    if call.form is not Format.TABLE or call.fields:
        call.record(found)
        return
    moved = found["bytes_24h"]
    call.record(
        {
            "agents": _counts(found["agents"]),
            "runs": _counts({name: found["runs"][name] for name in ("active", "queued")}),
            "last 24 h": _counts(found["runs"]["last_24h"]),
            "moved": f"{size(moved['moved'])} ({size(moved['wire'])} on the wire, {size(moved['reused'])} reused)",
            "version": found["version"],
        }
    )
    for title, key, columns in (
        ("active runs", "active_runs", ("id", "job_id", "status", "progress", "reason")),
        ("failing jobs", "failing_jobs", ("job_id", "name", "failed", "last_reason")),
        ("alerts", "alerts", _ALERTS),
    ):
        if found[key]:
            print(f"\n{clean(title)}")
            call.records(found[key], columns)


def events(
    call: Plain,
    run: Annotated[int | None, typer.Option("--run", metavar="RUN", min=1, help="Of this run only.")] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--type", metavar="TYPE", help="agent, run, transfer, alert, job or reset; may be given several times."
        ),
    ] = None,
    count: Annotated[int | None, typer.Option("--count", metavar="N", min=1, help="End after so many.")] = None,
    timeout: TimeoutOption = None,
) -> None:
    """Print the live feed, one JSON a line, until Ctrl-C. A connection that breaks is taken up where it broke."""
    from fileflux.cli.feed import follow_feed

    with call.connect() as client:
        left = count
        for event in follow_feed(client, run, call.say, timeout):
            if kind and event["type"] not in kind:
                continue
            print(json.dumps(event), flush=True)
            left = None if left is None else left - 1
            if left == 0:
                return


@verb(alerts_app, "list", "fileflux alerts list", "fileflux alerts list --dismissed --json")
def list_alerts(
    call: Call,
    dismissed: Annotated[bool, typer.Option("--dismissed", help="Those that are dismissed too.")] = False,
    limit: LimitOption = 1000,
) -> None:
    """List alerts."""
    with call.connect() as client:
        found = client.pages("/api/alerts", limit, dismissed="true" if dismissed else None)
        call.records(list(found), _ALERTS)


@verb(alerts_app, "dismiss", "fileflux alerts dismiss 3")
def dismiss(call: Call, alert: Annotated[int, typer.Argument(min=1, help="The alert's id.")]) -> None:
    """Say that an alert has been seen to."""
    with call.connect() as client:
        call.record(client.post(f"/api/alerts/{alert}/dismiss"))


@verb(
    audit_app,
    "list",
    "fileflux audit list",
    "fileflux audit list --actor ann@example.org --since 2026-01-31T00:00:00Z",
    "fileflux audit list --action login.refused --json",
)
def list_audit(
    call: Call,
    actor: Annotated[str | None, typer.Option("--actor", metavar="WHO")] = None,
    action: Annotated[str | None, typer.Option("--action", metavar="WHAT")] = None,
    subject: Annotated[str | None, typer.Option("--object", metavar="WHAT", help="As in job:7.")] = None,
    outcome: Annotated[str | None, typer.Option("--outcome", metavar="HOW")] = None,
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help="As in 2026-01-31T06:00:00Z.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME")] = None,
    limit: LimitOption = 50,
) -> None:
    """The audit log, newest first."""
    query = {"actor": actor, "action": action, "object": subject, "outcome": outcome, "since": since, "until": until}
    with call.connect() as client:
        call.records(list(client.pages("/api/audit", limit, **query)), _AUDIT)


@verb(settings_app, "show", "fileflux settings show", "fileflux settings show --json")
def show_settings(call: Call) -> None:
    """Show what the hub is told, and what it is."""
    with call.connect() as client:
        call.record(client.get("/api/settings"))


@verb(
    settings_app,
    "set",
    "fileflux settings set site_name='Berlin hub'",
    "fileflux settings set default_token_days=90 max_key_days=365",
    "fileflux settings set default_token_days=none",
)
def set_settings(
    call: Call, change: Annotated[list[str], typer.Argument(metavar="NAME=VALUE...", help="none: no value.")]
) -> None:
    """Change what the hub is told."""
    with call.connect() as client:
        call.record(client.patch("/api/settings", dict(_change(text) for text in change)))


def _change(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ConfigError(f"{text!r} is not NAME=VALUE, as in max_key_days=365")
    if value == "none":
        return name, None
    return name, int(value) if value.isascii() and value.isdigit() and name.endswith("_days") else value


def _counts(numbers: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in numbers.items())
