"""Databases for tests, used again: emptying one takes a tenth of the time that making one does, and nine hundred tests want one each.

A database that comes back is emptied to the last row and the first id. One that is then not exactly as it was when it was made (another table, a
right, a setting, something that the planner has learned) is dropped, and the next test gets a new one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing

import psycopg2

_OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
_USED = """
SELECT quote_ident(relname) FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'schema_migrations' AND pg_relation_size(oid) > 0"""
_FIRST_IDS = """
SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)
FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL"""
_STATE = """
WITH relation AS (SELECT * FROM pg_class WHERE relnamespace = 'public'::regnamespace)
SELECT md5(string_agg(fact, ' ' ORDER BY fact)) FROM (
    SELECT concat_ws('|', 'relation', oid, relname, relkind, relowner, relacl, reloptions, relnatts, relrowsecurity, relhasrules,
                     CASE relkind WHEN 'r' THEN concat_ws('|', reltuples, relpages) END) FROM relation
    UNION ALL SELECT concat_ws('|', 'column', attrelid, attnum, attname, atttypid, atttypmod, attnotnull, atthasdef, attacl, attstattarget)
        FROM pg_attribute WHERE attrelid IN (SELECT oid FROM relation)
    UNION ALL SELECT concat_ws('|', 'statistic', starelid, staattnum) FROM pg_statistic WHERE starelid IN (SELECT oid FROM relation)
    UNION ALL SELECT concat_ws('|', 'default', oid, pg_get_expr(adbin, adrelid)) FROM pg_attrdef
    UNION ALL SELECT concat_ws('|', 'index', indexrelid, indisvalid, indisunique) FROM pg_index WHERE indrelid IN (SELECT oid FROM relation)
    UNION ALL SELECT concat_ws('|', 'constraint', oid, pg_get_constraintdef(oid)) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT concat_ws('|', 'trigger', oid, tgname, tgenabled) FROM pg_trigger
    UNION ALL SELECT concat_ws('|', 'function', oid, proname, prosrc) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT concat_ws('|', 'type', oid, typname) FROM pg_type WHERE typnamespace = 'public'::regnamespace
    UNION ALL SELECT concat_ws('|', 'schema', oid, nspname, nspacl) FROM pg_namespace WHERE nspname NOT LIKE 'pg_t%'
    UNION ALL SELECT concat_ws('|', 'database', datdba, datallowconn, datconnlimit, datacl) FROM pg_database WHERE datname = current_database()
    UNION ALL SELECT concat_ws('|', 'setting', setrole, setconfig) FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase
        WHERE datname = current_database()
    UNION ALL SELECT concat_ws('|', 'migration', number, name, sha256) FROM schema_migrations
) AS everything (fact)"""


class Databases:
    """``take`` one for a test, ``give_back`` it afterwards. ``make`` gives the URL of a new one with the present schema, ``drop`` removes one."""

    def __init__(self, make: Callable[[], str], drop: Callable[[str], None]) -> None:
        self._make, self._drop = make, drop
        self._made: dict[str, str] = {}
        """The state of each when it was new."""
        self._free: list[str] = []

    def take(self) -> str:
        if self._free:
            return self._free.pop()
        url = self._make()
        with closing(_connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute(_STATE)
            self._made[url] = cursor.fetchone()[0]
        return url

    def give_back(self, url: str) -> None:
        if self._is_as_new(url):
            self._free.append(url)
        else:
            del self._made[url]
            self._drop(url)

    def _is_as_new(self, url: str) -> bool:
        try:
            with closing(_connect(url)) as connection, connection.cursor() as cursor:
                _alone(cursor)
                # Neither foreign keys nor the triggers that keep the audit log say anything now.
                cursor.execute("SET session_replication_role = replica")
                _empty(cursor)
                cursor.execute(_FIRST_IDS)
                cursor.execute(_STATE)
                return bool(cursor.fetchone() == (self._made[url],))
        except psycopg2.Error:
            return False


def _empty(cursor: psycopg2.extensions.cursor) -> None:
    """Truncate what has rows, or had some: nothing of them is left in any file, so that the planner sees a new table."""
    cursor.execute(_USED)
    used = [row[0] for row in cursor.fetchall()]
    if used:
        cursor.execute(f"TRUNCATE {', '.join(used)} CASCADE")  # names of ours


def _connect(url: str) -> psycopg2.extensions.connection:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    return connection


def _alone(cursor: psycopg2.extensions.cursor) -> None:
    """End every other connection, as dropping the database would."""
    cursor.execute(f"SELECT pg_terminate_backend(pid) {_OTHERS}")  # noqa: S608  # a text of ours
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        cursor.execute(f"SELECT count(*) {_OTHERS}")  # noqa: S608  # a text of ours
        if cursor.fetchone() == (0,):
            return
        time.sleep(0.01)
    raise psycopg2.OperationalError("somebody does not let go of the database")
