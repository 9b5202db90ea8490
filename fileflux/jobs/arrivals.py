"""What a watch looks for, what tells two files that arrived apart, and what becomes of an offer. Pure."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from fileflux.errors import RefusedPathError
from fileflux.jobs.models import JobSpec
from fileflux.protocol import messages as m
from fileflux.protocol.names import check_relative

GATHERED: Final = 1000
"""So many files that wait become a run at once, however short they have waited."""
RUN_MAX: Final = 10_000
"""Files of one run by a watch: made in one transaction, within a second or two."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file that is ready. ``key``: see ``key_of``."""

    key: bytes
    path: bytes
    kind: str
    size: int
    mtime_ns: int
    mode: int


def order_of(spec: JobSpec, watch_id: int) -> m.WatchSet:
    """What the source's agent is told to look after. Only for a job with a ``watch``."""
    rule = spec.watch
    if rule is None:
        raise ValueError("the job watches nothing")
    both = spec.source_agent_id == spec.destination_agent_id
    return m.WatchSet(
        watch_id,
        spec.source_path,
        m.ListRules(spec.wanted, spec.exclude, spec.recursive, spec.min_age_s, spec.symlinks),
        rule.settle_s,
        rule.marker,
        rule.poll_s,
        spec.destination_path if both else None,
        spec.on_success,
        spec.archive_path if spec.on_success == "archive" else "",
    )


def origin_of(spec: JobSpec) -> bytes:
    """The same as long as the job looks for the same files in the same place."""
    said = [
        spec.source_agent_id, spec.source_path, spec.wanted, spec.exclude, spec.recursive, spec.symlinks,
        spec.destination_path if spec.source_agent_id == spec.destination_agent_id else None,
        spec.watch.marker if spec.watch else "",
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(said).encode()).digest()


def key_of(agent_id: int, base: bytes, path: bytes) -> bytes:
    """One file at one place, whichever base it is named from."""
    return hashlib.sha256(b"%d\0%s/%s" % (agent_id, base.rstrip(b"/"), path)).digest()


def arrivals(agent_id: int, base: bytes, path_type: m.PathType, entries: Iterable[m.Entry]) -> list[Arrival]:
    """What an agent offers, without what no honest one would."""
    found: dict[bytes, Arrival] = {}
    for entry in entries:
        try:
            check_relative(entry.path)
        except RefusedPathError:
            continue
        if entry.kind not in ("file", "symlink") or entry.code or (path_type == "file" and "/" in entry.path):
            continue
        path = os.fsencode(entry.path)
        key = key_of(agent_id, base, path)
        found[key] = Arrival(key, path, entry.kind, entry.size, entry.mtime_ns, entry.mode)
    return list(found.values())
