"""The first admin, when nobody has configured one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fileflux.audit import log as audit
from fileflux.first_run import DEFAULT_EMAIL, ensure_admin
from fileflux.storage import users
from fileflux.storage.pages import Ask
from fileflux.storage.pool import Database


class Plain:
    """Passwords that are their own hash."""

    def hash(self, password: str) -> str:
        return password

    def check(self, password: str, password_hash: str) -> bool:
        return password == password_hash

    def outdated(self, password_hash: str) -> bool:
        return not password_hash


def test_without_configuration_the_password_is_random_and_shown_once(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ensure_admin(database, Plain(), tmp_path, None, None)
    said = capsys.readouterr().err
    file = tmp_path / "admin-password"
    assert file.stat().st_mode & 0o777 == 0o600
    password = file.read_text().strip()
    assert len(password) >= 20
    assert password in said
    with database.transaction() as tx:
        user = users.by_email(tx, DEFAULT_EMAIL)
        entries = audit.LIST.page(tx, Ask(10, descending=True)).rows
    assert user is not None
    assert (user.role, user.password_hash) == ("admin", password)
    assert password not in str(entries)
    ensure_admin(database, Plain(), tmp_path, "other@example.org", "a good long one")
    assert capsys.readouterr().err == ""
    with database.transaction() as tx:
        assert users.by_email(tx, "other@example.org") is None


def test_two_hubs_that_are_started_at_once_make_one(database: Database, tmp_path: Path) -> None:
    both_found_none = threading.Barrier(2, timeout=10)

    class Slow(Plain):
        def hash(self, password: str) -> str:
            both_found_none.wait()
            return password

    with ThreadPoolExecutor(2) as pool:
        for made in [pool.submit(ensure_admin, database, Slow(), tmp_path, None, "a good long one") for _ in range(2)]:
            made.result()
    with database.transaction() as tx:
        assert users.count_admins(tx) == 1
