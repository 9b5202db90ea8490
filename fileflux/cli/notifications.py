"""``fileflux notifications``."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from fileflux.cli.command import Call, Plain, noun, verb
from fileflux.cli.options import LimitOption, YesOption
from fileflux.cli.passwords import PasswordStdinOption
from fileflux.errors import ConfigError, FluxError

app = noun("Who is told of what happens, by webhook or mail.")
_COLUMNS: Final = ("id", "name", "kind", "events", "enabled", "failures", "disabled_reason")
_LOG: Final = ("id", "at", "type", "status", "attempts", "http_status", "next_attempt_at", "error")

TargetArgument = Annotated[str, typer.Argument(help="Name or #id.")]
UrlOption = Annotated[str | None, typer.Option("--url", metavar="URL", help="Where a webhook leads; https.")]
AddressOption = Annotated[
    list[str] | None, typer.Option("--address", metavar="EMAIL", help="Who gets mails; may be given several times.")
]
EventOption = Annotated[
    list[str] | None,
    typer.Option("--event", metavar="EVENT", help="run.failed, run.* or *; may be given several times."),
]
JobOption = Annotated[
    list[str] | None, typer.Option("--job", metavar="JOB", help="Only of this job; may be given several times.")
]
TagOption = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="TAG", help="Only of jobs and agents with this tag; may be given several times."),
]


@verb(app, "list", "fileflux notifications list", "fileflux notifications list -o json")
def list_notifications(call: Call, limit: LimitOption = 1000) -> None:
    """List them, without their secrets."""
    with call.connect() as client:
        call.records(list(client.pages("/api/notifications", limit)), _COLUMNS)


@verb(app, "show", "fileflux notifications show chat")
def show(call: Call, target: TargetArgument) -> None:
    """Show one of them, without its secret."""
    from fileflux.cli.connect import find

    with call.connect() as client:
        call.record(find(client, "notification", target))


@verb(
    app,
    "create",
    "fileflux notifications create chat --url https://hooks.example.org/fileflux --event run.failed --event run.partial > secret",
    "fileflux notifications create ops --address ops@example.org --event '*' --tag nightly",
)
def create(
    call: Call,
    name: Annotated[str, typer.Argument()],
    url: UrlOption = None,
    address: AddressOption = None,
    event: EventOption = None,
    job: JobOption = None,
    tag: TagOption = None,
    disabled: Annotated[bool, typer.Option("--disabled", help="Nothing is told before it is enabled.")] = False,
) -> None:
    """Have events told. Of a webhook the secret alone is printed, once: receivers check signatures with it."""
    from fileflux.cli.once import print_secret

    if (url is None) == (not address):
        raise ConfigError("give --url for a webhook, or --address for mails")
    if not event:
        raise ConfigError("say what is told: --event run.failed, --event 'run.*' or --event '*'")
    with call.connect() as client:
        fields = _fields(client, url, address, event, job, tag)
        kind = "email" if url is None else "webhook"
        made = client.post("/api/notifications", {"name": name, "kind": kind, **fields, "enabled": not disabled})
    shown = made["notification"]
    if kind == "email":
        call.record(shown)
        return
    print_secret(call, made, f"notification {shown['id']}", f"fileflux notifications delete '#{shown['id']}'")


@verb(
    app,
    "edit",
    "fileflux notifications edit chat --event '*'",
    "fileflux notifications edit chat --disable",
    "fileflux notifications edit chat --url https://hooks.example.org/other --enable",
)
def edit(
    call: Call,
    target: TargetArgument,
    name: Annotated[str | None, typer.Option("--name", metavar="TEXT", help="The new name.")] = None,
    url: UrlOption = None,
    address: AddressOption = None,
    event: EventOption = None,
    job: JobOption = None,
    tag: TagOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Of every job and tag again.")] = False,
    enabled: Annotated[bool | None, typer.Option("--enable/--disable", show_default=False)] = None,
) -> None:
    """Change one; what is not named stays. Lists are replaced as a whole."""
    with call.connect() as client:
        changes: dict[str, Any] = {"job_ids": [], "tags": []} if everything else {}
        changes |= _fields(client, url, address, event, job, tag)
        changes |= {key: value for key, value in (("name", name), ("enabled", enabled)) if value is not None}
        if not changes:
            raise ConfigError("nothing to change; see `fileflux notifications edit --help`")
        call.record(client.patch(_path(client, target), changes))


@verb(app, "delete", "fileflux notifications delete chat --yes")
def delete(call: Plain, target: TargetArgument, yes: YesOption = False) -> None:
    """Tell it nothing more; what waits for it is dropped."""
    call.confirm(f"Delete the notification {target}?", yes=yes)
    with call.connect() as client:
        client.delete(_path(client, target))


@verb(
    app, "rotate", "fileflux notifications rotate chat > secret", "fileflux notifications rotate chat --overlap-hours 1"
)
def rotate(
    call: Call,
    target: TargetArgument,
    overlap_hours: Annotated[
        int, typer.Option("--overlap-hours", metavar="N", min=0, max=168, help="How long the old secret signs too.")
    ] = 24,
) -> None:
    """Make a new secret and print it, once. Until the overlap is over deliveries carry both signatures."""
    from fileflux.cli.once import print_secret

    with call.connect() as client:
        made = client.post(f"{_path(client, target)}/rotate", {"overlap_hours": overlap_hours})
    print_secret(call, made, f"notification {made['notification']['id']}", f"fileflux notifications rotate {target}")


@verb(app, "test", "fileflux notifications test chat")
def test(call: Call, target: TargetArgument) -> None:
    """Send a test event now. The exit code says whether it arrived."""
    with call.connect() as client:
        row = client.post(f"{_path(client, target)}/test")
    call.record(row)
    if row["status"] != "delivered":
        raise FluxError(f"the test did not arrive: {row['error']}", code="not_delivered")


@verb(app, "deliveries", "fileflux notifications deliveries chat", "fileflux notifications deliveries chat --json")
def deliveries(call: Call, target: TargetArgument, limit: LimitOption = 50) -> None:
    """What was told and what waits, newest first; --json shows what was sent and how the answer began."""
    with call.connect() as client:
        call.records(list(client.pages(f"{_path(client, target)}/deliveries", limit)), _LOG)


@verb(app, "redeliver", "fileflux notifications redeliver chat 99")
def redeliver(
    call: Call, target: TargetArgument, delivery: Annotated[int, typer.Argument(min=1, help="Its id in the log.")]
) -> None:
    """Deliver an event once more, under the same webhook-id."""
    with call.connect() as client:
        call.record(client.post(f"{_path(client, target)}/deliveries/{delivery}/redeliver"))


@verb(
    app,
    "mail",
    "fileflux notifications mail",
    "fileflux notifications mail --host relay.example.org --sender hub@example.org --user hub --password-stdin < password",
    "fileflux notifications mail --hub-url https://hub.example.com",
)
def mail(
    call: Call,
    host: Annotated[str | None, typer.Option("--host", metavar="HOST", help="Of the relay; '' for no mails.")] = None,
    port: Annotated[int | None, typer.Option("--port", min=1, max=65_535)] = None,
    security: Annotated[str | None, typer.Option("--security", metavar="starttls|tls|none")] = None,
    user: Annotated[str | None, typer.Option("--user", metavar="TEXT")] = None,
    password_stdin: PasswordStdinOption = False,
    sender: Annotated[str | None, typer.Option("--sender", metavar="EMAIL", help="Who mails are from.")] = None,
    hub_url: Annotated[
        str | None, typer.Option("--hub-url", metavar="URL", help="What links in mails begin with.")
    ] = None,
) -> None:
    """Show or change how mails leave the hub. The password is never shown."""
    from fileflux.cli.passwords import read_password

    given = {"host": host, "port": port, "security": security, "user": user, "sender": sender, "hub_url": hub_url}
    changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if password_stdin:
        changes["password"] = read_password(from_stdin=True)
    with call.connect() as client:
        call.record(client.patch("/api/settings/mail", changes) if changes else client.get("/api/settings/mail"))


@verb(app, "allow", "fileflux notifications allow", "fileflux notifications allow 10.1.0.0/16 hooks.internal:9000")
def allow(
    call: Call,
    entries: Annotated[
        list[str] | None, typer.Argument(metavar="[ENTRY]...", help="Networks or names, each also with :PORT or :*.")
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Allow none.")] = False,
) -> None:
    """Show or replace the inside targets that webhooks may have; others are refused."""
    if entries and clear:
        raise ConfigError("give entries or --clear, not both")
    with call.connect() as client:
        if entries or clear:
            shown = client.patch("/api/settings", {"webhook_allow": entries or []})
        else:
            shown = client.get("/api/settings")
    call.record({"webhook_allow": shown["webhook_allow"]})


def _path(client: Any, target: str) -> str:
    from fileflux.cli.connect import find

    return f"/api/notifications/{find(client, 'notification', target)['id']}"


def _fields(
    client: Any,
    url: str | None,
    address: list[str] | None,
    event: list[str] | None,
    job: list[str] | None,
    tag: list[str] | None,
) -> dict[str, Any]:
    from fileflux.cli.connect import find

    fields: dict[str, Any] = {"url": url, "addresses": address or None, "events": event or None, "tags": tag or None}
    if job:
        fields["job_ids"] = [find(client, "job", one)["id"] for one in job]
    return {name: value for name, value in fields.items() if value is not None}
