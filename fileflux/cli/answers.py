"""What the hub answered, as data or as an error in words; also what is no answer of a hub at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from fileflux import errors as e
from fileflux.protocol.limits import MIB

if TYPE_CHECKING:
    import requests


class InvalidError(e.ConfigError):
    """The hub does not accept some fields; ``fields`` has what is wrong by their names. ``items``: of several things, those it is about."""

    fields: dict[str, list[str]]
    items: list[dict[str, Any]]


MAX_ANSWER: Final = 16 * MIB
_PIECE: Final = 64 * 1024
_JSON: Final = ("application/json", "application/problem+json")
_ERRORS: Final[dict[int, type[e.FluxError]]] = {
    400: e.ConfigError,
    401: e.AuthError,
    403: e.ForbiddenError,
    404: e.NotFoundError,
    409: e.ConflictError,
    412: e.ConflictError,
    413: e.ConfigError,
    422: InvalidError,
    429: e.OverloadedError,
    502: e.UnavailableError,
    503: e.UnavailableError,
    504: e.UnavailableError,
}


def result(url: str, response: requests.Response) -> Any:
    """The JSON of an answer, or None for a 204. Raises the FluxError that the answer means."""
    text = bytearray()
    for piece in response.iter_content(_PIECE):
        text += piece
        if len(text) > MAX_ANSWER:
            raise e.FluxError(f"the answer of {url} is too large", code="bad_answer")
    if response.status_code == 204:
        return None
    kind = response.headers.get("Content-Type", "").partition(";")[0]
    try:
        data = json.loads(text) if kind in _JSON else None
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or 300 <= response.status_code < 400:
        raise _no_hub(url, response)
    if response.ok:
        return data
    raise _refusal(response, data)


def items(answer: Any) -> tuple[list[dict[str, Any]], str | None]:
    """One page of a list, and the cursor of the next."""
    try:
        found, cursor = answer["items"], answer["next_cursor"]
    except (KeyError, TypeError):
        found, cursor = None, None
    if not isinstance(found, list):
        raise e.FluxError("what answers there is no FileFlux hub of this version; check the address", code="bad_answer")
    return found, cursor


def retry_after(response: requests.Response) -> float:
    """The seconds that an answer asks to wait; 0 when it says nothing of use."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0.0


def _no_hub(url: str, response: requests.Response) -> e.FluxError:
    """Something else answered: a proxy, a login page, another server."""
    status = response.status_code
    if status in (502, 503, 504):
        return e.UnavailableError(f"the hub behind {url} does not answer (status {status}){_later(response)}")
    if status == 429:
        return e.OverloadedError(f"something before {url} lets nothing more through (status 429){_later(response)}")
    if status == 407:
        return e.FluxError(f"the proxy on the way to {url} wants credentials; set them in HTTPS_PROXY", code="proxy")
    hint = f" (status {status})"
    if 300 <= status < 400 and "Location" in response.headers:
        hint = f" (it redirects to {response.headers['Location'][:200]})"
    elif status == 400 and url.startswith("http:"):
        hint = " (is it one with TLS? then write https://)"
    elif status == 426:
        hint = " (it wants another protocol: status 426)"
    return e.FluxError(f"{url} does not answer like a FileFlux hub{hint}; check the address", code="bad_answer")


def _refusal(response: requests.Response, document: dict[str, Any]) -> e.FluxError:
    status = response.status_code
    detail = str(document.get("detail", f"the hub answered with status {status}"))
    fields = document.get("errors")
    if isinstance(fields, dict):
        detail = "; ".join(f"{name}: {' '.join(map(str, texts))}" for name, texts in fields.items())
    if status in (429, 503):
        # The hub's own sentence often says it already.
        detail += "" if "try again in" in detail else _later(response)
    error = _ERRORS.get(status, e.FluxError)(detail, code=str(document.get("code", "internal")))
    if isinstance(error, e.UnavailableError):
        error.retry_after = retry_after(response)
    if isinstance(error, InvalidError):
        error.fields = fields if isinstance(fields, dict) else {}
        error.items = document.get("items", [])
    return error


def _later(response: requests.Response) -> str:
    seconds = retry_after(response)
    return f"; try again in {seconds:.0f} s" if seconds else ""
