"""What a planner has compared so far: pages of both agents go into the plan's entries, and the sums of each class are kept along."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

from fileflux.actors.destination_listing import named, troubles_of
from fileflux.jobs.models import JobSpec
from fileflux.jobs.plan import Listings, Seen, estimate, judge, warnings
from fileflux.protocol import messages as m
from fileflux.storage import plans
from fileflux.storage.directories import NewDirectory
from fileflux.storage.plans import CLASSES, Class, Entry, PlanRow
from fileflux.storage.pool import Transaction
from fileflux.storage.transfers import NewTransfer

TROUBLES_MAX: Final = 100
_CLASS_OF_STATUS: Final[dict[str, Class]] = {"pending": "new", "skipped": "refused", "failed": "refused"}


class Comparison:
    """Of one plan. What it stores is the caller's transaction's; after one that failed the plan has failed."""

    def __init__(self, row: PlanRow, spec: JobSpec) -> None:
        self._plan_id = row.id
        self._job_id = row.job_id
        self._spec = spec
        self._sums: dict[str, list[int]] = {name: [0, 0] for name in CLASSES}
        self._directories = 0
        self._only: bytes | None = None
        """The name of a source that is one file."""
        self._is_directory = False
        self._onto_file = False
        self._troubles = 0
        self._trouble_texts: list[str] = []
        self.seen = 0
        """Entries of both listings."""

    def sums(self) -> dict[str, Any]:
        """As the plan's row has them."""
        return {**self._sums, "directories": self._directories}

    def source(
        self, tx: Transaction, path_type: m.PathType, files: Sequence[NewTransfer], folders: Sequence[NewDirectory]
    ) -> None:
        """A page of the source."""
        self._is_directory = path_type == "directory"
        if files and path_type == "file":
            self._only = files[0].path
        found = [
            Entry(one.path, one.kind, one.size, one.mtime_ns, _CLASS_OF_STATUS[one.status], one.reason) for one in files
        ]
        found += [Entry(one.path, "directory", 0, one.mtime_ns, "new") for one in folders]
        self.seen += len(found)
        self._add(tx, found)

    def destination(self, tx: Transaction, page: m.ListResult) -> None:
        """A page of the destination; every page of the source has come before."""
        troubles = troubles_of(page, self._spec)
        self._troubles += len(troubles)
        self._trouble_texts += troubles[: TROUBLES_MAX - len(self._trouble_texts)]
        onto_one = page.path_type == "file" and self._only is not None
        self._onto_file = page.path_type == "file"
        # One file onto another: they are compared whatever they are called.
        there = {
            self._only if onto_one and self._only is not None else os.fsencode(name): entry
            for name, entry in named(page, self._spec)
        }
        known = plans.known(tx, self._plan_id, list(there))
        verdicts: dict[tuple[Class, str], list[str]] = {}
        for name, here in known.items():
            if here.class_ != "new":
                continue
            entry = there[name]
            of_class, reason = judge(
                self._spec, Seen(here.kind, here.size, here.mtime_ns), Seen(entry.kind, entry.size, entry.mtime_ns)
            )
            verdicts.setdefault((of_class, reason), []).append(here.place)
            self._count("new", here.kind, here.size, -1)
            self._count(of_class, here.kind, here.size, 1)
        plans.judge(tx, verdicts)
        self.seen += len(page.entries)
        if self._is_directory and not self._onto_file:
            self._add(
                tx,
                [
                    Entry(os.fsencode(one.path), one.kind, one.size, one.mtime_ns, "extra")
                    for name, one in there.items()
                    if name not in known
                ],
            )

    def finish(
        self, tx: Transaction, source_errors: int, source_troubles: Sequence[str], *, alike: bool, free: int | None
    ) -> None:
        """Both listings are compared: the plan is ready."""
        spec, sums = self._spec, self.sums()
        speed = plans.speed(tx, self._job_id, spec.source_agent_id, spec.destination_agent_id)
        if speed is None:
            sums["estimate_s"] = None
            sums["estimate_note"] = "nothing has been moved between these agents yet"
        else:
            sums["estimate_s"] = round(estimate(self._sums, speed.bytes_per_s, speed.files_per_s), 1)
            sums["estimate_note"] = f"by the last runs {'of this job' if speed.same_job else 'between its agents'}"
        listings = Listings(
            source_errors,
            source_troubles,
            self._troubles,
            self._trouble_texts,
            self._is_directory,
            self._onto_file,
            alike,
            free,
        )
        plans.update(tx, self._plan_id, status="ready", sums=sums, warnings=warnings(spec, self._sums, listings))

    def _add(self, tx: Transaction, entries: list[Entry]) -> None:
        added = plans.add(tx, self._plan_id, entries)
        for entry in entries:
            if entry.path in added:
                added.discard(entry.path)
                self._count(entry.class_, entry.kind, entry.size, 1)

    def _count(self, of_class: str, kind: str, size: int, by: int) -> None:
        if kind != "directory":
            self._sums[of_class][0] += by
            self._sums[of_class][1] += by * size
        elif of_class == "new":
            self._directories += by
