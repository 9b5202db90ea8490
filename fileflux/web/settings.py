"""What is set for the whole hub."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from typing import Any

from flask import request

from fileflux.bus.events import SettingsChanged
from fileflux.storage import settings as rows
from fileflux.web import account_schemas as schemas
from fileflux.web import context
from fileflux.web.context import deps
from fileflux.web.resource import Resource

settings = Resource("settings", "What is set for the whole hub.")


@settings.route("GET", "/api/settings", returns=schemas.SettingsOut)
def show_settings() -> dict[str, Any]:
    """The hub's settings, and what it is."""
    with deps().database.transaction() as tx:
        found = rows.hub(tx)
    return _fields(found)


@settings.route("PATCH", "/api/settings", body=schemas.SettingsChange, returns=schemas.SettingsOut)
def change_settings(body: dict[str, Any]) -> dict[str, Any]:
    """Change settings. Keys and tokens that exist keep the life they have; a timetable takes effect on what moves now."""
    with deps().database.transaction() as tx:
        changed = rows.change_hub(tx, body)
        context.audited(tx, "settings.changed", "settings", changed=body)
    deps().bus.publish(SettingsChanged())
    return _fields(changed)


def hub_version() -> str:
    """Of the installed program; empty in a tree that is not installed."""
    try:
        return version_of("fileflux")
    except PackageNotFoundError:
        return ""


def _fields(found: rows.HubSettings) -> dict[str, Any]:
    database = "embedded" if deps().embedded_database else "external"
    return asdict(found) | {"version": hub_version(), "database": database, "tls": request.is_secure}
