"""The Flask app of one hub."""

from __future__ import annotations

import re
import secrets
from typing import Any, Final

from flask import Flask, Response, g, request
from flask_smorest import Api

from fileflux.protocol.limits import MIB
from fileflux.web import access, context, problems
from fileflux.web.agents import agents
from fileflux.web.auth import auth
from fileflux.web.ca import ca
from fileflux.web.context import Services
from fileflux.web.deps import Deps
from fileflux.web.health import health
from fileflux.web.identity import Signer
from fileflux.web.install import install
from fileflux.web.jobs import jobs
from fileflux.web.refusals import RefusalLog
from fileflux.web.resource import MAX_ID, IdConverter
from fileflux.web.runs import runs
from fileflux.web.schemas import Problem
from fileflux.web.throttle import Throttle
from fileflux.web.tokens import tokens
from fileflux.web.transfers import transfers

MAX_BODY: Final = 1 * MIB
"""The largest body is a job with all its rules: about 300 KiB."""
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADERS: Final = {
    # Nothing is loaded, framed or run: the only page is plain text with links.
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class _Api(Api):  # type: ignore[misc]  # flask-smorest has no types
    ERROR_SCHEMA = Problem


def create_app(deps: Deps) -> Flask:
    """The app with all routes for people and scripts; the server adds the agents' routes, listed in ``access.AGENT_ROUTES``.

    Raises ConfigError when ``deps.secret`` could be guessed.
    """
    app = Flask("fileflux", static_folder=None)
    app.config.update(
        API_TITLE="FileFlux",
        API_VERSION="v1",
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/api",
        API_SPEC_OPTIONS=_spec_options(),
        MAX_CONTENT_LENGTH=MAX_BODY,
        PROPAGATE_EXCEPTIONS=False,
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it
    app.url_map.converters["id"] = IdConverter
    context.attach(
        app.extensions,
        Services(
            deps=deps,
            signer=Signer(deps.secret, deps.clock),
            logins=Throttle(deps.limits.login_attempts, deps.limits.login_window),
            refusals=RefusalLog(deps.database, deps.limits, deps.clock),
        ),
    )
    app.before_request(_begin)
    access.install(app)
    app.after_request(_finish)
    api = _Api(app)
    api.register_converter(IdConverter, _id_schema)
    for resource in (health, ca, install, auth, agents, tokens, jobs, runs, transfers):
        api.register_blueprint(resource.blueprint)
    problems.install(app)
    return app


def _begin() -> None:
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def _finish(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if request.path.startswith("/api/"):
        # Answers hold tokens and names of files.
        response.headers["Cache-Control"] = "no-store"
    response.headers["X-Request-ID"] = g.get("request_id", "")
    return response


def _id_schema(_converter: IdConverter) -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": MAX_ID}


def _spec_options() -> dict[str, Any]:
    bearer = {"type": "http", "scheme": "bearer", "description": "the token of POST /api/auth/login"}
    public = [f"{method} {path}" for method, path in sorted(access.PUBLIC)]
    return {
        "info": {"description": f"All routes need a token, except {', '.join(public)}."},
        "components": {"securitySchemes": {"token": bearer}},
        "security": [{"token": []}],
    }
