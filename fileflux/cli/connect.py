"""Which hub a command talks to, and as whom: options and environment first, then the stored login."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from fileflux.cli import credentials
from fileflux.cli.client import HubClient, check_url
from fileflux.cli.credentials import Login
from fileflux.cli.options import Settings
from fileflux.cli.trust import check_ca_file
from fileflux.errors import AuthError, FluxError, NotFoundError

DEFAULT_URL = "http://127.0.0.1:8040"


def connect(chosen: Settings, path: Path | None = None) -> HubClient:
    """A client for the hub of this command. Close it. Raises AuthError when there is no login for that hub."""
    login = credentials.load(path)
    insecure = chosen.insecure or (login is not None and login.insecure and chosen.url is None)
    url = check_url(chosen.url or (login.url if login is not None else DEFAULT_URL), insecure=insecure)
    kept = login.ca_file if login is not None and login.url == url else None
    wanted = chosen.ca_file or kept
    ca_file = check_ca_file(wanted) if wanted else None
    if chosen.token is not None:
        return HubClient(url, chosen.token, ca_file=ca_file)
    if login is None or login.url != url:
        raise AuthError(f"not logged in at {url}; run `fileflux login {url} --email E`, or set FILEFLUX_TOKEN")
    email = login.email

    def refresh(client: HubClient) -> bool:
        client.token = ""
        with credentials.locked(path):
            # Another command may have used up the token that this one read when it began.
            current = credentials.load(path)
            if current is None or (current.url, current.email) != (url, email):
                return False
            try:
                answer = client.post("/api/auth/refresh", {"refresh_token": current.refresh_token})
            except AuthError:
                return False
            credentials.save(replace(current, token=answer["token"], refresh_token=answer["refresh_token"]), path)
        client.token = answer["token"]
        return True

    return HubClient(url, login.token, refresh, ca_file)


def log_in(chosen: Settings, url: str, email: str, password: str, path: Path | None = None) -> dict[str, Any]:
    """Log in at ``url`` and keep the tokens; returns the user."""
    url = check_url(url, insecure=chosen.insecure)
    ca_file = check_ca_file(chosen.ca_file) if chosen.ca_file else None
    with HubClient(url, ca_file=ca_file) as client:
        answer = client.login(email, password)
    user: dict[str, Any] = answer["user"]
    kept = Login(url, user["email"], answer["token"], answer["refresh_token"], chosen.insecure, ca_file)
    with credentials.locked(path):
        credentials.save(kept, path)
    return user


def find(client: HubClient, noun: str, wanted: str, field: str = "name") -> dict[str, Any]:
    """An agent, job or user by its ``field``, or by ``#id`` or a number that is no name. Raises NotFoundError."""
    for item in client.pages(f"/api/{noun}s", **{field: wanted}):
        if item[field] == wanted:
            return item
    number = wanted.removeprefix("#")
    if number.isascii() and number.isdigit():
        found: dict[str, Any] = client.get(f"/api/{noun}s/{int(number)}")
        return found
    raise NotFoundError(f"there is no {noun} {wanted!r}; see `fileflux {noun}s list`")


def log_out(chosen: Settings, path: Path | None = None, *, everywhere: bool = False) -> bool:
    """Remove the stored login. False when the hub could not be told: then its tokens still work until they expire."""
    try:
        with connect(chosen, path) as client:
            client.post("/api/auth/logout", everywhere="true" if everywhere else None)
    except FluxError:
        return False
    finally:
        credentials.forget(path)
    return True


def change_password(chosen: Settings, current: str, password: str, path: Path | None = None) -> None:
    """Give the user another password; the stored login goes on with the new session, every other one has ended."""
    with connect(chosen, path) as client:
        answer = client.post("/api/auth/password", {"current_password": current, "password": password})
        url = client.url
    if chosen.token is not None:
        return
    with credentials.locked(path):
        login = credentials.load(path)
        if login is not None and login.url == url:
            credentials.save(replace(login, token=answer["token"], refresh_token=answer["refresh_token"]), path)
