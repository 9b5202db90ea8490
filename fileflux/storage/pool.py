"""Connections to PostgreSQL: a few, shared, each used by one transaction at a time.

Written in blocking style. The hub's server process calls ``green()`` once after monkey patching; from then on a query holds up
only its own greenlet. Errors of the database that pass with time are UnavailableError, so that callers need no psycopg2.
"""

from __future__ import annotations

import math
import queue
import select
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg2
import psycopg2.extensions
from psycopg2 import errorcodes
from psycopg2.extras import execute_values

from fileflux.errors import ConfigError, ConflictError, FluxError, NotFoundError, UnavailableError
from fileflux.protocol.limits import Limits

MIN_SERVER_VERSION = 140000
CONNECT_TIMEOUT_S = 5
POLL_S = 0.1
VALUES_PER_STATEMENT = 1000

Params = Sequence[Any] | Mapping[str, Any]

_PASSING = frozenset(
    {
        errorcodes.DEADLOCK_DETECTED,
        errorcodes.SERIALIZATION_FAILURE,
        errorcodes.LOCK_NOT_AVAILABLE,
        errorcodes.QUERY_CANCELED,
        errorcodes.ADMIN_SHUTDOWN,
        errorcodes.CRASH_SHUTDOWN,
        errorcodes.CANNOT_CONNECT_NOW,
        errorcodes.IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        errorcodes.READ_ONLY_SQL_TRANSACTION,
    }
)
_PASSING_CLASSES = ("08", "53")
"""Connection exceptions and insufficient resources (disk full, out of memory, too many connections)."""
_HOPELESS = ("password authentication failed", "no pg_hba.conf entry", "does not exist", "no password supplied")
"""libpq gives no code for a refused connection, only the server's sentence."""


ANSWER_MARGIN_S = 2.0
"""What a statement gets on this side beyond the time that the server gives it: then the server is frozen, or cut off without a word."""


class _Connection(psycopg2.extensions.connection):
    patience: float | None = float(CONNECT_TIMEOUT_S)
    """Seconds without a byte from the server; None: for ever. Until it is connected, those of connecting: libpq's own do not count in a greenlet."""


def green() -> None:
    """Make every psycopg2 connection of this process wait in its own greenlet. For the server's entry point, after patching."""
    from psycogreen.gevent import gevent_wait_callback

    def wait(connection: psycopg2.extensions.connection) -> None:
        patience = getattr(connection, "patience", _Connection.patience)
        try:
            gevent_wait_callback(connection, timeout=patience)
        except TimeoutError:
            raise psycopg2.OperationalError(f"the server has not answered for {patience:g} s") from None

    psycopg2.extensions.set_wait_callback(wait)


class Transaction:
    """One transaction, valid inside its ``with`` block only. Parameters are always passed apart from the SQL."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._cursor = connection.cursor()

    def take_its_time(self) -> None:
        """No time-out for what follows in this transaction, at either end: a migration of a large table, and the wait for another hub's."""
        self._connection.patience = None
        self.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")

    def execute(self, sql: str, params: Params = ()) -> int:
        """Run one statement; returns how many rows it touched.

        Like all methods here it raises FluxError (code ``bad_value``) for a value that the database cannot hold, such as NUL in a text.
        """
        try:
            self._cursor.execute(sql, params or None)
        except ValueError as error:
            raise FluxError(f"the database cannot hold a value: {error}", code="bad_value") from None
        return self._cursor.rowcount

    def one(self, sql: str, params: Params = ()) -> tuple[Any, ...] | None:
        """The first row of the result, or None."""
        self.execute(sql, params)
        return self._cursor.fetchone()

    def all(self, sql: str, params: Params = ()) -> list[tuple[Any, ...]]:
        """Every row of the result; the SQL has to bound it."""
        self.execute(sql, params)
        return self._cursor.fetchall()

    def values(self, sql: str, rows: Sequence[Sequence[Any]], template: str | None = None) -> list[tuple[Any, ...]]:
        """Run ``sql``, whose ``%s`` after VALUES stands for ``rows``, and return what its RETURNING gives.

        One statement for up to VALUES_PER_STATEMENT rows. ``template`` is the form of one row, with casts where needed.
        """
        if not rows:
            return []
        try:
            found: list[tuple[Any, ...]] = execute_values(
                self._cursor, sql, rows, template=template, page_size=VALUES_PER_STATEMENT, fetch=True
            )
        except ValueError as error:
            raise FluxError(f"the database cannot hold a value: {error}", code="bad_value") from None
        return found


@dataclass(frozen=True, slots=True)
class DatabaseStatistics:
    open: int
    in_use: int
    size: int


class Database:
    """A bounded set of connections to one database.

    ``url`` is a libpq URL or connection string. Nothing connects before the first use: call ``wait_until_ready`` at start,
    ``close`` at the end. Not to be carried over a fork.
    """

    def __init__(self, url: str, limits: Limits, size: int = 8) -> None:
        self._url = url
        self._limits = limits
        self._size = size
        self._patience = limits.database_statement_timeout + ANSWER_MARGIN_S
        # One place per connection; None is a place whose connection is still to be made. The last used comes first.
        self._places: queue.LifoQueue[_Connection | None] = queue.LifoQueue()
        for _ in range(size):
            self._places.put(None)
        self._open: set[_Connection] = set()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """A transaction that commits at the end of the block and rolls back when an exception leaves it.

        Raises UnavailableError when the database cannot be reached, is too slow or every connection stays in use, with the code
        ``commit_unknown`` when the connection broke during the commit: then read back what was stored before doing it again.
        ConflictError and NotFoundError stand for violated unique and foreign keys.
        """
        connection = self._take()
        try:
            try:
                yield Transaction(connection)
            except BaseException as error:
                self._abandon(connection, error)
                if isinstance(error, psycopg2.Error):
                    raise self._translate(error) from error
                raise
            try:
                connection.commit()
            except psycopg2.Error as error:
                lost = connection.closed or error.pgcode is None
                self._abandon(connection, error)
                if lost:
                    raise UnavailableError(
                        "the connection to the database broke during a commit; whether it was stored is not known",
                        code="commit_unknown",
                    ) from error
                raise self._translate(error) from error
            except BaseException as error:
                self._abandon(connection, error)
                raise
        finally:
            self._give_back(connection)

    def wait_until_ready(self, timeout: float) -> None:
        """Return when a transaction works.

        Raises ConfigError at once when waiting cannot help (wrong URL, password, database or version, a read-only server), and
        UnavailableError after ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            try:
                with self.transaction() as tx:
                    row = tx.one(
                        "SELECT current_setting('server_version_num')::int,"
                        " pg_is_in_recovery() OR current_setting('transaction_read_only')::bool"
                    )
            except UnavailableError as error:
                if any(sentence in error.message for sentence in _HOPELESS):
                    raise ConfigError(f"{error.message}; check the database URL") from error
                if time.monotonic() >= deadline:
                    raise
                time.sleep(POLL_S)
                continue
            assert row is not None  # noqa: S101  # for the type checker: such a SELECT has one row
            version, read_only = row
            if version < MIN_SERVER_VERSION:
                raise ConfigError(
                    f"PostgreSQL {version // 10000} is too old; {MIN_SERVER_VERSION // 10000} is the oldest supported"
                )
            if read_only:
                raise ConfigError(
                    "the database is a read-only replica, or set to read-only; the database URL must name the primary"
                )
            return

    def close(self) -> None:
        """Close the connections that are not in use. The others close at the end of their transaction's process."""
        emptied = 0
        with suppress(queue.Empty):
            while True:
                connection = self._places.get_nowait()
                emptied += 1
                if connection is not None:
                    self._discard(connection)
        for _ in range(emptied):
            self._places.put(None)

    def statistics(self) -> DatabaseStatistics:
        return DatabaseStatistics(len(self._open), max(0, self._size - self._places.qsize()), self._size)

    def _take(self) -> _Connection:
        try:
            connection = self._places.get(timeout=self._limits.database_statement_timeout)
        except queue.Empty:
            raise UnavailableError(f"all {self._size} connections to the database stayed in use") from None
        if connection is not None and (connection.closed or _spoke(connection)):
            self._discard(connection)
            connection = None
        if connection is not None:
            return connection
        try:
            return self._connect()
        except BaseException:
            self._places.put(None)
            raise

    def _connect(self) -> _Connection:
        try:
            connection = psycopg2.connect(
                self._url,
                connection_factory=_Connection,
                connect_timeout=CONNECT_TIMEOUT_S,
                application_name="fileflux",
                client_encoding="UTF8",
                keepalives_idle=30,
                keepalives_interval=10,
                keepalives_count=3,
            )
        except psycopg2.OperationalError as error:
            raise UnavailableError(f"cannot connect to the database: {_one_line(error)}") from error
        except psycopg2.Error as error:
            raise ConfigError(f"the database URL is not valid: {_one_line(error)}") from None
        self._open.add(connection)
        milliseconds = math.ceil(self._limits.database_statement_timeout * 1000)
        try:
            with connection.cursor() as cursor:
                # A transaction left open by a hub that hangs would hold its locks for ever: twice a statement's time ends it. Compiling
                # a list's query takes PostgreSQL longer than the query (0.03 s became 1.9 s).
                cursor.execute(
                    "SELECT set_config('TimeZone', 'UTC', false), set_config('jit', 'off', false), set_config('statement_timeout', %s, false),"
                    " set_config('lock_timeout', %s, false), set_config('idle_in_transaction_session_timeout', %s, false)",
                    (str(milliseconds), str(milliseconds), str(2 * milliseconds)),
                )
            connection.commit()
        except psycopg2.Error as error:
            self._discard(connection)
            raise self._translate(error) from error
        connection.patience = self._patience
        return connection

    def _abandon(self, connection: _Connection, error: BaseException) -> None:
        """End a transaction that failed, keeping the connection only when it is certainly idle again."""
        if not isinstance(error, Exception):
            # A killed greenlet may have left a query half way; an answer that comes later belongs to nobody.
            self._discard(connection)
            return
        try:
            connection.rollback()
        except psycopg2.Error:
            self._discard(connection)

    def _give_back(self, connection: _Connection) -> None:
        connection.patience = self._patience
        if not connection.closed:
            self._places.put(connection)
            return
        self._discard(connection)
        self._places.put(None)

    def _discard(self, connection: _Connection) -> None:
        self._open.discard(connection)
        with suppress(psycopg2.Error):
            connection.close()

    def _translate(self, error: psycopg2.Error) -> FluxError:
        code = error.pgcode
        if isinstance(error, psycopg2.InterfaceError) or (
            code is None and isinstance(error, psycopg2.OperationalError)
        ):
            return UnavailableError(f"the connection to the database was lost: {_one_line(error)}")
        if code == errorcodes.QUERY_CANCELED:
            return UnavailableError(
                f"the database took longer than {self._limits.database_statement_timeout:g} s for one statement"
            )
        if code is not None and (code in _PASSING or code[:2] in _PASSING_CLASSES):
            return UnavailableError(f"the database cannot do this now: {_one_line(error)}")
        if code == errorcodes.UNIQUE_VIOLATION:
            return ConflictError(f"it exists already: {_one_line(error)}")
        if code == errorcodes.FOREIGN_KEY_VIOLATION:
            return NotFoundError(f"what this refers to does not exist: {_one_line(error)}")
        if isinstance(error, psycopg2.DataError):
            return FluxError(f"the database cannot hold a value: {_one_line(error)}", code="bad_value")
        return FluxError(f"the database refused a statement: {_one_line(error)}")


def _spoke(connection: psycopg2.extensions.connection) -> bool:
    """Whether an idle connection has something to read: only its end or the server's last words can come unasked."""
    try:
        descriptor = connection.fileno()
        if sys.platform == "win32":
            ready = bool(select.select([descriptor], [], [], 0)[0])
        else:
            # Not select(): with ten thousand agents a descriptor is above what it can take.
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            ready = bool(poll.poll(0))
        return ready
    except (psycopg2.Error, OSError, ValueError):
        return True


def _one_line(error: psycopg2.Error) -> str:
    text = error.diag.message_primary or str(error) or type(error).__name__
    return " ".join(text.split())[:300]
