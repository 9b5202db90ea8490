"""How the big tables are listed: the orders and filters that their indexes serve (``pages.py``, db/migrations/0007_api.sql)."""

from __future__ import annotations

from typing import Final

from fileflux.jobs.status import RunStatus, TransferStatus
from fileflux.storage import jobs, runs, transfers
from fileflux.storage.pages import Filter, Listing, Sort

_SOURCE: Final = "(spec ->> 'source_agent_id')::bigint"
_DESTINATION: Final = "(spec ->> 'destination_agent_id')::bigint"
_EITHER_END: Final = (f"{_SOURCE} = %(value)s", f"{_DESTINATION} = %(value)s")

JOBS: Final = Listing(
    jobs.from_values,
    jobs.COLUMNS,
    "jobs",
    sorts={"name": Sort("text"), "created_at": Sort("time"), "updated_at": Sort("time")},
    filters={
        "ad_hoc": Filter(("ad_hoc = %(value)s",)),
        "name": Filter(("name = %(value)s",)),
        "tag": Filter(("spec -> 'tags' ? %(value)s",)),
        "agent_id": Filter(_EITHER_END),
        "enabled": Filter(("enabled = %(value)s",)),
    },
    always=("deleted_at IS NULL",),
)

# ``since`` and ``until`` are refused with the other orders, where they would be a scan.
RUNS: Final = Listing(
    runs.from_values,
    runs.COLUMNS,
    "runs",
    sorts={
        "id": Sort("number", filters=frozenset({"job_id"}), narrowed={"job_id": "(id + 0)"}),
        "created_at": Sort(
            "time",
            spread={"job_id": "status", "agent_id": "status"},
            narrowed={
                "job_id": "coalesce(created_at, 'infinity')",
                "agent_id": "coalesce(created_at, 'infinity')",
                "status": "coalesce(created_at, '-infinity')",
            },
        ),
        "started_at": Sort(
            "time",
            "coalesce(started_at, 'infinity')",
            optional=True,
            filters=frozenset({"status", "job_id"}),
            spread={"": "status"},
        ),
        "ended_at": Sort(
            "time",
            "coalesce(ended_at, 'infinity')",
            optional=True,
            filters=frozenset({"status"}),
            spread={"": "status"},
        ),
    },
    filters={
        "job_id": Filter(("job_id = %(value)s",)),
        "status": Filter(("status = %(value)s",), of=tuple(RunStatus)),
        # A job names its agents already.
        "agent_id": Filter(_EITHER_END, without=frozenset({"job_id"})),
        "since": Filter(("{key} >= %(value)s",)),
        "until": Filter(("{key} < %(value)s",)),
    },
    default="-created_at",
)
"""Newest first. ``until`` is the first moment that does not belong to it."""

TRANSFERS: Final = Listing(
    transfers.from_values,
    transfers.COLUMNS,
    "transfers",
    sorts={
        "id": Sort(
            "number",
            spread={"run_id": "status", "job_id": "status"},
            narrowed={"run_id": "(id + 0)", "job_id": "(id + 0)", "status": "(id - 0)"},
        ),
        "started_at": Sort(
            "time",
            "coalesce(started_at, 'infinity')",
            optional=True,
            filters=frozenset({"run_id"}),
            needs=frozenset({"run_id"}),
        ),
    },
    filters={
        "run_id": Filter(("run_id = %(value)s",)),
        "job_id": Filter(("job_id = %(value)s",), without=frozenset({"run_id"})),
        "status": Filter(("status = %(value)s",), of=tuple(TransferStatus)),
        "code": Filter(("(code = %(value)s AND code <> '')",), needs=frozenset({"run_id"})),
        "filename": Filter(("filename ILIKE %(value)s",), needs=frozenset({"run_id", "job_id"}), search=True),
    },
    default="-id",
)
"""Newest first."""
