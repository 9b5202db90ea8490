"""What anyone may ask: is the hub alive, and can it work."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import Response, jsonify
from marshmallow import fields

from fileflux.web import context
from fileflux.web.readiness import STARTING
from fileflux.web.resource import Resource

health = Resource("health", "Whether the hub is alive.")


class Health(ma.Schema):
    status = fields.String()


class Checks(ma.Schema):
    database = fields.String()
    workers = fields.String()
    disk = fields.String()


class Ready(ma.Schema):
    status = fields.String(metadata={"enum": ["ok", "fail", "stopping"]})
    checks = fields.Nested(Checks)


@health.route("GET", "/healthz", returns=Health)
def healthz() -> dict[str, Any]:
    """The server process answers. Says nothing about anything else."""
    return {"status": "ok"}


@health.route("GET", "/readyz", returns=Ready, also=503)
def readyz() -> Response:
    """Whether the hub can work: its database, its workers, its disk. 503 when one fails, and while the hub stops."""
    readiness = context.deps().readiness
    state = STARTING if readiness is None else readiness.state()
    checks = {name: "ok" if good else "fail" for name, good in state.checks.items()}
    status = "ok" if state.ready else "stopping" if state.stopping else "fail"
    answer: Response = jsonify({"status": status, "checks": checks})
    answer.status_code = 200 if state.ready else 503
    return answer
