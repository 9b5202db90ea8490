"""Commands that run at the same time share one login, whose refresh token is good once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from fileflux.cli import credentials
from fileflux.cli.connect import connect, log_in
from fileflux.cli.options import Settings
from fileflux.errors import AuthError, ConfigError, UnavailableError
from fileflux.storage import alerts, users
from tests.cli.test_with_api import address, app, clock, hub, limits
from tests.web.conftest import PASSWORD, ScriptedHub

# Fixtures of the API's tests, used here by name.
__all__ = ["address", "app", "clock", "hub", "limits"]

EMAIL = "ann@example.org"


@pytest.fixture
def login(address: str, hub: ScriptedHub, tmp_path: Path) -> Path:
    with hub.database.transaction() as tx:
        users.create(tx, EMAIL, hub.hash(PASSWORD), "viewer")
        users.create(tx, "bob@example.org", hub.hash(PASSWORD), "admin")
    path = tmp_path / "config" / "credentials.json"
    log_in(Settings(), address, EMAIL, PASSWORD, path)
    return path


def test_commands_at_once_never_look_like_a_thief(login: Path, hub: ScriptedHub, clock) -> None:
    for _ in range(3):
        clients = [connect(Settings(), login) for _ in range(4)]
        clock.advance(3600)
        outcomes: list[object] = []

        def ask(number: int, clients: list = clients, outcomes: list = outcomes) -> None:
            try:
                outcomes.append(clients[number].get("/api/auth/user")["email"])
            except Exception as error:
                outcomes.append(error)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(clients))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        for client in clients:
            client.close()
        assert outcomes == [EMAIL] * 4
    with hub.database.transaction() as tx:
        assert alerts.list_page(tx, 10) == []


def test_a_long_command_goes_on_after_others_have_renewed(login: Path, clock) -> None:
    with connect(Settings(), login) as long, connect(Settings(), login) as short:
        for client in (short, long, short, long):
            clock.advance(3600)
            assert client.get("/api/auth/user")["email"] == EMAIL


def test_the_command_of_one_user_does_not_go_on_as_another(login: Path, address: str, clock) -> None:
    with connect(Settings(), login) as client:
        log_in(Settings(), address, "bob@example.org", PASSWORD, login)
        clock.advance(3600)
        with pytest.raises(AuthError):
            client.get("/api/auth/user")
    stored = credentials.load(login)
    assert stored is not None
    assert stored.email == "bob@example.org"


def test_after_a_logout_there_is_nothing_to_renew(login: Path, clock) -> None:
    with connect(Settings(), login) as client:
        credentials.forget(login)
        clock.advance(3600)
        with pytest.raises(AuthError):
            client.get("/api/auth/user")
    assert credentials.load(login) is None


def test_a_command_that_does_not_let_go_is_named(login: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "_PATIENCE_S", 0.0)
    with (
        credentials.locked(login),
        pytest.raises(UnavailableError, match="lock"),
        credentials.locked(login),
    ):
        pytest.fail("two have it")


def test_a_login_that_cannot_be_kept_uses_up_no_token(login: Path, clock) -> None:
    with connect(Settings(), login) as client:
        clock.advance(3600)
        aside = login.parent.rename(login.parent.with_name("aside"))
        login.parent.write_text("no folder")
        with pytest.raises(ConfigError, match="FILEFLUX_TOKEN"):
            client.get("/api/auth/user")
        login.parent.unlink()
        aside.rename(login.parent)
        clock.advance(1)
    with connect(Settings(), login) as client:
        assert client.get("/api/auth/user")["email"] == EMAIL
