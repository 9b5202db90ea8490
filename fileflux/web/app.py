"""The Flask app of one hub."""

from __future__ import annotations

import re
import secrets
from typing import Any, Final

import structlog
from flask import Flask, Response, g, request

from fileflux import log
from fileflux.actors.events import Feed
from fileflux.protocol.limits import MIB
from fileflux.web import access, context, openapi, problems
from fileflux.web import events as event_routes
from fileflux.web import metrics as metrics_route
from fileflux.web.agents import agents
from fileflux.web.alerts import alerts
from fileflux.web.audit import audit
from fileflux.web.auth import auth
from fileflux.web.ca import ca
from fileflux.web.chunks import chunks
from fileflux.web.context import Services
from fileflux.web.dashboard import dashboard
from fileflux.web.deps import Deps
from fileflux.web.event_stream import Clients
from fileflux.web.explain import explanations
from fileflux.web.feed_view import RestView
from fileflux.web.health import health
from fileflux.web.identity import Signer
from fileflux.web.install import install
from fileflux.web.job_export import job_export
from fileflux.web.job_import import BODY_MAX as IMPORT_MAX
from fileflux.web.job_import import PATH as IMPORT_PATH
from fileflux.web.job_import import job_import
from fileflux.web.jobs import jobs
from fileflux.web.keys import keys
from fileflux.web.match import matches
from fileflux.web.notifications import notifications
from fileflux.web.plans import plans
from fileflux.web.refusals import RefusalLog
from fileflux.web.report import reports
from fileflux.web.resource import MAX_ID, IdConverter
from fileflux.web.run_control import run_control
from fileflux.web.runs import runs
from fileflux.web.schedules import schedules
from fileflux.web.settings import settings
from fileflux.web.temporary_agents import temporary_agents
from fileflux.web.throttle import Throttle
from fileflux.web.tokens import tokens
from fileflux.web.transfers import transfers
from fileflux.web.ui import ui
from fileflux.web.users import users
from fileflux.web.watches import watches

MAX_BODY: Final = 1 * MIB
"""The largest body is a job with all its rules: about 300 KiB."""
_NOT_LOGGED: Final = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked for every few seconds, like the agents' polls."""
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADERS: Final = {
    # Nothing is loaded, framed or run; the pages of the user interface name what they need.
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}

requests_log = structlog.get_logger(__name__)


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
        API_SPEC_OPTIONS=openapi.options(),
        MAX_CONTENT_LENGTH=MAX_BODY,
        PROPAGATE_EXCEPTIONS=False,
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it
    app.url_map.converters["id"] = IdConverter
    # `//` in a path is no other way to write `/`.
    app.url_map.merge_slashes = False
    feed = Feed(deps.bus, deps.live_runs, deps.clock)
    feed.show_with(RestView(app))
    context.attach(
        app.extensions,
        Services(
            deps=deps,
            signer=Signer(deps.secret, deps.clock),
            logins=Throttle(deps.limits.login_attempts, deps.limits.login_window),
            refusals=RefusalLog(deps.database, deps.limits, deps.clock),
            feed=feed,
            feeds=Clients(deps.limits),
        ),
    )
    metrics_route.install(app)
    app.before_request(_begin)
    app.teardown_request(lambda _error: log.unbind("request_id"))
    access.install(app)
    app.after_request(_finish)
    api = openapi.DescribedApi(app)
    api.register_converter(IdConverter, _id_schema)
    for resource in (
        health,
        metrics_route.metrics,
        ca,
        install,
        auth,
        users,
        keys,
        settings,
        audit,
        agents,
        temporary_agents,
        tokens,
        alerts,
        notifications,
        job_export,
        job_import,
        jobs,
        plans,
        schedules,
        watches,
        runs,
        run_control,
        explanations,
        matches,
        reports,
        transfers,
        chunks,
        event_routes.events,
        event_routes.sockets,
        dashboard,
        ui,
    ):
        api.register_blueprint(resource.blueprint)
    problems.install(app)
    return app


def _begin() -> None:
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
    log.bind(request_id=g.request_id)
    if request.path == IMPORT_PATH:
        request.max_content_length = IMPORT_MAX


def _finish(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if request.path.startswith("/api/"):
        # Answers hold tokens and names of files.
        response.headers["Cache-Control"] = "no-store"
    response.headers["X-Request-ID"] = g.get("request_id", "")
    _note(response.status_code)
    return response


def _note(status: int) -> None:
    """A line in the log, with the route rather than the path: names and ids of others do not get into it."""
    route = "" if request.url_rule is None else request.url_rule.rule
    if (request.method, route) in access.AGENT_ROUTES or route in _NOT_LOGGED or "began_at" not in g:
        return
    write = requests_log.debug if request.method in ("GET", "HEAD", "OPTIONS") else requests_log.info
    took = context.deps().clock.monotonic() - g.began_at
    write("request", method=request.method, route=route, status=status, milliseconds=round(took * 1000, 1))


def _id_schema(_converter: IdConverter) -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": MAX_ID}
