"""``fileflux migrate`` and ``version``; ``serve`` and ``demo`` have tests of their own as whole programs."""

from __future__ import annotations

import pytest

from fileflux.cli import hub
from fileflux.cli.options import ExitCode
from tests.cli.conftest import Command


def test_migrating_twice_is_harmless(fileflux: Command, database_url: str) -> None:
    for _ in range(2):
        code, out, err = fileflux("migrate", "--database-url", database_url)
        assert (code, out) == (ExitCode.OK, ""), err
        assert "migrations applied" in err


def test_a_database_that_is_not_there_is_one_line(fileflux: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "DATABASE_WAIT_S", 0.1)
    code, _, err = fileflux("migrate", "--database-url", "postgresql:///nothing?host=/does/not/exist&connect_timeout=1")
    assert code == ExitCode.TEMPORARY
    assert err.count("\n") == 1


def test_version(fileflux: Command) -> None:
    assert fileflux("version")[0] == ExitCode.OK
