"""A link over plain requests: a few POSTs carry slices up, a few waiting GETs bring slices down (docs/protocol.md, Long-polling).

Each request runs in a greenlet of its own and is repeated under its number until it is answered, or ``request_retry`` has passed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import requests
import structlog
import urllib3

from fileflux.actors.kernel import runtime
from fileflux.clock import Clock
from fileflux.errors import AuthError, FluxError, RemoteProtocolError, UnavailableError
from fileflux.protocol.limits import KIB, Limits
from fileflux.protocol.polling import PollingLink
from fileflux.protocol.upgrade import retry_after_seconds
from flux_agent.transports.network import Network
from flux_agent.transports.reach import ReachError

log = structlog.get_logger(__name__)

RETRY_PAUSES: Final = (0.0, 0.1, 0.3, 1.0, 2.0)
"""Seconds before a request is repeated, the last one from then on. The first repeat is at once: a pooled connection may have been closed."""
HOLD_MIN_S: Final = 1.0
HOLD_SHARE: Final = 0.8
"""Of the time after which something in between cut a poll that waited: so long, and at least ``HOLD_MIN_S``, polls wait from then on."""
SHRINK_ABOVE: Final = 64 * KIB
"""A connection that breaks twice under a larger body met something that takes no such bodies and does not say so."""
ANSWER_MAX: Final = 64 * KIB
"""Of what is no slice: a problem document, or the page of something in between."""
READ_PART: Final = 64 * KIB
CONTENT_TYPE: Final = "application/octet-stream"
_LINK_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
CLOSE_POLICY: Final = 1008
_FAILURES: Final = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)


@dataclass(frozen=True, slots=True)
class Terms:
    """What the hub said when the link was opened, held to our own bounds."""

    link_id: str
    poll_timeout: float
    polls: int
    slices: int


class PollingDialer:
    """Makes one link per call of ``dial``. ``soon(call)`` runs a callable in the loop a little later."""

    def __init__(
        self, network: Network, limits: Limits, clock: Clock, soon: Callable[[Callable[[], object]], object]
    ) -> None:
        self._network = network
        self._limits = limits
        self._clock = clock
        self._soon = soon

    def dial(self) -> PollingLink:
        """Open a link, within ``handshake_timeout``. Raises UnavailableError, or AuthError when the hub refuses the token."""
        limits, network = self._limits, self._network
        session = network.requests_session(limits.polls_max + limits.slices_in_flight)
        try:
            terms = self._open(session)
        except _FAILURES as error:
            session.close()
            raise ReachError("http", f"the hub at {network.hub.url} does not answer: {error}") from None
        except FluxError:
            session.close()
            raise
        session.headers["X-FileFlux-Session"] = terms.link_id
        return Carrier(session, network.hub.url, network.peer, terms, limits, self._clock, self._soon).link

    def _open(self, session: requests.Session) -> Terms:
        url, timeout = f"{self._network.hub.url}/api/agent/connect", self._limits.handshake_timeout
        with session.post(url, timeout=(timeout, timeout), stream=True) as answer:
            body = answer.raw.read(ANSWER_MAX)
            if answer.status_code == HTTPStatus.UNAUTHORIZED:
                raise AuthError("the hub does not know this token, or it is revoked or expired")
            if answer.status_code != HTTPStatus.OK:
                wait = retry_after_seconds(answer.headers.get("Retry-After"), self._clock.utc_now())
                text = f"{self._network.hub.url} answers with {answer.status_code} {answer.reason}"
                raise ReachError("http", text, retry_after=wait)
        return self._read(body)

    def _read(self, body: bytes) -> Terms:
        limits = self._limits
        try:
            said: dict[str, Any] = json.loads(body)
            if not _LINK_ID.fullmatch(said["session_id"]):
                raise ValueError("no id that may stand in a header")
            return Terms(
                said["session_id"],
                max(0.1, min(limits.poll_timeout, float(said["poll_timeout_s"]))),
                int(max(1, min(limits.polls_max, float(said["polls"])))),
                int(max(1, min(limits.slices_in_flight, float(said["slices"])))),
            )
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            raise ReachError(
                "http", f"what answers at {self._network.hub.url} is no FileFlux hub: check --hub"
            ) from None


class _LinkOverError(Exception):
    """The link ended while a request was being repeated."""


class Carrier:
    """Carries the slices of one link."""

    def __init__(
        self,
        session: requests.Session,
        url: str,
        peer: str,
        terms: Terms,
        limits: Limits,
        clock: Clock,
        soon: Callable[[Callable[[], object]], object],
    ) -> None:
        self._session = session
        self._poll_url = f"{url}/api/agent/poll?timeout="
        self._post_url = f"{url}/api/agent/messages"
        self._terms = terms
        self._limits = limits
        self._clock = clock
        self._soon = soon
        self._due = False
        self._posts: dict[int, runtime.Task] = {}
        self._polls: dict[int, runtime.Task] = {}
        self._next_post = 1
        self._next_poll = 1
        self._hold = terms.poll_timeout
        self._brings = False
        """The last answer was not empty: keep several polls waiting."""
        self._body_max = limits.slice_max
        self.link = PollingLink(limits, clock, peer=peer, held=False, wake=self._wake)

    def _wake(self) -> None:
        if not self._due:
            # Many messages of one moment share a slice.
            self._due = True
            self._soon(self._turn)

    def _turn(self) -> None:
        self._due = False
        if self.link.ended is not None:
            self._stop()
            return
        # Not just so many at once: a number too far ahead of the oldest one is refused by whoever puts them in order.
        while self._next_post < min(self._posts, default=self._next_post) + self._terms.slices:
            data = self.link.next_slice(self._next_post)
            if data is None:
                break
            self._posts[self._next_post] = runtime.spawn(self._carry, self._post, self._next_post, data, name="post")
            self._next_post += 1
        wanted = self._terms.polls if self._brings else 1
        while self._next_poll < min(self._polls, default=self._next_poll) + wanted:
            self._polls[self._next_poll] = runtime.spawn(self._carry, self._poll, self._next_poll, name="poll")
            self._next_poll += 1

    def _stop(self) -> None:
        for task in (*self._posts.values(), *self._polls.values()):
            task.kill(block=False)
        self._session.close()

    def _carry(self, carry: Callable[..., None], *args: object) -> None:
        try:
            carry(*args)
        except _LinkOverError:
            pass
        except RemoteProtocolError as error:
            self.link.lost(f"the hub broke the rules: {error}", CLOSE_POLICY)
        except Exception as error:
            # Whatever it was: a number that nobody carries any more would hold up all that follow.
            log.exception("request_failed")
            self.link.lost(type(error).__name__)
        self._wake()

    # Up

    def _post(self, number: int, data: bytes) -> None:
        offset = 0
        while offset < len(data):
            part = data[offset : offset + self._body_max]
            headers = {"X-FileFlux-Seq": str(number), "Content-Type": CONTENT_TYPE}
            if len(part) < len(data):
                headers["X-FileFlux-Part"] = f"{offset}/{len(data)}"
            if self._ask(headers, part) is not None:
                offset += len(part)
        del self._posts[number]
        self.link.arrived(number)

    # Down

    def _poll(self, number: int) -> None:
        while True:
            headers = {"X-FileFlux-Seq": str(number), "X-FileFlux-Ack": str(self.link.due - 1)}
            body = self._ask(headers, None)
            if body is not None:
                break
        del self._polls[number]
        self._brings = bool(body)
        self.link.take_in(number, body)
        # The next poll goes out while this answer is handled.
        self._wake()
        while self.link.deliver():
            runtime.yield_loop()

    # One request, until it is answered

    def _ask(self, headers: dict[str, str], body: bytes | None) -> bytes | None:
        """The answer's bytes; None when the body was too large and ``_body_max`` is smaller now: send less. No ``body``: a poll."""
        asked = self._clock.monotonic()
        give_up = asked + self._limits.request_retry
        tries = cuts = 0
        while True:
            hold, reached = self._hold, True
            try:
                answer = self._once(headers, body, hold)
            except AuthError as error:
                self.link.lost(str(error), CLOSE_POLICY)
                raise _LinkOverError from None
            except UnavailableError as error:
                trouble, reached = str(error), False
            except _FAILURES as error:
                trouble = type(error).__name__
                if body is not None and tries >= 1 and self._shrink(len(body)):
                    return None
            else:
                if isinstance(answer, bytes):
                    self.link.alive()
                    return answer
                if (
                    answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
                    and body is not None
                    and self._shrink(len(body))
                ):
                    return None
                trouble = answer.final(self.link) or f"{answer.status} {answer.reason}"
            if self.link.ended is not None:
                raise _LinkOverError
            now = self._clock.monotonic()
            if body is None and reached and HOLD_MIN_S <= now - asked < hold:
                # The hub was holding it, so this is no hub that does not answer.
                give_up = now + self._limits.request_retry
                cuts += 1
                if cuts > 1:
                    self._hold_less(now - asked)
            if now >= give_up:
                self.link.lost(f"the hub did not answer for {self._limits.request_retry:g} s: {trouble}")
                raise _LinkOverError
            runtime.sleep(RETRY_PAUSES[min(tries, len(RETRY_PAUSES) - 1)])
            tries += 1
            asked = self._clock.monotonic()

    def _once(self, headers: dict[str, str], body: bytes | None, hold: float) -> bytes | _Trouble:
        limits = self._limits
        if body is None:
            method, url, wait = "GET", f"{self._poll_url}{hold:g}", hold + limits.handshake_timeout
        else:
            # Without a byte of the answer. The link must not die of one connection that somebody forgot.
            method, url, wait = "POST", self._post_url, limits.silence_timeout / 2
        timeout = (limits.handshake_timeout, wait)
        # requests' own types know no body that gives views.
        data: Any = None if body is None else _Body(body, self.link.moving)
        with self._session.request(method, url, headers=headers, data=data, timeout=timeout, stream=True) as answer:
            if answer.status_code == HTTPStatus.NO_CONTENT:
                # Read to its end, although there is nothing: only then is the connection kept for the next request.
                answer.raw.read()
                return b""
            if answer.status_code == HTTPStatus.OK and answer.headers.get("Content-Type") == CONTENT_TYPE:
                return self._read_slice(answer)
            said = _detail(answer.raw.read(ANSWER_MAX)) or str(answer.reason)
            return _Trouble(answer.status_code, said[:100], dict(answer.headers))

    def _read_slice(self, answer: requests.Response) -> bytes:
        parts, size = [], 0
        while size <= self._limits.slice_max and (part := answer.raw.read(READ_PART)):
            # A slice may take minutes; each part of it is a sign of life.
            parts.append(part)
            size += len(part)
            self.link.alive()
        length = answer.headers.get("Content-Length", "")
        if size > self._limits.slice_max or not length.isdigit():
            raise RemoteProtocolError("an answer above the largest slice, or without a length")
        if size != int(length):
            raise ConnectionResetError("the answer was cut")
        return b"".join(parts)

    def _hold_less(self, waited: float) -> None:
        hold = max(HOLD_MIN_S, round(HOLD_SHARE * waited, 1))
        if hold < self._hold:
            self._hold = hold
            log.info(
                "shorter_polls",
                seconds=hold,
                reason=f"something between agent and hub cuts what is idle for {waited:.0f} s",
            )

    def _shrink(self, size: int) -> bool:
        if size <= SHRINK_ABOVE or not self.link.pace.refused(size):
            return False
        self._body_max = max(SHRINK_ABOVE, size // 2)
        log.info("smaller_bodies", bytes=self._body_max, reason="something between agent and hub takes no larger ones")
        return True


class _Body:
    """The bytes of a request. ``moved`` is called when the network has taken some."""

    def __init__(self, data: bytes, moved: Callable[[], None]) -> None:
        self._data = memoryview(data)
        self._size = len(data)
        self._moved = moved

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[memoryview]:
        """By this requests takes it for a stream; read is what is called."""
        return iter((self.read(),))

    def read(self, size: int = -1) -> memoryview:
        if len(self._data) < self._size:
            self._moved()
        part = self._data[: size if size >= 0 else None]
        self._data = self._data[len(part) :]
        return part


def _detail(body: bytes) -> str:
    """What a problem document says; nothing if it is none."""
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


@dataclass(frozen=True, slots=True)
class _Trouble:
    """An answer that is no slice."""

    status: int
    reason: str
    headers: dict[str, str]

    def final(self, link: PollingLink) -> str | None:
        """End the link if repeating the request cannot help. The reason why it may, otherwise None."""
        match self.status:
            case HTTPStatus.UNAUTHORIZED:
                link.lost("the hub does not know this token any more", CLOSE_POLICY)
            case HTTPStatus.GONE:
                code = self.headers.get("X-FileFlux-Close", "")
                link.lost(self.reason, int(code) if code.isdigit() and 1000 <= int(code) <= 4999 else 1006)
            case HTTPStatus.BAD_REQUEST | HTTPStatus.NOT_FOUND | HTTPStatus.CONFLICT:
                link.lost(f"the hub refuses this link: {self.status} {self.reason}")
            case _:
                return None
        return self.reason
