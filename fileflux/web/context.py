"""What a route can reach during a request."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, cast

from flask import Flask, current_app, g, request

from fileflux.audit import log as audit
from fileflux.web.deps import Deps
from fileflux.web.identity import Signer
from fileflux.web.refusals import RefusalLog
from fileflux.web.throttle import Throttle

if TYPE_CHECKING:
    from fileflux.storage.pool import Transaction

_KEY: Final = "fileflux"


class Role(StrEnum):
    """What a user may do; ``access.py`` says where."""

    ADMIN = "admin"
    OPERATOR = "operator"
    VIEWER = "viewer"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking."""

    user_id: int
    email: str
    role: Role


@dataclass(frozen=True, slots=True)
class Services:
    """Made once per app."""

    deps: Deps
    signer: Signer
    logins: Throttle
    refusals: RefusalLog


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
    """Append to the audit log, in the transaction of the change itself; the actor is the user of the request unless given."""
    audit.append(tx, actor=actor or principal().email, action=action, object=target, outcome="ok", detail=detail)
