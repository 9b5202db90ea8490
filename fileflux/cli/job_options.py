"""The options that describe a job, shared by ``jobs create``, ``jobs edit`` and ``send``; what is not given is left to the hub's defaults."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final

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
PatternOption = Annotated[
    str | None, typer.Option("--pattern", metavar="RULE", help="One more --include, as in *.csv.")
]
ScheduleOption = Annotated[
    str | None,
    typer.Option("--schedule", metavar="CRON", help="As in '0 2 * * *' or @daily; see `fileflux schedules preview`."),
]
ZoneOption = Annotated[
    str | None, typer.Option("--timezone", metavar="ZONE", help="Of the schedule, as in Europe/Berlin.")
]
OverlapOption = Annotated[
    str | None, typer.Option("--overlap", metavar="HOW", help="The last run goes on still: skip, queue or cancel.")
]
CatchUpOption = Annotated[
    str | None, typer.Option("--catch-up", metavar="HOW", help="The hub was down when it was due: skip or once.")
]
JitterOption = Annotated[
    str | None, typer.Option("--jitter", metavar="TIME", help="Start up to so much later than scheduled.")
]
WatchOption = Annotated[
    bool | None, typer.Option("--watch/--no-watch", help="Run when files arrive at the source.", show_default=False)
]
SettleOption = Annotated[
    str | None,
    typer.Option("--watch-settle", metavar="TIME", help="A file counts when it has not changed for so long."),
]
MarkerOption = Annotated[
    str | None,
    typer.Option("--watch-marker", metavar="SUFFIX", help="A file counts when NAME.SUFFIX is there, as in .done."),
]
PollOption = Annotated[
    str | None, typer.Option("--watch-poll", metavar="TIME", help="Look so often, where the system tells nothing.")
]
DeleteExtraOption = Annotated[
    bool | None,
    typer.Option(
        "--delete-extra/--keep-extra", help="Remove at the destination what the source has not.", show_default=False
    ),
]
OnSuccessOption = Annotated[
    str | None, typer.Option("--on-success", metavar="HOW", help="The source's files then: keep, delete or archive.")
]
ArchiveOption = Annotated[
    str | None, typer.Option("--archive-path", metavar="PATH", help="Where --on-success archive puts them.")
]
SymlinksOption = Annotated[str | None, typer.Option("--symlinks", metavar="HOW", help="skip, copy or follow.")]
NamesOption = Annotated[
    str | None,
    typer.Option("--names", metavar="HOW", help="Names that the destination cannot hold: reject or encode."),
]
ExpectedOption = Annotated[
    str | None,
    typer.Option("--expected-by", metavar="TIME", help="A run must have succeeded by then: as in 06:00, or cron."),
]
AgeOption = Annotated[
    str | None, typer.Option("--min-age", metavar="TIME", help="Leave younger files for the next run.")
]
VersionsOption = Annotated[
    int | None, typer.Option("--keep-versions", metavar="N", min=0, help="Old files kept where one is overwritten.")
]
BandwidthOption = Annotated[
    str | None, typer.Option("--bandwidth-limit", metavar="SIZE", help="Per second and over the wire, as in 10MiB.")
]
PriorityOption = Annotated[int | None, typer.Option("--priority", metavar="N", min=1, max=9, help="9 goes first.")]
WaitOption = Annotated[bool, typer.Option("--wait", help="Follow the run until it ends.")]

OPTIONS: Final[dict[str, Any]] = {
    "description": DescriptionOption,
    "tags": TagOption,
    "type": TypeOption,
    "pattern": PatternOption,
    "include": IncludeOption,
    "exclude": ExcludeOption,
    "recursive": RecursiveOption,
    "schedule": ScheduleOption,
    "timezone": ZoneOption,
    "overlap": OverlapOption,
    "catch_up": CatchUpOption,
    "jitter_s": JitterOption,
    "watch": WatchOption,
    "watch_settle": SettleOption,
    "watch_marker": MarkerOption,
    "watch_poll": PollOption,
    "compression": CompressionOption,
    "chunk_size": ChunkSizeOption,
    "verify": VerifyOption,
    "hub_check": HubCheckOption,
    "conflict": ConflictOption,
    "delete_extra": DeleteExtraOption,
    "on_success": OnSuccessOption,
    "archive_path": ArchiveOption,
    "on_change": ChangeOption,
    "preserve": PreserveOption,
    "symlinks": SymlinksOption,
    "names": NamesOption,
    "retry_attempts": AttemptsOption,
    "retry_delay": DelayOption,
    "retry_factor": FactorOption,
    "deadline": DeadlineOption,
    "expected_by": ExpectedOption,
    "min_age": AgeOption,
    "keep_versions": VersionsOption,
    "bandwidth_limit": BandwidthOption,
    "priority": PriorityOption,
    "parallel": ParallelOption,
}
"""Every option of a job that is not a place, by the name under which ``job_fields`` takes it."""
EMPTY: Final[dict[str, Any]] = {
    "tags": [],
    "include": [],
    "exclude": [],
    "pattern": "",
    "schedule": None,
    "watch": None,
    "expected_by": None,
    "bandwidth_limit": None,
    "archive_path": "",
}
"""Fields that can be emptied."""
_TIMES: Final = {"deadline": "--deadline", "jitter_s": "--jitter", "min_age": "--min-age"}
_SIZES: Final = {"chunk_size": "--chunk-size", "bandwidth_limit": "--bandwidth-limit"}


def described(function: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for every field of a job; it gets those that were given as ``options``."""
    signature = inspect.signature(function, eval_str=True)
    own = [parameter for parameter in signature.parameters.values() if parameter.name != "options"]

    @functools.wraps(function)
    def command(call: Any, **given: Any) -> None:
        options = {name: given.pop(name, None) for name in OPTIONS}
        function(call, options=options, **given)

    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in OPTIONS.items()
    ]
    parameters = [own[0], *(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own[1:]), *more]
    setattr(command, "__signature__", signature.replace(parameters=parameters))  # noqa: B010  # a function has no such attribute by its type
    return command


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
    for name, option in _SIZES.items():
        if name in given:
            given[name] = bytes_of(option, given[name])
    for name, option in _TIMES.items():
        if name in given:
            given[name] = seconds_of(option, given[name])
    if given.get("preserve") == ["none"]:
        given["preserve"] = []
    watch = _watch(given)
    retry = {part: given.pop(f"retry_{part}") for part in ("attempts", "delay", "factor") if f"retry_{part}" in given}
    if "delay" in retry:
        retry["delay"] = seconds_of("--retry-delay", retry["delay"])
    return fields | given | watch | ({"retry": retry} if retry else {})


def _watch(given: dict[str, Any]) -> dict[str, Any]:
    """Take the options of a watch out; the field that they make, if they say anything."""
    from fileflux.cli.units import seconds_of
    from fileflux.errors import ConfigError

    wanted = given.pop("watch", None)
    parts = {part: given.pop(f"watch_{part}") for part in ("settle", "marker", "poll") if f"watch_{part}" in given}
    if wanted is False:
        if parts:
            raise ConfigError("--no-watch says that nothing is watched: leave out the other --watch options")
        return {"watch": None}
    for part in ("settle", "poll"):
        if part in parts:
            parts[part] = seconds_of(f"--watch-{part}", parts[part])
    return {"watch": parts} if wanted or parts else {}
