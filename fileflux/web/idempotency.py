"""``Idempotency-Key``: a request that is sent again, because its answer was lost, is not carried out again.

The key is claimed in a transaction of its own before the view runs, and the answer kept after it. What comes between, a crash or a lost
connection, leaves a claim without an answer, and then nobody knows: the sender is told to look. A key belongs to its user; an answer is
kept only if the request was carried out (2xx), and without the secrets that it showed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, Final

import structlog
from flask import Response, json, request

from fileflux import errors as e
from fileflux.storage import idempotency as rows
from fileflux.web.context import deps, principal
from fileflux.web.giving_way import sha256_of
from fileflux.web.problems import InvalidFieldsError

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"
KEY_PATTERN: Final = "^[!-~]{1,255}$"
IN_PROGRESS_S: Final = 60.0
"""Nothing behind a POST takes longer: a claim that is older was left by a crash."""
RETRY_AFTER_S: Final = 2
SHOWN_ONCE: Final = "value"
"""The field of an answer that is a secret."""
_KEPT_HEADERS: Final = ("Location", "ETag", "Content-Type")

log = structlog.get_logger(__name__)


class InProgressError(e.ConflictError):
    """The same request is being carried out just now."""

    code = "idempotency_in_progress"
    retry_after = RETRY_AFTER_S


def applies(method: str, path: str) -> bool:
    """Whether a route takes the header: a POST that changes something for a user. Logins and agents have answers of their own."""
    return method == "POST" and path.startswith("/api/") and not path.startswith(("/api/auth/", "/api/agent/"))


def once(view: Callable[..., Any]) -> Callable[..., Any]:
    """The view, carried out once for each key. It must answer with a Response."""

    @functools.wraps(view)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        key = request.headers.get(HEADER)
        if key is None:
            return view(*args, **kwargs)
        if re.fullmatch(KEY_PATTERN, key) is None:
            raise InvalidFieldsError({HEADER: ["Must be 1 to 255 visible ASCII characters."]})
        return _carry_out(key, lambda: view(*args, **kwargs))

    return wrapped


def _carry_out(key: str, view: Callable[[], Response]) -> Response:
    actor = f"user:{principal().user_id}"
    route = f"{request.method} {request.full_path}"
    body = sha256_of(request.get_data(cache=True))
    with deps().database.transaction() as tx:
        earlier = rows.claim(tx, actor, key, route, body)
    if earlier is not None:
        return _replay(earlier, route, body)
    try:
        response = view()
    except Exception as error:
        if _was_refused(error):
            _settle(actor, key, route, None)
        raise
    _settle(actor, key, route, response if response.status_code < 300 else None)
    return response


def _settle(actor: str, key: str, route: str, done: Response | None) -> None:
    """Keep the answer of what was done, or give the key back."""
    try:
        with deps().database.transaction() as tx:
            if done is None:
                rows.release(tx, actor, key)
            else:
                headers = {name: done.headers[name] for name in _KEPT_HEADERS if name in done.headers}
                rows.answered(tx, actor, key, done.status_code, headers, _without_secret(done))
    except e.FluxError as error:
        # The sender shall have the answer all the same; who repeats the request is told to look.
        log.warning("the answer to an idempotent request was not kept", route=route, reason=error.message)


def _replay(earlier: rows.Claim, route: str, body: bytes) -> Response:
    if (earlier.route, earlier.body_sha256) != (route, body):
        raise e.ConflictError(
            f"this {HEADER} was used for another request: take a new key for each", code="idempotency_mismatch"
        )
    if earlier.status is None:
        if earlier.age_s < IN_PROGRESS_S:
            raise InProgressError("the same request is being carried out: ask again in a moment")
        raise e.ConflictError(
            f"the same request was cut off: look whether it was done; if not, send it with a new {HEADER}",
            code="idempotency_unknown",
        )
    response = Response(earlier.body, status=earlier.status, headers=earlier.headers)
    response.headers[REPLAYED] = "true"
    return response


def _was_refused(error: Exception) -> bool:
    """Whether a request that failed has certainly done nothing. When the database went away in the middle, that is not known."""
    if isinstance(error, e.UnavailableError) and error.__cause__ is not None:
        return False
    if isinstance(error, e.FluxError):
        return error.code != e.FluxError.code
    status = getattr(error, "code", None)
    return isinstance(status, int) and status < 500


def _without_secret(response: Response) -> str:
    text = response.get_data(as_text=True)
    if f'"{SHOWN_ONCE}"' not in text:
        return text
    document = json.loads(text)
    if isinstance(document, dict) and SHOWN_ONCE in document:
        document[SHOWN_ONCE] = None
    return json.dumps(document)
