"""What a route can reach during a request."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal, cast

from flask import Flask, current_app, g, request

from fileflux.audit import log as audit
from fileflux.web.deps import Deps
from fileflux.web.identity import Signer
from fileflux.web.refusals import RefusalLog
from fileflux.web.throttle import Throttle

if TYPE_CHECKING:
    from fileflux.actors.events import Feed
    from fileflux.storage.pool import Transaction
    from fileflux.web.event_stream import Clients

_KEY: Final = "fileflux"


class Role(StrEnum):
    """What a user may do; ``access.py`` says where."""

    ADMIN = "admin"
    OPERATOR = "operator"
    VIEWER = "viewer"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking: a user with a login (``session_id``) or with an API key of theirs (``key_id`` and what it is for)."""

    user_id: int
    email: str
    role: Role
    name: str = ""
    session_id: int | None = None
    key_id: int | None = None
    scopes: tuple[str, ...] | None = None
    """As the key has them, shortcuts too; None for a login, which may do whatever the role may."""

    @property
    def via(self) -> Literal["session", "key"]:
        return "session" if self.key_id is None else "key"


@dataclass(frozen=True, slots=True)
class Services:
    """Made once per app."""

    deps: Deps
    signer: Signer
    logins: Throttle
    refusals: RefusalLog
    feed: Feed
    feeds: Clients


def attach(extensions: dict[str, object], made: Services) -> None:
    extensions[_KEY] = made


def services() -> Services:
    return services_of(current_app)


def services_of(app: Flask) -> Services:
    return cast("Services", app.extensions[_KEY])


def deps() -> Deps:
    return services().deps


def principal() -> Principal:
    """The user of this request; only in routes that are not public."""
    return cast("Principal", g.principal)


def peer() -> str:
    """The address that the request came from. Forwarding headers are not believed: anyone can send them."""
    return request.remote_addr or "unknown"


def audited(tx: Transaction, action: str, target: str, *, actor: str = "", **detail: object) -> None:
    """Append to the audit log, in the transaction of the change itself; the actor is the user of the request unless given.

    What was done with an API key says with which.
    """
    if not actor:
        who = principal()
        actor = who.email
        if who.key_id is not None:
            detail["key"] = who.key_id
    audit.append(tx, actor=actor, action=action, object=target, outcome="ok", detail=detail)
