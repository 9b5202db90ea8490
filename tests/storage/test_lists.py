"""Lists against a plain reading of all rows: every order, filter and page; and how PostgreSQL reads them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from fileflux.errors import LocalProtocolError
from fileflux.jobs.models import JobSpec
from fileflux.storage import agents, jobs, transfers
from fileflux.storage.lists import JOBS, RUNS, TRANSFERS
from fileflux.storage.pages import Ask, Listing, Sort, contains
from fileflux.storage.pool import Database, Transaction

MIDDLE = datetime(2026, 1, 1, 0, 0, 12, tzinfo=UTC)
END = datetime.max.replace(tzinfo=UTC)


@pytest.fixture
def tx(database: Database) -> Iterator[Transaction]:
    """Three agents, four jobs, 24 runs with equal times among them, and 48 transfers."""
    with database.transaction() as tx:
        ends = [agents.create(tx, name).id for name in ("a", "b", "c")]
        for number in range(4):
            spec = JobSpec(
                f"job {number}",
                ends[number % 3],
                "/in",
                ends[(number + 1) % 3 if number else 0],
                "/out",
                tags=(f"t{number % 2}",),
            )
            jobs.create(tx, spec, "user", enabled=number != 1, ad_hoc=number == 3)
        tx.execute("UPDATE jobs SET created_at = '2026-01-01Z', updated_at = updated_at + id % 2 * interval '1 hour'")
        tx.execute(
            "INSERT INTO runs (job_id, spec, status, requested_by, created_at, ended_at, deadline_at)"
            " SELECT j.id, j.spec, (ARRAY['queued', 'failed', 'succeeded', 'failed', 'transferring'])[1 + n % 5], 'u',"
            " '2026-01-01Z'::timestamptz + make_interval(secs => n / 2 * 2),"
            " CASE WHEN n % 5 IN (1, 2, 3) THEN '2026-01-02Z'::timestamptz - make_interval(secs => n / 3) END, now()"
            " FROM generate_series(1, 24) n JOIN jobs j ON j.name = 'job ' || n % 4 ORDER BY n"
        )
        tx.execute(
            "INSERT INTO transfers (run_id, job_id, path, filename, size, mtime_ns, mode, status, part, chunk_size, total_chunks, started_at)"
            " SELECT r.id, r.job_id, int8send(r.id * 10 + n), '100%_' || n || CASE WHEN n = 1 THEN '\\A' ELSE 'b' END, 1, 1, 1,"
            " CASE WHEN n = 1 THEN 'failed' ELSE 'pending' END, repeat('0', 32), 1, 1, CASE WHEN n = 1 THEN r.created_at END"
            " FROM runs r CROSS JOIN generate_series(1, 2) n ORDER BY r.id, n"
        )
        tx.execute("UPDATE transfers SET code = 'no_space' WHERE status = 'failed' AND run_id % 2 = 0")
        yield tx


def ids(tx: Transaction, table: str) -> list[int]:
    return [row[0] for row in tx.all(f"SELECT id FROM {table} ORDER BY id")]


def fits(name: str, value: Any, row: Any) -> bool:
    match name:
        case "agent_id":
            return value in (row.spec["source_agent_id"], row.spec["destination_agent_id"])
        case "tag":
            return value in row.spec["tags"]
        case "status":
            return row.status in value
        case "since":
            return row.created_at >= value
        case "until":
            return row.created_at < value
        case "filename":
            return (
                value[1:-1].replace("\\%", "%").replace("\\_", "_").replace("\\\\", "\\").lower()
                in row.filename.lower()
            )
        case _:
            return getattr(row, name) == value


def walk(tx: Transaction, listing: Listing[Any], ask: Ask) -> list[Any]:
    """All rows of all pages, and that no page but the last is short."""
    rows: list[Any] = []
    after = None
    while True:
        found = listing.page(tx, Ask(ask.limit, ask.sort, ask.descending, after, ask.filters))
        rows += found.rows
        after = found.after
        if after is None:
            return rows
        assert len(found.rows) == ask.limit


def check(tx: Transaction, listing: Listing[Any], table: str, values: dict[str, list[Any]]) -> int:
    """Every combination that is not refused, both ways; returns how many had rows."""
    everything = [listing._make(row) for row in tx.all(f"SELECT {listing._select} FROM {table}")]
    counted = 0
    for sort, given, descending in itertools.product(
        listing.sorts,
        [some for size in range(4) for some in itertools.combinations(values, size)],
        (False, True),
    ):
        if any(listing.refusals(sort, frozenset(given))):
            with pytest.raises(LocalProtocolError):
                listing.page(tx, Ask(5, sort, descending, None, dict.fromkeys(given, 1)))
            continue
        for chosen in itertools.product(*(values[name] for name in given)):
            filters = dict(zip(given, chosen, strict=True))
            expected = [row for row in everything if all(fits(name, value, row) for name, value in filters.items())]
            expected.sort(key=lambda row: (getattr(row, sort) or END, row.id), reverse=descending)
            found = walk(tx, listing, Ask(5, sort, descending, None, filters))
            assert [row.id for row in found] == [row.id for row in expected], (sort, filters)
            counted += bool(found)
    return counted


def test_every_list_is_what_a_plain_reading_gives(tx: Transaction) -> None:
    first_agent, first_job, first_run = (ids(tx, table)[0] for table in ("agents", "jobs", "runs"))
    statuses = [["failed"], ["queued", "succeeded", "failed"], ["paused"]]
    assert check(
        tx,
        JOBS,
        "jobs",
        {"ad_hoc": [False, True], "name": ["job 2"], "tag": ["t0"], "agent_id": [first_agent], "enabled": [True]},
    )
    assert check(
        tx,
        RUNS,
        "runs",
        {
            "job_id": [first_job, -1],
            "status": statuses,
            "agent_id": [first_agent],
            "since": [MIDDLE],
            "until": [MIDDLE],
        },
    )
    assert check(
        tx,
        TRANSFERS,
        "transfers",
        {
            "run_id": [first_run],
            "job_id": [first_job],
            "status": [["failed"], ["failed", "pending"]],
            "code": ["no_space", "io"],
            "filename": [contains(text) for text in ("%", "_1\\a", "100%_", "%%", "x")],
        },
    )


def test_a_search_looks_at_so_many_rows_and_goes_on(tx: Transaction) -> None:
    small = Listing(
        TRANSFERS._make, transfers.COLUMNS, "transfers", sorts=TRANSFERS.sorts, filters=TRANSFERS.filters, search_rows=3
    )
    job_id = ids(tx, "jobs")[0]
    filters = {"job_id": job_id, "filename": contains("\\a")}
    pages: list[list[int]] = []
    after = None
    while not pages or after is not None:
        found = small.page(tx, Ask(50, "id", True, after, filters))
        pages.append([row.id for row in found.rows])
        after = found.after
    seen = [number for page in pages for number in page]
    every = [row[0] for row in tx.all("SELECT id FROM transfers WHERE job_id = %s AND status = 'failed'", (job_id,))]
    assert seen == sorted(every, reverse=True)
    assert len(pages) > len(every) / 3
    nothing = small.page(tx, Ask(50, "id", True, None, {"job_id": job_id, "filename": contains("nothing")}))
    assert (nothing.rows, nothing.after is None) == ([], False)


ASKS = [
    (RUNS, Ask(50, "created_at", True)),
    (RUNS, Ask(50, "created_at", True, None, {"job_id": 1, "until": MIDDLE})),
    (RUNS, Ask(50, "created_at", True, None, {"status": ["failed", "partial"], "since": MIDDLE})),
    (RUNS, Ask(50, "created_at", False, None, {"agent_id": 1, "status": ["failed"]})),
    (RUNS, Ask(50, "started_at", True)),
    (RUNS, Ask(50, "started_at", True, None, {"job_id": 1, "status": ["failed"]})),
    (RUNS, Ask(50, "ended_at", True)),
    (RUNS, Ask(50, "id", True, None, {"job_id": 1})),
    (TRANSFERS, Ask(50, "id", True)),
    (TRANSFERS, Ask(50, "id", True, None, {"run_id": 1})),
    (TRANSFERS, Ask(50, "id", True, None, {"job_id": 1, "status": ["failed"]})),
    (TRANSFERS, Ask(50, "id", True, None, {"status": ["failed", "cancelled"]})),
    (TRANSFERS, Ask(50, "id", True, None, {"run_id": 1, "filename": "%x%"})),
    (TRANSFERS, Ask(50, "id", True, None, {"run_id": 1, "code": "io"})),
    (TRANSFERS, Ask(50, "id", False, None, {"run_id": 1, "code": "io", "status": ["failed"]})),
    (TRANSFERS, Ask(50, "started_at", True, None, {"run_id": 1})),
    (JOBS, Ask(50, "name", False, None, {"ad_hoc": False})),
]


def test_pages_are_read_in_the_order_of_an_index(tx: Transaction) -> None:
    """No page may sort its table: with a million rows that is a second. What bitmaps find would have to be sorted too."""
    tx.execute("SET LOCAL enable_seqscan = off")
    tx.execute("SET LOCAL enable_bitmapscan = off")
    tx.execute("SET LOCAL enable_sort = off")
    for listing, ask in ASKS:
        sql, params = listing.statement(ask, 51)
        (text,) = tx.one(f"EXPLAIN (FORMAT JSON) {sql}", params) or ()
        plan = text if isinstance(text, list) else json.loads(text)
        for node in nodes(plan[0]["Plan"]):
            assert node["Node Type"] not in ("Seq Scan", "Sort", "Incremental Sort", "Bitmap Heap Scan"), (ask, node)
            if node["Node Type"] == "Index Scan" and ask.filters:
                # The filters of the page are what the index begins with; only a place in its order may be left to check.
                assert "Filter" not in node or ask.sort == "name", (ask, node)


def test_the_codes_of_a_run_are_counted_up_to_a_bound(tx: Transaction) -> None:
    run_id = ids(tx, "runs")[0]
    assert transfers.codes_of(tx, run_id, 10) == []
    insert = (
        "INSERT INTO transfers (run_id, job_id, path, filename, size, mtime_ns, mode, status, code, part, chunk_size, total_chunks)"
        " SELECT id, job_id, convert_to(%s || n, 'UTF8'), 'f', 1, 1, 1, 'failed', %s, repeat('0', 32), 1, 1"
        " FROM runs CROSS JOIN generate_series(1, %s) n WHERE id = %s"
    )
    for code, count in (("no_space", 12), ("io", 3)):
        tx.execute(insert, (code, code, count, run_id))
    assert transfers.codes_of(tx, run_id, 10) == [("io", 3), ("no_space", 10)]
    assert len(TRANSFERS.page(tx, Ask(50, "id", True, None, {"run_id": run_id, "code": "no_space"})).rows) == 12


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def test_orders_and_branches_are_bounded(tx: Transaction) -> None:
    with pytest.raises(KeyError):
        RUNS.page(tx, Ask(5, "id; DROP TABLE runs"))
    assert Sort("number").filters is None
    assert len(RUNS.page(tx, Ask(10**9)).rows) == 24
