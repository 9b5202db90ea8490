"""The refresh token of a browser: in a cookie that no script reads, sent to the routes below /api/auth only, and believed from the
hub's own pages only. It is the one thing here that a browser sends by itself.
"""

from __future__ import annotations

from typing import Final

from flask import Response, after_this_request, request

from fileflux.errors import ForbiddenError
from fileflux.storage.sessions import IDLE_LIFETIME

NAME: Final = "fileflux_refresh"
PATH: Final = "/api/auth"


def check_origin() -> None:
    """Raises ForbiddenError (``bad_origin``) unless the request comes from a page of this hub."""
    own = f"{request.scheme}://{request.host}"
    if request.headers.get("Origin", "").lower() != own.lower():
        raise ForbiddenError(
            f"this is only for pages of {own}; if a proxy stands in front, it must pass Host on and be named with --trusted-proxy",
            code="bad_origin",
        )


def value() -> str | None:
    """What the browser sent."""
    return request.cookies.get(NAME)


def put(token: str) -> None:
    """Have the answer to this request set it; it lives as long as a session that is not renewed."""
    _answer_with(token, int(IDLE_LIFETIME.total_seconds()))


def clear() -> None:
    """Have the answer to this request remove it, whether it is there or not."""
    _answer_with("", 0)


def _answer_with(token: str, max_age: int) -> None:
    secure = request.is_secure

    @after_this_request
    def set_cookie(response: Response) -> Response:
        response.set_cookie(NAME, token, max_age=max_age, path=PATH, secure=secure, httponly=True, samesite="Strict")
        return response
