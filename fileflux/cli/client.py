"""The REST API as the command line uses it: one pooled session, bounded answers, errors in words."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import requests

from fileflux import errors as e
from fileflux.cli.trust import tls_advice
from fileflux.protocol.limits import MIB

CONNECT_TIMEOUT_S: Final = 5.0
READ_TIMEOUT_S: Final = 30.0
"""The slowest answer is that of a run of one file, which waits for its first row."""
MAX_ANSWER: Final = 16 * MIB
PAGE: Final = 200
_ERRORS: Final[dict[int, type[e.FluxError]]] = {
    400: e.ConfigError,
    401: e.AuthError,
    403: e.ForbiddenError,
    404: e.NotFoundError,
    409: e.ConflictError,
    413: e.ConfigError,
    422: e.ConfigError,
    429: e.OverloadedError,
    503: e.UnavailableError,
}
Refresh = Callable[["HubClient"], bool]


class HubClient:
    """``url`` is checked by ``check_url`` first. Every method raises a FluxError; UnavailableError when the hub cannot be reached.

    ``refresh`` is called once when the token has expired; it sets a new ``token`` and returns True, or returns False. ``ca_file``, checked by
    ``check_ca_file``, holds the only CAs that are trusted.
    """

    def __init__(self, url: str, token: str = "", refresh: Refresh | None = None, ca_file: str | None = None) -> None:
        self.url = url
        self.token = token
        self._refresh = refresh
        self._ca_file = ca_file
        self._session = requests.Session()
        # An auth object of our own keeps requests from sending what a .netrc says in place of the token.
        self._session.auth = self._authorise
        self._session.headers["Accept"] = "application/json"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._session.close()

    def login(self, email: str, password: str) -> dict[str, Any]:
        """Log in and use the token from now on; returns the answer of the hub."""
        self.token = ""
        answer: dict[str, Any] = self.post("/api/auth/login", {"email": email, "password": password})
        self.token = answer["token"]
        return answer

    def get(self, path: str, **query: Any) -> Any:
        """Values of None are left out of the query."""
        return self._call("GET", path, query={name: value for name, value in query.items() if value is not None})

    def post(self, path: str, body: Any = None) -> Any:
        return self._call("POST", path, body=body)

    def delete(self, path: str) -> None:
        self._call("DELETE", path)

    def pages(self, path: str, limit: int | None = None, **query: Any) -> Iterator[dict[str, Any]]:
        """The items of a list, page by page; all of them, or at most ``limit``."""
        cursor: str | None = None
        left = limit
        while left is None or left > 0:
            answer = self.get(path, limit=PAGE if left is None else min(left, PAGE), cursor=cursor, **query)
            items = answer["items"]
            yield from items
            cursor = answer["next_cursor"]
            left = None if left is None else left - len(items)
            if cursor is None:
                return

    def _authorise(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.token:
            request.headers["Authorization"] = f"Bearer {self.token}"
        return request

    def _call(self, method: str, path: str, *, query: Any = None, body: Any = None) -> Any:
        try:
            return self._try(method, path, query, body)
        except e.AuthError as error:
            if error.code != "token_expired" or self._refresh is None or not self._refresh(self):
                raise
        return self._try(method, path, query, body)

    def _try(self, method: str, path: str, query: Any, body: Any) -> Any:
        try:
            with self._session.request(
                method,
                self.url + path,
                params=query,
                json=body,
                timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
                allow_redirects=False,
                stream=True,
                # Given with the call: REQUESTS_CA_BUNDLE comes before what a session holds.
                verify=self._ca_file,
            ) as response:
                return _result(self.url, response)
        except requests.exceptions.SSLError as error:
            raise e.UnavailableError(tls_advice(self.url, error)) from None
        except requests.exceptions.Timeout:
            raise e.UnavailableError(f"the hub at {self.url} does not answer; is it running?") from None
        except requests.exceptions.RequestException as error:
            raise e.UnavailableError(f"cannot reach the hub at {self.url}: {_reason(error)}") from None


def check_url(url: str, *, insecure: bool) -> str:
    """The hub's address in the one form used everywhere.

    Raises ConfigError when it is not ``http(s)://HOST[:PORT]``, or when a password would go over the network in plain text.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise e.ConfigError(f"{url!r} is not an address; write https://HOST:PORT") from None
    host = parts.hostname
    if parts.scheme not in ("http", "https") or not host:
        raise e.ConfigError(f"{url!r} is not the address of a hub; write https://HOST:PORT")
    if parts.username is not None or parts.password is not None:
        raise e.ConfigError("no credentials in the address; log in with `fileflux login URL --email E`")
    if parts.path not in ("", "/") or parts.query or parts.fragment or port == 0:
        raise e.ConfigError(f"the address of a hub is only https://HOST:PORT, without {parts.path or 'more'!r}")
    if parts.scheme == "http" and not insecure and not _is_loopback(host):
        raise e.ConfigError(f"{url} is not encrypted; use https, or --insecure if the network is trusted")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port is not None else "")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _result(url: str, response: requests.Response) -> Any:
    text = bytearray()
    for piece in response.iter_content(64 * 1024):
        text += piece
        if len(text) > MAX_ANSWER:
            raise e.FluxError(f"the answer of {url} is too large", code="bad_answer")
    if response.status_code == 204:
        return None
    kind = response.headers.get("Content-Type", "").partition(";")[0]
    try:
        data = json.loads(text) if kind in ("application/json", "application/problem+json") else None
    except ValueError:
        data = None
    if data is None:
        where = f" (it redirects to {response.headers['Location']})" if response.is_redirect else ""
        if response.status_code == 400 and url.startswith("http:"):
            where = " (is it one with TLS? then write https://)"
        if response.status_code in (502, 503, 504):
            raise e.UnavailableError(f"the hub behind {url} does not answer (status {response.status_code})")
        raise e.FluxError(f"{url} does not answer like a FileFlux hub{where}; check the address", code="bad_answer")
    if response.ok:
        return data
    raise _error(response.status_code, data)


def _error(status: int, data: Any) -> e.FluxError:
    document = data if isinstance(data, dict) else {}
    detail = str(document.get("detail", f"the hub answered with status {status}"))
    fields = document.get("errors")
    if isinstance(fields, dict):
        detail = "; ".join(f"{name}: {' '.join(map(str, texts))}" for name, texts in fields.items())
    code = str(document.get("code", "internal"))
    return _ERRORS.get(status, e.FluxError)(detail, code=code)


def _reason(error: Exception) -> str:
    """The innermost cause in a few words; requests wraps it several times."""
    cause: BaseException = error
    while (deeper := cause.__cause__ or cause.__context__) is not None:
        cause = deeper
    return str(getattr(cause, "strerror", None) or cause).partition("\n")[0][:200]
