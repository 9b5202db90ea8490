from __future__ import annotations

import io

import pytest

from fileflux.cli import credentials
from fileflux.cli.options import ExitCode
from tests.cli.conftest import Command
from tests.cli.stub import StubHub, problem

USER = {"id": 1, "email": "a@b", "role": "admin"}


def tokens(number: int) -> dict[str, object]:
    return {
        "token": f"t{number}",
        "refresh_token": f"r{number}",
        "expires_at": "2026-01-01T00:00:00+00:00",
        "user": USER,
    }


@pytest.fixture
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse \n rest"))


@pytest.mark.usefixtures("password")
def test_login_keeps_the_tokens_for_later_commands(fileflux: Command, login_file) -> None:
    with StubHub(
        {
            "POST /api/auth/login": (200, tokens(1)),
            "GET /api/auth/user": (200, USER),
            "POST /api/auth/logout": (204, None),
        }
    ) as hub:
        code, out, err = fileflux("login", hub.url + "/", "--email", "a@b", "--password-stdin")
        assert (code, out) == (ExitCode.OK, "")
        assert "a@b" in err
        assert hub.requests[0][3] == {"email": "a@b", "password": "correct horse "}
        assert login_file.stat().st_mode & 0o777 == 0o600
        code, out, _ = fileflux("whoami", "--json")
        assert code == ExitCode.OK
        assert '"email": "a@b"' in out
        assert hub.requests[-1][2] == "t1"
        assert fileflux("logout")[0] == ExitCode.OK
        assert hub.lines()[-1] == "POST /api/auth/logout"
    assert not login_file.exists()
    assert fileflux("whoami")[0] == ExitCode.FORBIDDEN


@pytest.mark.usefixtures("password")
def test_a_wrong_password_keeps_nothing(fileflux: Command, login_file) -> None:
    with StubHub({"POST /api/auth/login": problem(401, "wrong_credentials", "e-mail or password is wrong")}) as hub:
        code, _, err = fileflux("login", hub.url, "--email", "a@b", "--password-stdin")
    assert (code, err) == (ExitCode.FORBIDDEN, "fileflux: e-mail or password is wrong\n")
    assert not login_file.exists()


def test_no_question_without_a_terminal(fileflux: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert fileflux("login", "http://127.0.0.1:1", "--email", "a@b")[0] == ExitCode.USAGE


def test_an_expired_token_is_renewed_and_kept(fileflux: Command, login_file) -> None:
    def user(_query: str, token: str, _body: object) -> tuple:
        return (200, USER) if token == "t2" else problem(401, "token_expired")

    with StubHub({"GET /api/auth/user": user, "POST /api/auth/refresh": (200, tokens(2))}) as hub:
        credentials.save(credentials.Login(hub.url, "a@b", "t1", "r1"), login_file)
        assert fileflux("whoami")[0] == ExitCode.OK
        assert hub.requests[1][3] == {"refresh_token": "r1"}
        assert (credentials.load(login_file).token, credentials.load(login_file).refresh_token) == ("t2", "r2")
        assert fileflux("whoami")[0] == ExitCode.OK
        assert len(hub.requests) == 4


def test_a_token_is_not_sent_to_another_hub(fileflux: Command, login_file) -> None:
    credentials.save(credentials.Login("http://127.0.0.1:2", "a@b", "t1", "r1"), login_file)
    with StubHub({}) as hub:
        assert fileflux("--url", hub.url, "whoami")[0] == ExitCode.FORBIDDEN
        assert hub.requests == []


def test_logout_of_a_hub_that_is_gone_removes_the_login(fileflux: Command, login_file) -> None:
    credentials.save(credentials.Login("http://127.0.0.1:1", "a@b", "t1", "r1"), login_file)
    code, _, err = fileflux("logout")
    assert code == ExitCode.OK
    assert "could not be told" in err
    assert not login_file.exists()
