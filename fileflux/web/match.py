"""``POST /api/jobs/match``: which files would rules take? Of paths that are given, or of what an agent has at this moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final, get_args

import marshmallow as ma
from marshmallow import fields

from fileflux.actors.run_listing import entry_verdict
from fileflux.errors import ConfigError, NotFoundError, UnavailableError
from fileflux.jobs.explain import show
from fileflux.jobs.filters import MAX_PATTERN_CHARACTERS, MAX_RULES, compile_rules
from fileflux.jobs.matching import choices_of
from fileflux.jobs.models import JobSpec, Symlinks
from fileflux.jobs.selection import By, Choice, glob_of, in_words
from fileflux.protocol import messages as m
from fileflux.protocol.limits import MAX_PATH_BYTES
from fileflux.storage import agents
from fileflux.web.agent_view import refuse
from fileflux.web.context import deps
from fileflux.web.fields import Choice as ChoiceField
from fileflux.web.fields import Flag, Number, Text, Texts, Whole
from fileflux.web.places import Places
from fileflux.web.resource import MAX_ID, Resource

PATHS_MAX: Final = 1000
ENTRIES_MAX: Final = 20_000
"""Of an agent's, looked at for one answer."""
SECONDS: Final = 10.0
SAMPLE: Final = 50
ERRORS_SHOWN: Final = 20
OPEN_MAX: Final = 4
_DAY_S: Final = 86_400.0
_RULE_BYTES: Final = 4 * MAX_PATTERN_CHARACTERS

matches = Resource("matches", "The filter tester.")
_places: Final = Places(OPEN_MAX, "filter tests")


class MatchIn(ma.Schema):
    """Rules as a job has them, and either `paths` or `agent_id` with `path`."""

    pattern = Text(high=_RULE_BYTES, raw=True, load_default="")
    include = Texts(Text(low=1, high=_RULE_BYTES, raw=True), MAX_RULES, load_default=list)
    # ``Schema.exclude`` means something else in marshmallow.
    excluded = Texts(
        Text(low=1, high=_RULE_BYTES, raw=True), MAX_RULES, load_default=list, data_key="exclude", attribute="exclude"
    )
    recursive = Flag(load_default=True)
    symlinks = ChoiceField(get_args(Symlinks), load_default="skip")
    min_age = Number(0.0, 366 * _DAY_S, load_default=0.0, metadata={"description": "seconds; with an agent"})
    paths = Texts(
        Text(low=1, high=MAX_PATH_BYTES, raw=True),
        PATHS_MAX,
        metadata={"description": "below a source; with / at its end it is a directory"},
    )
    agent_id = Whole(1, MAX_ID)
    path = Text(low=1, high=MAX_PATH_BYTES, raw=True, metadata={"description": "a source path at the agent"})

    @ma.validates_schema
    def one_of_both(self, data: Mapping[str, Any], **_: Any) -> None:
        if "paths" in data and ("agent_id" in data or "path" in data):
            raise ma.ValidationError({"paths": ["Give paths, or agent_id and path, not both."]})
        if "paths" not in data:
            missing = [name for name in ("agent_id", "path") if name not in data]
            if missing:
                raise ma.ValidationError({missing[0]: ["Needed, unless paths are given."]})

    @ma.validates_schema
    def rules_compile(self, data: Mapping[str, Any], **_: Any) -> None:
        given = {"pattern": [data["pattern"]] if data["pattern"] else [], "include": data["include"]}
        for name, rules in {**given, "exclude": data["exclude"]}.items():
            try:
                compile_rules(rules, ()) if name != "exclude" else compile_rules((), rules)
            except ConfigError as error:
                raise ma.ValidationError({name: [error.message]}) from None


class MatchedOut(ma.Schema):
    """One path, and what decided about it."""

    path = fields.String()
    kind = fields.String(metadata={"enum": ["file", "directory", "symlink", "other"]})
    size = fields.Integer()
    matched = fields.Boolean()
    by = fields.String(metadata={"enum": list(get_args(By))})
    pattern = fields.String(metadata={"description": "the one that decided, as it was given; or empty"})
    at = fields.String(metadata={"description": "what it matched: the path or a directory above"})
    why = fields.String()
    skipped = fields.String(metadata={"description": "why a run would skip it all the same; or empty"})


class DecidedOut(ma.Schema):
    """How many files one pattern decided about."""

    by = fields.String(metadata={"enum": list(get_args(By))})
    pattern = fields.String()
    files = fields.Integer()
    bytes = fields.Integer()


class MatchErrorOut(ma.Schema):
    path = fields.String()
    message = fields.String()


class MatchOut(ma.Schema):
    """What the rules take. The counts are of files and links, not of directories."""

    summary = fields.String()
    base = fields.String(allow_none=True, metadata={"description": "what paths are relative to, at the agent"})
    files = fields.Integer()
    matched = fields.Integer()
    skipped = fields.Integer(
        metadata={"description": "of the matched ones: those that a run would skip by their kind or age"}
    )
    bytes = fields.Integer()
    matched_bytes = fields.Integer()
    directories = fields.Integer()
    stopped = fields.String(
        metadata={"enum": ["", "entries", "time"], "description": "what ended it before everything was looked at"}
    )
    errors = fields.Integer(metadata={"description": "what the agent could not list"})
    error_sample = fields.List(fields.Nested(MatchErrorOut))
    decided = fields.List(fields.Nested(DecidedOut))
    matched_sample = fields.List(fields.Nested(MatchedOut))
    unmatched_sample = fields.List(fields.Nested(MatchedOut))


@dataclass(slots=True)
class _Tally:
    """What has been seen so far; ``sample`` paths of each kind are kept."""

    sample: int
    spec: JobSpec
    files: int = 0
    matched: int = 0
    skipped: int = 0
    bytes: int = 0
    matched_bytes: int = 0
    directories: int = 0
    looked_at: int = 0
    errors: int = 0
    stopped: str = ""
    base: str | None = None
    error_sample: list[dict[str, str]] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    sizes: Counter[tuple[str, str]] = field(default_factory=Counter)
    samples: dict[bool, list[dict[str, Any]]] = field(default_factory=lambda: {True: [], False: []})

    def take(self, entry: m.Entry, choice: Choice) -> None:
        self.looked_at += 1
        if entry.kind == "directory":
            self.directories += 1
            return
        self.files += 1
        self.bytes += entry.size
        skipped = ""
        if choice.wanted:
            self.matched += 1
            self.matched_bytes += entry.size
            status, reason, _ = entry_verdict(entry, self.spec, "posix", {})
            skipped = reason if status != "pending" else ""
            self.skipped += bool(skipped)
        key = (choice.by, choice.pattern)
        self.counts[key] += 1
        self.sizes[key] += entry.size
        kept = self.samples[choice.wanted]
        if len(kept) < self.sample:
            kept.append(_shown(entry, choice, skipped))

    def shown(self) -> dict[str, Any]:
        """As MatchOut."""
        decided = [
            {"by": by, "pattern": pattern, "files": count, "bytes": self.sizes[by, pattern]}
            for (by, pattern), count in self.counts.most_common()
        ]
        names = (
            "files",
            "matched",
            "skipped",
            "bytes",
            "matched_bytes",
            "directories",
            "stopped",
            "errors",
            "error_sample",
        )
        return {
            **{name: getattr(self, name) for name in names},
            "summary": self._summary(),
            "base": None if self.base is None else show(self.base),
            "decided": decided,
            "matched_sample": self.samples[True],
            "unmatched_sample": self.samples[False],
        }

    def _summary(self) -> str:
        text = f"matches {self.matched:,} of {self.files:,} files"
        if self.skipped:
            text += f", {self.skipped:,} of which a run would skip"
        if self.stopped:
            bound = f"{ENTRIES_MAX:,} entries" if self.stopped == "entries" else f"{SECONDS:.0f} s"
            text += f"; stopped after {bound}, there is more"
        return text + (f"; {self.errors:,} could not be listed" if self.errors else "")


@matches.route("POST", "/api/jobs/match", body=MatchIn, returns=MatchOut)
def match_rules(body: dict[str, Any]) -> dict[str, Any]:
    """Try rules out: on `paths`, or on what an agent has below `path` now. Nothing is moved or changed.

    At an agent at most 20,000 entries are looked at, for at most 10 s; `stopped` says when that was not everything.
    """
    spec = _spec(body)
    leave = _places.take()
    try:
        if "paths" in body:
            return _of_paths(body["paths"], spec).shown()
        return _of_agent(body["agent_id"], spec).shown()
    finally:
        leave()


def _spec(body: Mapping[str, Any]) -> JobSpec:
    return JobSpec(
        name="",
        source_agent_id=body.get("agent_id", 0),
        source_path=body.get("path", ""),
        destination_agent_id=0,
        destination_path="",
        pattern=body["pattern"],
        include=tuple(body["include"]),
        exclude=tuple(body["exclude"]),
        recursive=body["recursive"],
        symlinks=body["symlinks"],
        min_age_s=body["min_age"],
    )


def _of_paths(paths: Sequence[str], spec: JobSpec) -> _Tally:
    tally = _Tally(PATHS_MAX, spec)
    entries = []
    for path in paths:
        name = "/".join(part for part in path.split("/") if part not in ("", "."))
        if name:
            entries.append(m.Entry(name, "directory" if path.endswith("/") else "file"))
    _choose(tally, entries, spec, "", deps().clock.monotonic() + SECONDS)
    return tally


def _of_agent(agent_id: int, spec: JobSpec) -> _Tally:
    with deps().database.transaction() as tx:
        if agents.get(tx, agent_id) is None:
            raise NotFoundError(f"there is no agent {agent_id}")
    tally, until = _Tally(SAMPLE, spec), deps().clock.monotonic() + SECONDS
    # Everything is asked for, and the rules are looked at here: what they leave out is half of the answer.
    rules = m.ListRules(recursive=spec.recursive, min_age_s=spec.min_age_s, symlinks=spec.symlinks)
    with closing(deps().agents.listing(agent_id, spec.source_path, rules, SECONDS)) as pages:
        try:
            for page in pages:
                _take_page(tally, page, spec, until)
                if not tally.stopped and not page.last and tally.looked_at >= ENTRIES_MAX:
                    tally.stopped = "entries"
                if tally.stopped:
                    break
        except UnavailableError as error:
            if error.code != "no_answer" or tally.base is None:
                raise
            tally.stopped = "time"
    return tally


def _take_page(tally: _Tally, page: m.ListResult, spec: JobSpec, until: float) -> None:
    for error in page.errors:
        if error.path == "" and tally.base is None and not page.entries:
            refuse(error.code, error.message)
        tally.errors += 1
        if len(tally.error_sample) < ERRORS_SHOWN:
            tally.error_sample.append({"path": show(error.path), "message": error.message})
    tally.base = page.base
    glob = glob_of(spec.source_path) if page.path_type == "glob" else ""
    _choose(tally, page.entries, spec, glob, until)


def _choose(tally: _Tally, entries: Iterable[m.Entry], spec: JobSpec, glob: str, until: float) -> None:
    left = list(entries)
    work = deps().work
    if work is None:
        raise UnavailableError("no worker of the hub can do this now; try again")
    while left:
        if deps().clock.monotonic() >= until:
            tally.stopped = "time"
            return
        args = {
            "include": spec.wanted,
            "exclude": spec.exclude,
            "recursive": spec.recursive,
            "glob": glob,
            "paths": [[entry.path, entry.kind == "directory"] for entry in left],
        }
        choices = choices_of(work.run("match", "choose_paths", args, timeout=SECONDS))
        for entry, choice in zip(left, choices, strict=False):
            tally.take(entry, choice)
        left = left[len(choices) :]


def _shown(entry: m.Entry, choice: Choice, skipped: str) -> dict[str, Any]:
    return {
        "path": show(entry.path),
        "kind": entry.kind,
        "size": entry.size,
        "matched": choice.wanted,
        "by": choice.by,
        "pattern": choice.pattern,
        "at": show(choice.at),
        "why": show(in_words(choice)),
        "skipped": skipped,
    }
