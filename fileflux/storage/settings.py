"""The hub's own settings and secrets."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final

from psycopg2.extras import Json

from fileflux.errors import ConfigError
from fileflux.storage.pool import Transaction
from fileflux.storage.values import exact_json

SECRET_BYTES = 32
_HUB: Final = "hub"


@dataclass(frozen=True, slots=True)
class HubSettings:
    """What administrators set for the whole hub. ``default_token_days`` None: agents' tokens do not expire unless told to."""

    site_name: str = "FileFlux"
    default_token_days: int | None = None
    max_key_days: int = 365
    history_days: int = 365
    """Of ended runs (``history.py``); 0: for ever."""
    history_failed_days: int = 365
    """Of those that failed, in part or as a whole."""
    webhook_allow: tuple[str, ...] = ()
    """Inside targets that webhooks may have all the same (``jobs/webhook_url.py``)."""
    bandwidth_timetable: list[dict[str, Any]] = field(default_factory=list)
    """Entries of ``jobs/timetable.py``, for all that goes through the hub."""


def hub(tx: Transaction) -> HubSettings:
    """What is set, defaults for the rest."""
    stored = get(tx, _HUB) or {}
    known = {field.name for field in fields(HubSettings)}
    given = {name: value for name, value in stored.items() if name in known}
    if "webhook_allow" in given:
        given["webhook_allow"] = tuple(given["webhook_allow"])
    return HubSettings(**given)


def change_hub(tx: Transaction, changes: Mapping[str, Any]) -> HubSettings:
    """Set some of them, whose values are checked already."""
    # Whoever changes another one at the same moment waits here for this change, so that neither is lost.
    tx.execute("INSERT INTO settings (key, value) VALUES (%s, '{}') ON CONFLICT (key) DO NOTHING", (_HUB,))
    tx.one("SELECT 1 FROM settings WHERE key = %s FOR UPDATE", (_HUB,))
    changed = replace(hub(tx), **changes)
    tx.execute("UPDATE settings SET value = %s WHERE key = %s", (exact_json(asdict(changed), "a setting"), _HUB))
    return changed


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
    """256 random bits, made at their first use and the same ever after, also for hubs that ask at the same moment.

    Raises ConfigError for a stored value that is none.
    """
    key = f"secret.{name}"
    fresh = base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode("ascii")
    tx.execute("INSERT INTO settings (key, value) VALUES (%s, %s) ON CONFLICT (key) DO NOTHING", (key, Json(fresh)))
    try:
        return base64.b64decode(get(tx, key), validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise ConfigError(
            f"the setting {key} in the database is damaged; restore it from a backup, or delete that row for a new one"
        ) from None
