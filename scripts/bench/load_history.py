"""A database with years of history, made by generate_series, and agents with tokens in it. Used by load.py and lists.py."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from psycopg2.extras import execute_values

JOBS = 200
BATCH = 250_000
"""Transfers of one statement: its memory and its time stay the same for any number of them."""


def fill(connection: Any, transfers: int, per_run: int = 10) -> None:
    """``transfers`` files in runs of ``per_run``, spread over two years up to this moment; one file in 50 failed.

    For an empty database: the indexes of the files are made when all are there, which takes a fifth of the time.
    """
    runs = transfers // per_run
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO agents (name, status, last_seen) VALUES ('old-a', 'known', now()), ('old-b', 'known', now()) RETURNING id"
        )
        source, destination = (row[0] for row in cursor.fetchall())
        cursor.execute(
            "INSERT INTO jobs (name, spec, created_by) SELECT 'nightly ' || n, jsonb_build_object('name', 'nightly ' || n,"
            " 'source_agent_id', %s::bigint, 'source_path', '/srv/' || n, 'destination_agent_id', %s::bigint, 'destination_path', '/backup/' || n),"
            " 'admin' FROM generate_series(1, %s) n",
            (source, destination, JOBS),
        )
        cursor.execute(
            "INSERT INTO runs (job_id, spec, status, requested_by, created_at, started_at, ended_at, deadline_at, planned, files_total, files_done,"
            " files_failed, bytes_total, bytes_done, bytes_wire)"
            " SELECT j.id, j.spec, CASE WHEN n %% 5 = 0 THEN 'partial' ELSE 'succeeded' END, 'scheduler', t, t, t + interval '1 minute',"
            " t + interval '7 days', true, %(per)s, %(per)s - (n %% 5 = 0)::int, (n %% 5 = 0)::int, %(per)s * 1000000, %(per)s * 1000000, %(per)s * 400000"
            " FROM generate_series(1, %(runs)s) n"
            " CROSS JOIN LATERAL (SELECT now() - interval '2 years' * (1 - n / %(runs)s::float) AS t) times"
            " JOIN LATERAL (SELECT id, spec FROM jobs WHERE name = 'nightly ' || (1 + n %% %(jobs)s)) j ON true",
            {"per": per_run, "runs": runs, "jobs": JOBS},
        )
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename = 'transfers' AND indexname <> 'transfers_pkey'"
        )
        indexes = cursor.fetchall() if transfers > BATCH else []
        for name, _ in indexes:
            cursor.execute(f"DROP INDEX {name}")
        cursor.execute("SELECT min(id), max(id) FROM runs")
        first, last = cursor.fetchone()
        for start in range(first, last + 1, BATCH // per_run):
            add_files(cursor, start, start + BATCH // per_run, per_run)
            connection.commit()
        for _, definition in indexes:
            cursor.execute(definition)
            connection.commit()
    connection.commit()
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    connection.autocommit = False


def add_files(cursor: Any, first_run: int, end: int, per_run: int) -> None:
    """The files of the runs from one id to before another."""
    cursor.execute(
        "INSERT INTO transfers (run_id, job_id, path, filename, size, mtime_ns, mode, status, reason, code, part, chunk_size, total_chunks,"
        " completed_chunks, bytes_done, bytes_wire, file_hash, started_at, ended_at)"
        " SELECT r.id, r.job_id, convert_to('data/file-' || n || '.csv', 'UTF8'), 'data/file-' || n || '.csv', 1000000, 0, 420,"
        " CASE WHEN n = 1 AND r.files_failed > 0 THEN 'failed' ELSE 'completed' END, CASE WHEN n = 1 AND r.files_failed > 0 THEN 'Permission denied' ELSE '' END,"
        " CASE WHEN n = 1 AND r.files_failed > 0 THEN 'permission' ELSE '' END, lpad(to_hex(r.id), 32, '0'), 8388608, 1, 1, 1000000, 400000,"
        " sha256(int8send(r.id)), r.started_at, r.ended_at FROM runs r CROSS JOIN generate_series(1, %s) n WHERE r.id >= %s AND r.id < %s",
        (per_run, first_run, end),
    )


def enrol(connection: Any, count: int) -> list[str]:
    """So many agents, each with a token; returns the tokens."""
    values = ["ffx_" + secrets.token_urlsafe(32) for _ in range(count)]
    with connection.cursor() as cursor:
        ids = execute_values(
            cursor,
            "INSERT INTO agents (name) VALUES %s RETURNING id",
            [(f"idle-{n}",) for n in range(count)],
            page_size=1000,
            fetch=True,
        )
        execute_values(
            cursor,
            "INSERT INTO agent_tokens (agent_id, name, prefix, sha256) VALUES %s",
            [
                (agent_id[0], "load", value[:12], hashlib.sha256(value.encode()).digest())
                for agent_id, value in zip(ids, values, strict=True)
            ],
            page_size=1000,
        )
    connection.commit()
    return values
