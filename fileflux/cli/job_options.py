"""The options that describe a job, shared by ``jobs create``, ``jobs edit`` and ``send``; what is not given is left to the hub's defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fileflux.cli.completion import complete_place

if TYPE_CHECKING:
    from fileflux.cli.client import HubClient

SourceArgument = Annotated[
    str, typer.Argument(metavar="AGENT:SOURCE", show_default=False, autocompletion=complete_place)
]
DestinationArgument = Annotated[
    str, typer.Argument(metavar="AGENT:DESTINATION", show_default=False, autocompletion=complete_place)
]
DescriptionOption = Annotated[str | None, typer.Option("--description", metavar="TEXT")]
TagOption = Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="May be given several times.")]
TypeOption = Annotated[
    str | None, typer.Option("--type", metavar="TYPE", help="push, or pull: the destination is listed first.")
]
VerifyOption = Annotated[str | None, typer.Option("--verify", metavar="HOW", help="chunks, full or reread.")]
HubCheckOption = Annotated[
    str | None,
    typer.Option("--hub-check", metavar="HOW", help="How many chunks the hub hashes too: off, sample or all."),
]
ConflictOption = Annotated[
    str | None, typer.Option("--conflict", metavar="HOW", help="overwrite, skip, newer, rename or fail.")
]
ChangeOption = Annotated[
    str | None,
    typer.Option("--on-change", metavar="HOW", help="A file changed while it was read: retry, fail or prefix."),
]
PreserveOption = Annotated[
    list[str] | None,
    typer.Option("--preserve", metavar="WHAT", help="mtime or mode; may be given twice. none: neither."),
]
CompressionOption = Annotated[str | None, typer.Option("--compression", metavar="HOW", help="auto, zstd, lz4 or none.")]
ChunkSizeOption = Annotated[
    str | None, typer.Option("--chunk-size", metavar="SIZE", help="Bytes, or as in 512KiB or 16MiB.")
]
IncludeOption = Annotated[
    list[str] | None, typer.Option("--include", metavar="RULE", help="A rule like *.csv; may be given several times.")
]
ExcludeOption = Annotated[
    list[str] | None, typer.Option("--exclude", metavar="RULE", help="A rule like tmp/**; may be given several times.")
]
RecursiveOption = Annotated[
    bool | None, typer.Option("--recursive/--no-recursive", help="Folders below the source too.", show_default=False)
]
AttemptsOption = Annotated[
    int | None, typer.Option("--retry-attempts", metavar="N", min=0, help="Of a transfer that failed.")
]
DelayOption = Annotated[
    str | None, typer.Option("--retry-delay", metavar="TIME", help="Before the first retry, as in 10s.")
]
FactorOption = Annotated[
    float | None, typer.Option("--retry-factor", metavar="X", min=1, help="Each retry waits so much longer.")
]
DeadlineOption = Annotated[
    str | None, typer.Option("--deadline", metavar="TIME", help="A run ends after so long, as in 90m or 7d.")
]
ParallelOption = Annotated[int | None, typer.Option("--parallel", metavar="N", min=1, help="Transfers at once.")]
WaitOption = Annotated[bool, typer.Option("--wait", help="Follow the run until it ends.")]


def job_fields(client: HubClient, source: str | None, destination: str | None, **options: Any) -> dict[str, Any]:
    """What is posted for a job's ``AGENT:PATH`` and options; what is None is left out. Raises ConfigError, NotFoundError."""
    from fileflux.cli.connect import find
    from fileflux.cli.place import parse_agent_place
    from fileflux.cli.units import bytes_of, seconds_of

    fields: dict[str, Any] = {}
    for role, place in (("source", source), ("destination", destination)):
        if place is not None:
            agent, path = parse_agent_place(place)
            fields[f"{role}_agent_id"] = find(client, "agent", agent)["id"]
            fields[f"{role}_path"] = path
    given = {name: value for name, value in options.items() if value is not None}
    if "chunk_size" in given:
        given["chunk_size"] = bytes_of("--chunk-size", given["chunk_size"])
    if "deadline" in given:
        given["deadline"] = seconds_of("--deadline", given["deadline"])
    if given.get("preserve") == ["none"]:
        given["preserve"] = []
    retry = {part: given.pop(f"retry_{part}") for part in ("attempts", "delay", "factor") if f"retry_{part}" in given}
    if "delay" in retry:
        retry["delay"] = seconds_of("--retry-delay", retry["delay"])
    return fields | given | ({"retry": retry} if retry else {})
