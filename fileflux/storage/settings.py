"""The hub's own settings and secrets."""

from __future__ import annotations

import base64
import secrets
from typing import Any

from psycopg2.extras import Json

from fileflux.storage.pool import Transaction

SECRET_BYTES = 32


def get(tx: Transaction, key: str) -> Any:
    """The value, or None."""
    row = tx.one("SELECT value FROM settings WHERE key = %s", (key,))
    return None if row is None else row[0]


def put(tx: Transaction, key: str, value: Any) -> None:
    """``value`` is anything that JSON can hold."""
    tx.execute(
        "INSERT INTO settings (key, value) VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value",
        (key, Json(value)),
    )


def secret(tx: Transaction, name: str) -> bytes:
    """256 random bits, made at their first use and the same ever after, also for hubs that ask at the same moment."""
    key = f"secret.{name}"
    fresh = base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode("ascii")
    tx.execute("INSERT INTO settings (key, value) VALUES (%s, %s) ON CONFLICT (key) DO NOTHING", (key, Json(fresh)))
    return base64.b64decode(get(tx, key))
