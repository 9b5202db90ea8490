"""``GET /ca.pem``: the CA of a hub that runs with ``--tls auto``, for whoever has to trust it."""

from __future__ import annotations

from typing import Final

from flask import Response

from fileflux.errors import NotFoundError
from fileflux.web.context import deps
from fileflux.web.resource import Resource

ca = Resource("ca", "The hub's own certificate authority.")

_PEM: Final = "application/x-pem-file"


@ca.route("GET", "/ca.pem")
def ca_certificate() -> Response:
    """The certificate that signs this hub's (PEM). Compare its SHA-256 with what you were told: who asks here cannot know the hub yet."""
    pem = deps().ca_pem
    if pem is None:
        raise NotFoundError("this hub has no CA of its own: it runs without --tls auto")
    return Response(pem, content_type=_PEM)
