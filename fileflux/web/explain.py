"""``GET /api/runs/{id}/explain``: why a path was sent, skipped, renamed, refused, deleted or never seen."""

from __future__ import annotations

import base64
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, get_args

import marshmallow as ma
from marshmallow import fields

from fileflux.errors import NotFoundError, RefusedPathError
from fileflux.jobs import explain as core
from fileflux.jobs.models import JobSpec
from fileflux.jobs.status import TransferStatus
from fileflux.protocol.limits import MAX_PATH_BYTES
from fileflux.storage import report, runs
from fileflux.storage.deletions import Deletion
from fileflux.storage.pool import Transaction
from fileflux.storage.transfers import TransferRow
from fileflux.storage.values import name_to_bytes
from fileflux.web.context import deps
from fileflux.web.fields import Text
from fileflux.web.resource import Resource
from fileflux.web.transfers import live_of

if TYPE_CHECKING:
    from fileflux.actors.messages import LiveTransfer

explanations = Resource("explanations", "Why a run did what it did with a path.")

_ESCAPED: Final = re.compile(r"\\x([0-9a-f]{2})")


class ExplainQuery(ma.Schema):
    path = Text(
        low=1,
        high=4 * MAX_PATH_BYTES,
        raw=True,
        required=True,
        metadata={"description": "below the source, or absolute; bytes that are no UTF-8 as \\xNN"},
    )


class StepOut(ma.Schema):
    """One thing that was looked at."""

    what = fields.String()
    outcome = fields.String(metadata={"enum": list(get_args(core.Outcome))})
    detail = fields.String()


class ExplanationOut(ma.Schema):
    """What became of a path, and why."""

    path = fields.String()
    verdict = fields.String(metadata={"enum": list(get_args(core.Verdict))})
    summary = fields.String(metadata={"description": "one sentence"})
    steps = fields.List(fields.Nested(StepOut))


@explanations.route("GET", "/api/runs/<id:run_id>/explain", query=ExplainQuery, returns=ExplanationOut)
def explain_path(query: dict[str, Any], run_id: int) -> core.Explanation:
    """Why a run sent, skipped, renamed, refused or deleted a path, or never saw it."""
    text: str = query["path"]
    with deps().database.transaction() as tx:
        row = runs.get(tx, run_id)
        if row is None:
            raise NotFoundError(f"there is no run {run_id}")
        facts = run_facts(row)
        path = core.below_base(text, facts.base or facts.spec.source_path)
        if path is None:
            # Whoever asks about what was removed has its name at the destination.
            path = core.below_base(text, facts.spec.destination_path)
        if path is None:
            return core.outside(text, facts)
        if not path:
            return core.explain(path, facts, core.Noted(directory=True))
        found = _find(tx, run_id, path)
    return core.explain(found.path, facts, found.noted())


def run_facts(row: runs.RunRow) -> core.RunFacts:
    """What explains of a stored run."""
    plan = row.plan or {}
    base = os.fsdecode(base64.b64decode(plan["base"])) if "base" in plan else None
    return core.RunFacts(
        spec=JobSpec.from_json(row.spec),
        status=row.status,
        reason=row.reason,
        base=base,
        path_type=plan.get("path_type", "directory"),
        system=plan.get("system", "posix"),
        listed=row.planned,
        listed_at=row.started_at,
        errors=plan.get("errors", 0),
        troubles=tuple(plan.get("troubles", ())),
        rows_of=plan.get("rows_of"),
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """What the run's rows have of ``path``."""

    path: str
    file: TransferRow | None
    directory: bool
    above: frozenset[str]
    removed: Deletion | None = None

    def noted(self) -> core.Noted:
        """With the newer counters of a live transfer."""
        facts = None if self.file is None else file_facts(self.file, live_of([self.file]).get(self.file.id))
        extra = self.removed
        removed = None
        if extra is not None:
            kind = "directory" if extra.directory else "file"
            removed = core.FileFacts(extra.outcome, extra.reason, "", kind, extra.size)
        return core.Noted(facts, removed, self.directory, self.above)


def _find(tx: Transaction, run_id: int, path: str) -> _Found:
    """The path is taken literally first, then with its escapes as bytes."""
    first: _Found | None = None
    for name in dict.fromkeys((path, _unescaped(path))):
        try:
            raw = name_to_bytes(name)
        except RefusedPathError:
            continue
        above = {name_to_bytes(directory): directory for directory in core.directories_above(name)}
        seen = report.directories_seen(tx, run_id, [raw, *above])
        there = frozenset(directory for encoded, directory in above.items() if encoded in seen)
        removed = report.deletion_at(tx, run_id, raw)
        found = _Found(name, report.file_at(tx, run_id, raw), raw in seen, there, removed)
        if found.file is not None or found.directory or removed is not None:
            return found
        first = first or found
    return first or _Found(path, None, directory=False, above=frozenset())


def file_facts(row: TransferRow, live: LiveTransfer | None = None) -> core.FileFacts:
    """What explains of a transfer."""
    newest: TransferRow | LiveTransfer = row if live is None or TransferStatus(row.status).terminal else live
    return core.FileFacts(
        status=newest.status,
        reason=newest.reason,
        code=row.code,
        kind=row.kind,
        size=row.size,
        bytes_wire=newest.bytes_wire,
        bytes_reused=newest.bytes_reused,
        retries=row.retry_count,
        file_hash=None if row.file_hash is None else row.file_hash.hex(),
        final_path=None if row.final_path is None else os.fsdecode(row.final_path),
        ended_at=row.ended_at,
        release=row.release,
    )


def _unescaped(path: str) -> str:
    with_bytes = _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]).decode("ascii", "surrogateescape"), path)
    # Escapes of several bytes may stand for one character.
    return with_bytes.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
