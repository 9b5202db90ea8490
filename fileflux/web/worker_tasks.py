"""The tasks of the hub's workers: those that every layer has use for, and those that need what the web layer knows."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fileflux.errors import NotFoundError
from fileflux.protocol.limits import MIB
from fileflux.workers import tasks
from fileflux.workers.slots import ArenaView
from fileflux.workers.tasks import Task

if TYPE_CHECKING:
    from fileflux.jobs.job_file import Form, Row

PAGE_ROWS: Final = 200
PAGE_BYTES: Final = MIB
"""Of JSON, and one job more, which has at most about another; an answer may have 4 MiB."""
FILES_MAX: Final = 4
"""Files of jobs that one worker keeps between two pages; the oldest is forgotten."""


def hub_tasks(init: dict[str, Any], arena: ArenaView | None) -> Mapping[str, Task]:
    """Those of ``workers/tasks.py``, and:

    ``job_file_open {token, path, form, agents: {name: id}}``: read the file at ``path``; ``{rows}``: how many it has.
    ``job_file_page {token, start}``: ``{rows: [{row, name, spec, enabled} or {row, name, errors}]}``, as many as one answer may hold.
    ``choose_paths {include, exclude, recursive, glob, paths}``: as in ``jobs/matching.py``.
    ``job_file_close {token}``. All three with the token as their key: a file is kept by one worker.
    """
    files = JobFiles()
    own: dict[str, Task] = {"job_file_open": files.open, "job_file_page": files.page, "job_file_close": files.close}
    own["choose_paths"] = _choose_paths
    return {**tasks.hub_tasks(init, arena), **own}


def _choose_paths(args: dict[str, Any]) -> dict[str, Any]:
    from fileflux.jobs.matching import choose_paths

    return choose_paths(args, time.monotonic)


@dataclass(frozen=True, slots=True)
class _JobFile:
    form: Form
    rows: list[Row]
    agents: dict[str, int]
    first: dict[str, int]
    """The row in which a name is first, of the pages so far: they are asked for in their order."""


class JobFiles:
    """Files of jobs that are being imported."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, _JobFile] = OrderedDict()

    def open(self, args: dict[str, Any]) -> dict[str, Any]:
        from fileflux.jobs.job_file import parse

        rows = parse(Path(args["path"]).read_bytes(), args["form"])
        self._open[args["token"]] = _JobFile(args["form"], rows, args["agents"], {})
        while len(self._open) > FILES_MAX:
            self._open.popitem(last=False)
        return {"rows": len(rows)}

    def page(self, args: dict[str, Any]) -> dict[str, Any]:
        from fileflux.web.job_rows import check

        file = self._open.get(args["token"])
        if file is None:
            raise NotFoundError("the file is not known any more: send it again")
        shown: list[dict[str, Any]] = []
        size = 0
        for row in file.rows[args["start"] : args["start"] + PAGE_ROWS]:
            checked = check(row, file.form, file.agents)
            errors = dict(checked.errors)
            first = file.first.setdefault(checked.name, row.number)
            if checked.name and first != row.number:
                errors["name"] = [*errors.get("name", []), f"Row {first} has this name too."]
            one: dict[str, Any] = {"row": checked.row, "name": checked.name}
            if checked.posted is None or errors:
                one["errors"] = errors
            else:
                one |= {"spec": checked.posted.spec.to_json(), "enabled": checked.posted.enabled}
            shown.append(one)
            size += len(json.dumps(one))
            if size > PAGE_BYTES:
                break
        return {"rows": shown}

    def close(self, args: dict[str, Any]) -> dict[str, Any]:
        self._open.pop(args["token"], None)
        return {}
