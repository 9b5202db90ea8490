"""The options that describe a job, shared by ``jobs create`` and ``send``; what is not given is left to the hub's defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fileflux.cli.client import HubClient

PlaceArgument = Annotated[str, typer.Argument(help="AGENT:PATH")]
VerifyOption = Annotated[str | None, typer.Option("--verify", help="chunks, full or reread.")]
ConflictOption = Annotated[str | None, typer.Option("--conflict", help="overwrite, skip, newer, rename or fail.")]
CompressionOption = Annotated[str | None, typer.Option("--compression", help="auto, zstd, lz4 or none.")]
IncludeOption = Annotated[
    list[str] | None, typer.Option("--include", help="A rule like *.csv; may be given several times.")
]
ExcludeOption = Annotated[
    list[str] | None, typer.Option("--exclude", help="A rule like tmp/**; may be given several times.")
]
ParallelOption = Annotated[int | None, typer.Option("--parallel", min=1, help="Transfers at once.")]
WaitOption = Annotated[bool, typer.Option("--wait", help="Follow the run until it ends.")]


def job_body(client: HubClient, name: str, source: str, destination: str, **options: Any) -> dict[str, Any]:
    """What is posted to make a job between two ``AGENT:PATH``. Raises ConfigError, NotFoundError."""
    from fileflux.cli.connect import find, split_place

    body: dict[str, Any] = {"name": name}
    for role, place in (("source", source), ("destination", destination)):
        agent, path = split_place(place)
        body[f"{role}_agent_id"] = find(client, "agent", agent)["id"]
        body[f"{role}_path"] = path
    return body | {option: value for option, value in options.items() if value is not None}
