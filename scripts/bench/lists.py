"""Every list of the API over a long history: each order with each filter that it takes, the first page and deep ones.

    python scripts/bench/lists.py [--transfers 10000000] [--large 1000000] [--keep FOLDER] [--json FILE]

Makes a PostgreSQL of its own with so many files, a tenth as many runs, as many audit entries as runs, and one run of ``--large`` files; with
``--keep`` it is left there for the next time, and old runs are not removed as they are without. Each page is read three times: the best of them is compared with the limit, since what is
measured is the plan and not who else uses the machine. Prints the slowest; ends with 1 when one is above the limit.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fileflux.audit import log as audit
from fileflux.protocol.limits import Limits
from fileflux.storage import agents, history
from fileflux.storage.embedded import EmbeddedPostgres
from fileflux.storage.history import Term
from fileflux.storage.lists import JOBS, RUNS, TRANSFERS
from fileflux.storage.migrate import migrate
from fileflux.storage.pages import After, Ask, Listing, contains
from fileflux.storage.pool import Database
from scripts.bench.load_history import enrol, fill
from scripts.bench.rig import work_folder

LIMIT_MS = 200.0
PAGE = 50
DEPTHS = (0.5, 0.98)
"""Of the table's rows are passed when a deep page begins."""
TOGETHER = 3
"""Filters at once."""
BYTES_EACH = 900
"""Of a file's row with its indexes, and its share of a run's."""
SHOWN = 12
NOBODY = 999_999_999


@dataclass(frozen=True)
class Subject:
    listing: Listing[Any]
    table: str
    values: Mapping[str, tuple[Any, ...]]
    """For each filter: what many rows have, what few have, what none has."""


@dataclass(frozen=True)
class Timing:
    what: str
    milliseconds: float
    cold: float
    rows: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transfers", type=int, default=10_000_000)
    parser.add_argument("--large", type=int, default=0, help="files of one run; a tenth of all unless given")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = options.keep or work_folder("lists", options.transfers * BYTES_EACH)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    server = EmbeddedPostgres(
        folder / "postgres", settings={"fsync": "off", "synchronous_commit": "off", "max_wal_size": "4GB"}
    )
    url = server.start()
    try:
        return measure(url, options)
    finally:
        server.stop()
        if options.keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def measure(url: str, options: argparse.Namespace) -> int:
    with closing(Database(url, Limits(database_statement_timeout=600.0), size=2)) as database:
        migrate(database)
        with closing(psycopg2.connect(url)) as connection:
            make(connection, options.transfers, options.large or options.transfers // 10)
            found = subjects(connection)
        timings = [timing for subject in found for timing in timed(database, subject)]
        removal = 0.0 if options.keep else time_removal(database)
    timings.sort(key=lambda one: -one.milliseconds)
    for one in timings[:SHOWN]:
        print(f"{one.milliseconds:8.1f} ms ({one.cold:.1f} the first time), {one.rows} rows: {one.what}")
    worst = timings[0].milliseconds
    print(f"{len(timings)} pages; the slowest is {worst / LIMIT_MS:.3f} of the limit of {LIMIT_MS:.0f} ms")
    if not options.keep:
        print(
            f"history: the longest transaction of the removal of old runs took {removal:.1f} ms, {removal / LIMIT_MS:.3f} of the limit"
        )
    if options.json is not None:
        figures = {"pages": len(timings), "worst ms": worst, "worst": timings[0].what, "removal ms": removal}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 1 if max(worst, removal) > LIMIT_MS else 0


def make(connection: Any, transfers: int, large: int) -> None:
    """The history, unless it is there."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM runs")
        if cursor.fetchone()[0]:
            return
    began = time.monotonic()
    fill(connection, transfers - large)
    enrol(connection, 2000)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO runs (job_id, spec, status, requested_by, created_at, started_at, ended_at, deadline_at, planned, files_total, files_done)"
            " SELECT id, spec, 'failed', 'ann', now(), now(), now(), now(), true, %(n)s, %(n)s FROM jobs ORDER BY id LIMIT 1 RETURNING id",
            {"n": large},
        )
        run_id = cursor.fetchone()[0]
        for start in range(0, large, 250_000):
            cursor.execute(
                "INSERT INTO transfers (run_id, job_id, path, filename, size, mtime_ns, mode, code, status, part, chunk_size, total_chunks, started_at)"
                " SELECT r.id, r.job_id, convert_to('big/' || n, 'UTF8'), 'big/' || n, 1000, 0, 420,"
                " CASE WHEN n %% 100000 = 0 THEN 'io' WHEN n %% 1000 = 0 THEN 'no_space' ELSE '' END, CASE WHEN n %% 1000 = 0 THEN 'failed'"
                " WHEN n %% 3 = 0 THEN 'skipped' ELSE 'completed' END, lpad(to_hex(n), 32, '0'), 8388608, 1, r.started_at + n * interval '1 ms'"
                " FROM runs r CROSS JOIN generate_series(%s, %s) n WHERE r.id = %s",
                (start + 1, min(start + 250_000, large), run_id),
            )
            connection.commit()
        cursor.execute(
            "INSERT INTO audit (at, actor, action, object, outcome) SELECT created_at, CASE WHEN id % 1000 = 0 THEN 'ann' ELSE 'hub' END,"
            " 'run.ended', 'run:' || id, CASE WHEN status = 'failed' THEN 'failed' ELSE 'ok' END FROM runs ORDER BY id"
        )
    connection.commit()
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("SELECT pg_size_pretty(pg_database_size(current_database()))")
        size = cursor.fetchone()[0]
    connection.autocommit = False
    print(f"{transfers:,} files made in {time.monotonic() - began:.0f} s: {size}", flush=True)


def subjects(connection: Any) -> list[Subject]:
    now = datetime.now(UTC)
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(id) FROM runs")
        large = cursor.fetchone()[0]
        cursor.execute("SELECT job_id FROM runs WHERE id = %s", (large,))
        job = cursor.fetchone()[0]
        cursor.execute("SELECT min(id), max(id) FROM agents")
        busy, idle = cursor.fetchone()
    times = {"since": (now - timedelta(days=400), now), "until": (now, now - timedelta(days=400))}
    return [
        Subject(
            JOBS,
            "jobs",
            {
                "ad_hoc": (False, True),
                "name": ("nightly 7", "no such"),
                "tag": ("none",),
                "agent_id": (busy, idle),
                "enabled": (True, False),
            },
        ),
        Subject(
            RUNS,
            "runs",
            {
                "job_id": (job, NOBODY),
                "status": (["succeeded"], ["failed"], ["cancelled", "paused"]),
                "agent_id": (busy, idle),
                **times,
            },
        ),
        Subject(
            TRANSFERS,
            "transfers",
            {
                "run_id": (large, 5, NOBODY),
                "job_id": (job, NOBODY),
                "status": (["completed"], ["failed"], ["cancelled", "waiting"]),
                "code": ("no_space", "io", "none"),
                "filename": (contains("FILE-3"), contains("nothing like it")),
            },
        ),
        Subject(
            audit.LIST,
            "audit",
            {
                "actor": ("hub", "ann", "nobody"),
                "action": ("run.ended", "none"),
                "object": (f"run:{large}", "none"),
                "outcome": ("ok", "refused"),
                **times,
            },
        ),
        Subject(
            agents.LIST,
            "agents",
            {name: values for name, values in AGENT_VALUES.items() if name in agents.LIST.filters},
        ),
    ]


AGENT_VALUES = {
    "name": ("idle-7", "no such"),
    "tag": ("none",),
    "online": ("{}",),
    "status": (["offline"], ["new"]),
    "search": (contains("idle-1"),),
}


def asks(database: Database, subject: Subject) -> Iterator[Ask]:
    """Each order in both directions, with each few filters, from the beginning and from deep inside."""
    listing = subject.listing
    with database.transaction() as tx:
        top = tx.one(f"SELECT max(id) FROM {subject.table}")
        places = [
            listing.page(tx, Ask(1, "id", after=After(None, int((top or [1])[0] * depth)))).rows for depth in DEPTHS
        ]
    rows = [found[0] for found in places if found]
    names = sorted(name for name in subject.values if name in listing.filters)
    for sort, descending in itertools.product(listing.sorts, (False, True)):
        afters = [None, *(After(None if sort == "id" else getattr(row, sort), row.id) for row in rows)]
        for count in range(TOGETHER + 1):
            for chosen in itertools.combinations(names, count):
                if any(listing.refusals(sort, frozenset(chosen))):
                    continue
                for values in itertools.product(*(subject.values[name] for name in chosen)):
                    filters = dict(zip(chosen, values, strict=True))
                    if "online" in filters and "status" not in filters:
                        continue
                    if "status" in filters and subject.table == "agents":
                        filters.setdefault("online", "{}")
                    for after in afters:
                        yield Ask(PAGE, sort, descending, after, filters)


def timed(database: Database, subject: Subject) -> Iterator[Timing]:
    for ask in asks(database, subject):
        took = []
        rows = 0
        for _ in range(3):
            began = time.perf_counter()
            with database.transaction() as tx:
                rows = len(subject.listing.page(tx, ask).rows)
            took.append((time.perf_counter() - began) * 1000)
            if took[0] < LIMIT_MS / 20:
                break
        order = ("-" if ask.descending else "") + ask.sort
        depth = "" if ask.after is None else f" after {ask.after.id}"
        yield Timing(f"{subject.table} by {order} with {ask.filters}{depth}", min(took), took[0], rows)


def time_removal(database: Database, seconds: float = 5.0) -> float:
    """Remove runs for some seconds as the hub would, also the one of very many files; the longest transaction in milliseconds."""
    term = Term(600, 600)
    longest = 0.0

    def step(run: Any) -> Any:
        nonlocal longest
        began = time.perf_counter()
        with database.transaction() as tx:
            found = run(tx)
        longest = max(longest, (time.perf_counter() - began) * 1000)
        return found

    until = time.monotonic() + seconds
    place = None
    while time.monotonic() < until:
        runs, place = step(lambda tx: history.old_runs(tx, term, place))  # noqa: B023  # called before it changes
        for run_id in runs[:100]:
            step(lambda tx: history.remove_some(tx, run_id, term))  # noqa: B023  # as above
        if place is None:
            break
    with database.transaction() as tx:
        row = tx.one("SELECT id FROM runs ORDER BY files_total DESC NULLS LAST LIMIT 1")
        tx.execute("UPDATE runs SET ended_at = now() - interval '700 days' WHERE id = %s", row or (0,))
        tx.execute("UPDATE jobs SET deleted_at = now() WHERE id = (SELECT job_id FROM runs WHERE id = %s)", row or (0,))
    large = (row or (0,))[0]
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if step(lambda tx: history.remove_some(tx, large, term)) is None:
            break
    return longest


if __name__ == "__main__":
    sys.exit(main())
