"""Connections that a route takes away from the HTTP server, and gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from flask import Response

RESUME: Final = "fileflux.resume"
"""Key of the WSGI environment: a callable that gives a connection and its address back to the HTTP server."""


class TakenResponse(Response):
    """Sends nothing: who took the connection writes the answer to it."""

    def __call__(self, _environ: dict[str, Any], _start_response: Callable[..., Any]) -> Iterable[bytes]:
        # gunicorn takes this for "the connection is done with" and lets go of its own descriptor.
        raise StopIteration
