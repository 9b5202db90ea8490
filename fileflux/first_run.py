"""The first admin: named by configuration, else made with a random password that is shown once. There is no default password."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

from fileflux.audit import log as audit
from fileflux.storage import users
from fileflux.storage.pool import Database
from fileflux.web.deps import Passwords

DEFAULT_EMAIL = "admin@localhost"


def ensure_admin(
    database: Database, passwords: Passwords, data_dir: Path, email: str | None, password: str | None
) -> None:
    """Make the first admin if there is none yet; later calls do nothing, whatever the configuration says."""
    with database.transaction() as tx:
        if users.count_admins(tx) > 0:
            return
    email = email or DEFAULT_EMAIL
    chosen = password or secrets.token_urlsafe(18)
    digest = passwords.hash(chosen)
    with database.transaction() as tx:
        # Two hubs of one database may be started at once.
        users.lock_all(tx)
        if users.count_admins(tx) > 0:
            return
        users.create(tx, email, digest, "admin")
        audit.append(tx, "hub", "user.created", f"user:{email}", "ok", {"role": "admin", "first": True})
    if password is None:
        path = data_dir / "admin-password"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(chosen + "\n")
        print(f"first admin: {email}  password: {chosen}  (also in {path})", file=sys.stderr, flush=True)  # noqa: T201  # shown once
