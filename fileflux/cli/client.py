"""The REST API as the command line uses it: one pooled session, bounded answers, errors in words."""

from __future__ import annotations

import ipaddress
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

import requests

from fileflux import errors as e
from fileflux.cli import answers
from fileflux.cli.trust import tls_advice

CONNECT_TIMEOUT_S: Final = 5.0
READ_TIMEOUT_S: Final = 30.0
"""The slowest answer is that of a run of one file, which waits for its first row."""
PAGE: Final = 200
IN_PROGRESS_TRIES: Final = 10
"""How often a request whose connection broke is asked for again while the hub still works on it."""
IN_PROGRESS_PAUSE_S: Final = 1.0
_WITHOUT_KEY: Final = "/api/auth/"
"""Logging in is no change that must happen once, and its answer is not kept."""
Refresh = Callable[["HubClient"], bool]
T = TypeVar("T")


class HubClient:
    """``url`` is checked by ``check_url`` first. Every method raises a FluxError; UnavailableError when the hub cannot be reached.

    ``refresh`` is called once when the token has expired; it sets a new ``token`` and returns True, or returns False. ``ca_file``, checked by
    ``check_ca_file``, holds the only CAs that are trusted.

    A connection that breaks is tried once more where that does no harm: a GET, and a POST, which carries an Idempotency-Key.
    """

    def __init__(self, url: str, token: str = "", refresh: Refresh | None = None, ca_file: str | None = None) -> None:
        self.url = url
        self.token = token
        self.ca_file = ca_file
        self._refresh = refresh
        self._patience = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
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

    def hurry(self, seconds: float) -> None:
        """Wait no longer than this for a connection, nor for an answer."""
        self._patience = (min(seconds, CONNECT_TIMEOUT_S), min(seconds, READ_TIMEOUT_S))

    def login(self, email: str, password: str) -> dict[str, Any]:
        """Log in and use the token from now on; returns the answer of the hub."""
        self.token = ""
        answer: dict[str, Any] = self.post("/api/auth/login", {"email": email, "password": password})
        self.token = answer["token"]
        return answer

    def get(self, path: str, /, **query: Any) -> Any:
        """Values of None are left out of the query; a list is given several times."""
        return self._call("GET", path, query=_given(query))[0]

    def get_version(self, path: str) -> tuple[Any, str]:
        """A record with its ETag, for ``patch`` and ``delete``."""
        data, headers = self._call("GET", path)
        return data, headers.get("ETag", "")

    def post(self, path: str, body: Any = None, version: str = "", **query: Any) -> Any:
        """Done once even when the connection breaks and it is sent again. With ``version``: only if the record is still the one with that ETag."""
        headers = {} if path.startswith(_WITHOUT_KEY) else {"Idempotency-Key": secrets.token_hex(16)}
        return self._call("POST", path, query=_given(query), body=body, headers=headers | _if_match(version))[0]

    def post_file(self, path: str, content: bytes, content_type: str, silence: float, **query: Any) -> Any:
        """Send a file as it is; wait up to ``silence`` seconds for the answer. Done once, as ``post``."""
        headers = {"Idempotency-Key": secrets.token_hex(16), "Content-Type": content_type}
        return self._call("POST", path, query=_given(query), data=content, headers=headers, silence=silence)[0]

    @contextmanager
    def download(self, path: str, **query: Any) -> Iterator[Iterator[bytes]]:
        """A file that the hub makes, piece by piece."""
        response = self._with_token(lambda: self._send("GET", path, _given(query), None, None, self._patience[1]))
        with response:
            if not response.ok:
                answers.result(self.url, response)
            yield self._pieces(response)

    def patch(self, path: str, body: Any, version: str = "") -> Any:
        """With ``version``: only if the record is still the one with that ETag; ConflictError else."""
        return self._call("PATCH", path, body=body, headers=_if_match(version))[0]

    def delete(self, path: str, version: str = "") -> None:
        self._call("DELETE", path, headers=_if_match(version))

    def pages(self, path: str, limit: int | None = None, /, **query: Any) -> Iterator[dict[str, Any]]:
        """The items of a list, page by page; all of them, or at most ``limit``."""
        cursor: str | None = None
        left = limit
        while left is None or left > 0:
            answer = self.get(path, limit=PAGE if left is None else min(left, PAGE), cursor=cursor, **query)
            items, cursor = answers.items(answer)
            yield from items
            left = None if left is None else left - len(items)
            if cursor is None:
                return

    @contextmanager
    def stream(self, path: str, silence: float, headers: Mapping[str, str], **query: Any) -> Iterator[Iterator[bytes]]:
        """The body of an answer that does not end, piece by piece; UnavailableError after ``silence`` seconds without one."""
        response = self._with_token(lambda: self._send("GET", path, _given(query), None, headers, silence))
        with response:
            if response.status_code != 200 or not response.headers.get("Content-Type", "").startswith("text/event"):
                answers.result(self.url, response)
                raise e.FluxError(f"{self.url} has no live feed; check the address", code="bad_answer")
            yield self._pieces(response)

    def _pieces(self, response: requests.Response) -> Iterator[bytes]:
        with self._in_words():
            yield from response.iter_content(None)

    def _authorise(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.token:
            request.headers["Authorization"] = f"Bearer {self.token}"
        return request

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Any = None,
        body: Any = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        silence: float | None = None,
    ) -> tuple[Any, Mapping[str, str]]:
        patience = self._patience[1] if silence is None else silence

        def once() -> tuple[Any, Mapping[str, str]]:
            with self._send(method, path, query, body, headers, patience, data) as response, self._in_words():
                return answers.result(self.url, response), response.headers

        repeatable = method == "GET" or "Idempotency-Key" in (headers or {})
        try:
            return self._with_token(once)
        except _BrokenError:
            if not repeatable:
                raise
        return self._again(lambda: self._with_token(once))

    def _again(self, call: Callable[[], tuple[Any, Mapping[str, str]]]) -> tuple[Any, Mapping[str, str]]:
        """The same request after its connection broke: the hub may still be busy with the first one."""
        for _ in range(IN_PROGRESS_TRIES):
            try:
                return call()
            except e.ConflictError as error:
                if error.code != "idempotency_in_progress":
                    raise
                time.sleep(IN_PROGRESS_PAUSE_S)
        return call()

    def _with_token(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except e.AuthError as error:
            if error.code != "token_expired" or self._refresh is None or not self._refresh(self):
                raise
        return call()

    def _send(
        self,
        method: str,
        path: str,
        query: Any,
        body: Any,
        headers: Mapping[str, str] | None,
        silence: float,
        data: bytes | None = None,
    ) -> requests.Response:
        with self._in_words():
            response = self._session.request(
                method,
                self.url + path,
                params=query,
                json=body,
                data=data,
                headers=dict(headers or {}),
                timeout=(self._patience[0], silence),
                allow_redirects=False,
                stream=True,
                # Given with the call: REQUESTS_CA_BUNDLE comes before what a session holds.
                verify=self.ca_file,
            )
        if response.status_code == 401:
            with response:
                answers.result(self.url, response)
        return response

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        """Errors of the network as one line that says what to do."""
        try:
            yield
        except requests.exceptions.SSLError as error:
            raise e.UnavailableError(tls_advice(self.url, error)) from None
        except requests.exceptions.ConnectTimeout:
            raise e.UnavailableError(
                f"no answer from {self.url} within {self._patience[0]:.0f} s; check the address and the firewall"
            ) from None
        except requests.exceptions.Timeout:
            raise e.UnavailableError(f"the hub at {self.url} does not answer; is it running?") from None
        except requests.exceptions.RequestException as error:
            reason, cause = _reason(error)
            broken = isinstance(cause, ConnectionError | HTTPException)
            if broken and not isinstance(cause, ConnectionRefusedError):
                raise _BrokenError(f"the connection to the hub at {self.url} broke: {reason}") from None
            raise e.UnavailableError(f"cannot reach the hub at {self.url}: {reason}") from None


class _BrokenError(e.UnavailableError):
    """The connection ended before the answer was there: whether the request was carried out is not known."""


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


def _given(query: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


def _if_match(version: str) -> dict[str, str]:
    return {"If-Match": version} if version else {}


def _reason(error: Exception) -> tuple[str, BaseException]:
    """The innermost cause in a few words, and itself; requests wraps it several times."""
    cause: BaseException = error
    while (deeper := cause.__cause__ or cause.__context__) is not None:
        cause = deeper
    return str(getattr(cause, "strerror", None) or cause).partition("\n")[0][:200], cause
