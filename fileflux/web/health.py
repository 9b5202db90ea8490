"""What anyone may ask: is the hub alive, and what is here."""

from __future__ import annotations

from typing import Any, Final

import marshmallow as ma
from flask import Response
from marshmallow import fields

from fileflux.web.resource import Resource

health = Resource("health", "Whether the hub is alive.")

INDEX: Final = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>FileFlux</title></head>
<body>
<h1>FileFlux</h1>
<p>This hub is running. Its user interface is not part of this installation.</p>
<ul>
<li><a href="/healthz">/healthz</a>: is the hub alive</li>
<li><a href="/install.sh">/install.sh</a>: installs an agent on another machine:
<code>curl -fsSL THIS-HUB/install.sh | sh</code></li>
<li><a href="/api/openapi.json">/api/openapi.json</a>: the REST API (needs a token)</li>
</ul>
<p>On the command line: <code>fileflux login</code>, then <code>fileflux agents list</code>,
<code>fileflux jobs list</code>, <code>fileflux runs list</code>.</p>
</body>
</html>
"""


class Health(ma.Schema):
    status = fields.String()


@health.route("GET", "/healthz", returns=Health)
def healthz() -> dict[str, Any]:
    """The server process answers. Says nothing about anything else."""
    return {"status": "ok"}


@health.route("GET", "/")
def index() -> Response:
    """A page with links, for people who open the hub's address."""
    return Response(INDEX, content_type="text/html; charset=utf-8")
