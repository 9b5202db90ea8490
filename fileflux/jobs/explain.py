"""Why a path was sent, skipped, renamed, refused, deleted or never seen by a run. Pure: what is stored of the run goes in, sentences come out.

What the run itself noted of the path decides; where it noted nothing, its rules do; and where those leave nothing out, the source had no
such path when it was listed, as far as its listing was complete.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from fileflux.errors import FluxError, RefusedPathError
from fileflux.jobs.models import JobSpec
from fileflux.jobs.selection import Selection, glob_of, in_words
from fileflux.jobs.status import RunStatus, TransferStatus
from fileflux.protocol.systems import System, destination_name

Verdict = Literal[
    "sent", "renamed", "skipped", "refused", "failed", "cancelled", "waiting", "moving", "deleted", "directory",
    "left_out", "not_there", "outside", "unknown",
]  # fmt: skip
Outcome = Literal["ok", "no", "note", "unknown"]

_REFUSED: Final = frozenset(
    {"refused_path", "outside_roots", "bad_name", "name_collision", "not_regular", "too_large", "exists", "read_only"}
)
"""Codes that say: not this one, however often it is tried."""
_ABSOLUTE: Final = re.compile(r"/|[A-Za-z]:[\\/]|\\\\")
_WINDOWS: Final = re.compile(r"[A-Za-z]:[\\/]|\\\\")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was looked at. ``outcome``: it speaks for the path, against it, says something more, or cannot be told."""

    what: str
    outcome: Outcome
    detail: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """``summary`` is one sentence; ``steps`` are how it came to that, in their order."""

    path: str
    verdict: Verdict
    summary: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Of the run. ``base`` is None until its source has answered; ``listed``: the listing came to its end, with ``errors`` troubles,
    the first of which are ``troubles``. ``rows_of``: its files are what was left of that run.
    """

    spec: JobSpec
    status: str
    reason: str
    base: str | None = None
    path_type: str = "directory"
    system: System = "posix"
    listed: bool = False
    listed_at: datetime | None = None
    errors: int = 0
    troubles: tuple[str, ...] = ()
    rows_of: int | None = None


@dataclass(frozen=True, slots=True)
class FileFacts:
    """The run's row of a file. ``removed``: of one that stood at the destination only, which ``delete_extra`` spoke of."""

    status: str
    reason: str
    code: str
    kind: str = "file"
    size: int = 0
    bytes_wire: int = 0
    bytes_reused: int = 0
    retries: int = 0
    file_hash: str | None = None
    final_path: str | None = None
    ended_at: datetime | None = None
    release: str | None = None


@dataclass(frozen=True, slots=True)
class Noted:
    """What the run's rows have of a path. ``above``: of the directories above it those that the run has seen."""

    file: FileFacts | None = None
    removed: FileFacts | None = None
    directory: bool = False
    above: frozenset[str] = field(default_factory=frozenset)


def below_base(text: str, base: str) -> str | None:
    """``text`` as it is called below the run's base, empty for the base itself; None for an absolute path elsewhere."""
    windows = _WINDOWS.match(base) is not None
    if windows:
        text, base = text.replace("\\", "/"), base.replace("\\", "/")
    if _ABSOLUTE.match(text):
        top = base.rstrip("/")
        same = text[: len(top)].casefold() == top.casefold() if windows else text.startswith(top)
        if not same or text[len(top) : len(top) + 1] not in ("", "/"):
            return None
        text = text[len(top) :]
    return "/".join(name for name in text.split("/") if name not in ("", "."))


def directories_above(path: str) -> list[str]:
    """``a/b/c`` is below ``a`` and ``a/b``."""
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def explain(path: str, run: RunFacts, noted: Noted) -> Explanation:
    """About a path as ``below_base`` gave it."""
    shown = show(path)
    if noted.file is not None:
        return _of_row(path, shown, run, noted.file)
    if noted.removed is not None:
        return _of_removed(shown, noted.removed)
    if noted.directory:
        row = Step(
            "row", "ok", "the run has it as a directory: made as its files need it, its mode and time are set last"
        )
        return Explanation(shown, "directory", f"{shown} is a directory of the run.", (row,))
    row = Step("row", "no", "the run has no row of it")
    if run.rows_of is not None:
        origin = f"run {run.rows_of}"
        retry = Step(
            "retry", "no", f"a retry moves only what failed or was cancelled in {origin}: ask {origin} about it"
        )
        summary = f"{shown} was not among what failed in {origin}, which this run tried again."
        return Explanation(shown, "left_out", summary, (row, retry))
    return _by_rules(path, shown, run, noted, row)


def outside(text: str, run: RunFacts) -> Explanation:
    """About an absolute path that is not below the source."""
    base = show(run.base or run.spec.source_path)
    step = Step("source", "no", f"the run took its files from {base}")
    return Explanation(show(text), "outside", f"{show(text)} is not below the source {base}.", (step,))


def show(path: str) -> str:
    """Fit to be shown: bytes that are no UTF-8, and NUL, as escapes."""
    try:
        raw = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # Surrogates that stand for no byte; no file has such a name.
        raw = path.encode("utf-8", "backslashreplace")
    return raw.decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def _of_row(path: str, shown: str, run: RunFacts, row: FileFacts) -> Explanation:
    verdict, summary = _verdict(path, shown, run, row)
    steps = [Step("row", "ok" if verdict in ("sent", "renamed") else "no", _row_detail(row))]
    choice = _selection(run).choose(path) if run.rows_of is None else None
    if choice is not None and choice.wanted:
        steps.append(Step("rules", "ok", show(in_words(choice))))
    if row.final_path:
        steps.append(Step("destination", "note", f"its place there is {show(row.final_path)}"))
    if verdict in ("sent", "renamed"):
        steps.append(Step("bytes", "note", _bytes_detail(row)))
    if row.file_hash:
        steps.append(Step("hash", "ok", f"SHA-256 {row.file_hash}"))
    if row.retries:
        steps.append(Step("retries", "note", f"it took {row.retries + 1} tries"))
    if row.release is not None:
        done = {"delete": "deleted", "archive": "archived"}.get(run.spec.on_success, "released")
        text = {"done": f"{done} after it had arrived", "due": f"still to be {done}"}
        outcome: Outcome = "no" if row.release == "failed" else "ok"
        steps.append(Step("source file", outcome, text.get(row.release, f"not {done}: {row.reason}")))
    return Explanation(shown, verdict, summary, tuple(steps))


def _verdict(path: str, shown: str, run: RunFacts, row: FileFacts) -> tuple[Verdict, str]:
    because = f": {row.reason}" if row.reason else ""
    match TransferStatus(row.status):
        case TransferStatus.COMPLETED:
            other = _other_name(path, run, row)
            if other is None:
                return "sent", f"{shown} was sent and verified."
            return "renamed", f"{shown} was sent as {show(row.final_path or '')}: {other}."
        case TransferStatus.SKIPPED:
            return "skipped", f"{shown} was skipped{because}."
        case TransferStatus.FAILED if row.code in _REFUSED:
            return "refused", f"{shown} was refused ({row.code}){because}."
        case TransferStatus.FAILED:
            return "failed", f"{shown} failed ({row.code or 'no code'}){because}."
        case TransferStatus.CANCELLED:
            return "cancelled", f"{shown} was cancelled{because}."
        case TransferStatus.TRANSFERRING | TransferStatus.VERIFYING:
            return "moving", f"{shown} is on its way ({row.status})."
        case TransferStatus.PENDING | TransferStatus.WAITING:
            return "waiting", f"{shown} waits for its turn{because}."


def _other_name(path: str, run: RunFacts, row: FileFacts) -> str | None:
    """Why a file has another name at the destination than at the source; None when it has not."""
    if not row.final_path:
        return None
    place = row.final_path.replace("\\", "/") if run.system == "windows" else row.final_path
    if f"/{place}".endswith(f"/{path}"):
        return None
    try:
        name = destination_name(path, run.system, run.spec.names)
    except RefusedPathError:
        name = path
    if f"/{place}".endswith(f"/{name}"):
        return f"the destination's system ({run.system}) cannot hold the name, and names is encode"
    if run.path_type == "file" and run.spec.conflict != "rename":
        return "the job's destination path names it so"
    return f"another file had the name there, and conflict is {run.spec.conflict}"


def _row_detail(row: FileFacts) -> str:
    ended = "" if row.ended_at is None else f" at {row.ended_at.isoformat(timespec='seconds')}"
    parts = [f"{row.status}{ended}", f"{row.kind} of {row.size} bytes"]
    parts += [f"code {row.code}"] if row.code else []
    parts += [row.reason] if row.reason else []
    return "; ".join(parts)


def _bytes_detail(row: FileFacts) -> str:
    if row.size and not row.bytes_wire:
        return "nothing went over the wire: the destination had all of its bytes"
    reused = f", {row.bytes_reused} were at the destination already" if row.bytes_reused else ""
    return f"{row.bytes_wire} bytes over the wire{reused}"


def _of_removed(shown: str, row: FileFacts) -> Explanation:
    step = Step("row", "ok" if row.status == "deleted" else "no", _row_detail(row))
    if row.status == "deleted":
        summary = f"{shown} was deleted at the destination: the source had no such path, and delete_extra is on."
        return Explanation(shown, "deleted", summary, (step,))
    if row.status == "due":
        return Explanation(shown, "waiting", f"{shown} is at the destination only and is still to be deleted.", (step,))
    because = f": {row.reason}" if row.reason else ""
    return Explanation(shown, "failed", f"{shown} is at the destination only and was not deleted{because}.", (step,))


def _by_rules(path: str, shown: str, run: RunFacts, noted: Noted, row: Step) -> Explanation:
    if run.path_type == "file" and run.base is not None:
        text = f"the source is a single file, {show(run.spec.source_path)}"
        return Explanation(
            shown, "left_out", f"{shown} is not what the job moves: {text}.", (row, Step("source", "no", text))
        )
    choice = _selection(run).choose(path)
    words = show(in_words(choice))
    rules = Step("rules", "ok" if choice.wanted else "no", words)
    if not choice.wanted:
        return Explanation(shown, "left_out", f"{shown} is left out: {words}.", (row, rules))
    listing = _listing(path, run, noted)
    when = "" if run.listed_at is None else f" at {run.listed_at.isoformat(timespec='seconds')}"
    if listing.outcome == "unknown":
        return Explanation(
            shown, "unknown", f"What became of {shown} is not known: {listing.detail}.", (row, rules, listing)
        )
    seen = Step("source", "no", _where(path, noted))
    summary = f"The source had no {shown} when it was listed{when}."
    return Explanation(shown, "not_there", summary, (row, rules, listing, seen))


def _listing(path: str, run: RunFacts, noted: Noted) -> Step:
    if run.base is None:
        ended = "has ended" if RunStatus(run.status).terminal else "waits"
        why = f" ({run.reason})" if run.reason else ""
        return Step("listing", "unknown", f"the source was never listed: the run {ended} as {run.status}{why}")
    if not run.listed:
        return Step("listing", "unknown", f"the source's listing has not come to its end (the run is {run.status})")
    if not run.errors:
        return Step("listing", "ok", f"{show(run.base)} was listed to its end without errors")
    troubles = _troubles_above(path, run)
    if troubles:
        return Step("listing", "unknown", f"it could not be listed: {troubles[0]}")
    if len(run.troubles) < run.errors and noted.above.isdisjoint(directories_above(path)[-1:]):
        return Step("listing", "unknown", f"the listing had {run.errors} errors, one of which may hide it")
    return Step("listing", "ok", f"the listing had {run.errors} errors, none of them above this path")


def _troubles_above(path: str, run: RunFacts) -> list[str]:
    """Errors of the listing that speak of the path or of a directory above it."""
    heads = tuple(f"{show(name)}: " for name in ["", *directories_above(path), path])
    return [text for text in run.troubles if text.startswith(heads)]


def _where(path: str, noted: Noted) -> str:
    above = directories_above(path)
    there = [name for name in above if name in noted.above]
    if not above or len(there) == len(above):
        return f"{show(above[-1]) if above else 'the source'} was listed, and nothing of this name was in it"
    if there:
        return f"{show(there[-1])} was listed, but nothing below it on the way to this path was noted"
    return "nothing was noted of the directories above it either"


def _selection(run: RunFacts) -> Selection:
    spec = run.spec
    glob = glob_of(spec.source_path) if run.path_type == "glob" else ""
    try:
        return Selection(spec.wanted, spec.exclude, recursive=spec.recursive, glob=glob)
    except FluxError:
        # Rules of an older version that are none today.
        return Selection((), (), recursive=spec.recursive)
