"""Errors as RFC 9457 problem documents: ``{type, title, status, detail, code, request_id}`` and, for a 422, ``errors`` by field.

``code`` is stable. ``detail`` is one sentence for a person; what went wrong inside the hub is logged, never shown.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

import structlog
from flask import Flask, Response, g, json, request
from werkzeug.exceptions import HTTPException

from fileflux import errors as e
from fileflux.web.etags import VersionConflictError

CONTENT_TYPE: Final = "application/problem+json"
_RETRY_AFTER_S: Final = 2
"""For a part of the hub that is coming back: its own retries are shorter."""
_ERRORS_MAX: Final = 100
_NAME_MAX: Final = 200
"""Fields that an answer names, and characters of such a name: it must not grow with the request."""

_STATUS: Final[tuple[tuple[type[e.FluxError], HTTPStatus], ...]] = (
    (e.NotFoundError, HTTPStatus.NOT_FOUND),
    (e.ConflictError, HTTPStatus.CONFLICT),
    (e.AuthError, HTTPStatus.UNAUTHORIZED),
    (e.ForbiddenError, HTTPStatus.FORBIDDEN),
    (e.RefusedPathError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (VersionConflictError, HTTPStatus.PRECONDITION_FAILED),
    (e.UnavailableError, HTTPStatus.SERVICE_UNAVAILABLE),
    (e.OverloadedError, HTTPStatus.SERVICE_UNAVAILABLE),
)
_CODES: Final[dict[int, str]] = {
    HTTPStatus.BAD_REQUEST: "bad_request",
    HTTPStatus.UNAUTHORIZED: "unauthenticated",
    HTTPStatus.FORBIDDEN: "forbidden",
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too_large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported_media_type",
    HTTPStatus.UNPROCESSABLE_ENTITY: "invalid",
    HTTPStatus.TOO_MANY_REQUESTS: "too_many_requests",
}

log = structlog.get_logger(__name__)


class InvalidFieldsError(e.FluxError):
    """The request is well formed and what it asks is not possible; ``errors`` names each field."""

    code = "invalid"
    fault = e.Fault.USER

    def __init__(
        self,
        errors: Mapping[str, list[str]],
        message: str = "some fields are not acceptable; see errors",
        code: str | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.errors = dict(errors)


class ThrottledError(e.FluxError):
    """Too many attempts; ``retry_after`` is in seconds."""

    code = "too_many_requests"
    retryable = True
    fault = e.Fault.USER

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def install(app: Flask) -> None:
    """Answer every error of ``app`` as a problem document. Call it after flask-smorest's ``Api`` is made: that sets handlers too."""
    app.register_error_handler(e.FluxError, _flux_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)


def problem(
    status: int, code: str, detail: str, errors: Mapping[str, list[str]] | None = None, retry_after: float | None = None
) -> Response:
    """The response for one problem."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": g.get("request_id", ""),
    }
    if errors is not None:
        document["errors"] = dict(errors)
    response = Response(json.dumps(document), status=status, content_type=CONTENT_TYPE)
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="fileflux"'
    if retry_after is not None:
        response.headers["Retry-After"] = str(max(1, round(retry_after)))
    return response


def _flux_error(error: e.FluxError) -> Response:
    if isinstance(error, InvalidFieldsError):
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, error.code, error.message, error.errors)
    if isinstance(error, ThrottledError):
        return problem(HTTPStatus.TOO_MANY_REQUESTS, error.code, error.message, retry_after=error.retry_after)
    for kind, status in _STATUS:
        if isinstance(error, kind):
            retry_after = getattr(error, "retry_after", 0) or None
            if status == HTTPStatus.SERVICE_UNAVAILABLE:
                retry_after = _RETRY_AFTER_S
            return problem(status, error.code, error.message, retry_after=retry_after)
    return _unexpected(error)


def _http_error(error: HTTPException) -> Response:
    status = error.code or int(HTTPStatus.INTERNAL_SERVER_ERROR)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _unexpected(error)
    code = _CODES.get(status, HTTPStatus(status).phrase.lower().replace(" ", "_").replace("'", ""))
    messages = getattr(error, "data", {}).get("messages")
    if status == HTTPStatus.UNPROCESSABLE_ENTITY and isinstance(messages, dict):
        # webargs puts the place (json, query) above the fields.
        named = (pair for place in messages.values() for pair in flatten(place))
        errors = {name[:_NAME_MAX]: texts for name, texts in itertools.islice(named, _ERRORS_MAX)}
        return problem(status, "invalid", "some fields are not acceptable; see errors", errors)
    response = problem(status, code, error.description or HTTPStatus(status).phrase)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
    return response


def _unexpected(error: Exception) -> Response:
    log.error("request failed", path=request.path, method=request.method, exc_info=error)
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal",
        "the hub could not do this; its log has the reason under this request_id",
    )


def flatten(node: Any, prefix: str = "") -> Iterator[tuple[str, list[str]]]:
    """Nested messages of marshmallow as (``retry.attempts``, messages); messages about the whole body come as ``_schema``."""
    if isinstance(node, dict):
        for key, below in node.items():
            name = "" if key == "_schema" else str(key)
            yield from flatten(below, ".".join(part for part in (prefix, name) if part))
    else:
        yield prefix or "_schema", [str(text) for text in (node if isinstance(node, list) else [node])]
