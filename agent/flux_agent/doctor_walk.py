"""The layers between this machine and the hub, each looked at once, in order."""

from __future__ import annotations

import ipaddress
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import requests

from fileflux.actors.kernel.pump import Pump
from fileflux.actors.kernel.resolver import Address
from fileflux.actors.kernel.runtime import Result
from fileflux.actors.kernel.tls import TlsSocket
from fileflux.clock import Clock
from fileflux.errors import AuthError, FluxError, UnavailableError
from fileflux.protocol.limits import KIB
from fileflux.protocol.link import Buffer
from fileflux.protocol.upgrade import retry_after_seconds
from flux_agent.config import AgentConfig
from flux_agent.doctor_report import Check
from flux_agent.transports.certificate import read
from flux_agent.transports.deadline import Deadline
from flux_agent.transports.network import HubSocket, Network
from flux_agent.transports.reach import ReachError
from flux_agent.transports.stranger import date_of
from flux_agent.transports.tls_words import SKEW_S
from flux_agent.transports.websocket import WebSocketDialer

LAYERS: Final = ("dns", "tcp", "proxy", "tls", "http", "token", "upgrade", "clock")
ANSWER_MAX: Final = 64 * KIB
ECHO_BYTES: Final = 32 * KIB
EXPIRES_SOON_DAYS: Final = 14
HTTP_SECONDS: Final = 2.0
"""HTTP tells whole seconds, and the answer was on its way."""
TOKEN: Final = 4
"""Exit code: the token has to be changed."""


def skipped(name: str, because: str) -> Check:
    """A layer that cannot be looked at because another one failed."""
    return Check(name, "skipped", f"{because} failed")


def configuration(config: AgentConfig) -> Check:
    """Of a configuration that can be used."""
    found = f"hub {config.hub}, transport {config.transport_mode}"
    if config.exposed:
        return Check(
            "configuration", "warn", found, "--insecure: everybody on the way can read token and files; use https"
        )
    return Check("configuration", "ok", found)


class Walk:
    """The layers between this machine and the hub. Each step leaves behind what the next one needs.

    ``made`` are the checks so far, for who does not wait to the end.
    """

    def __init__(self, config: AgentConfig, network: Network, clock: Clock) -> None:
        self._config = config
        self._network = network
        self._clock = clock
        self._timeout = config.limits.handshake_timeout
        self._found: list[Address] = []
        self._connection: HubSocket | None = None
        self._health: _Answer | None = None
        self._clock_is_wrong: str | None = None
        self.made: list[Check] = []

    def checks(self) -> list[Check]:
        """Walk. Once only."""
        made = self.made
        failed = ""
        steps: Mapping[str, Callable[[], Check]] = {
            "dns": self._dns,
            "tcp": self._tcp,
            "proxy": self._proxy,
            "tls": self._tls,
            "http": self._http,
            "token": self._token,
            "upgrade": self._upgrade,
            "clock": self._clocks,
        }
        try:
            for name, step in steps.items():
                if failed and not (name == "clock" and self._clock_is_wrong):
                    made.append(skipped(name, failed))
                    continue
                made.append(self._taken(name, step))
                failed = name if made[-1].status == "fail" else failed
        finally:
            if self._connection is not None:
                self._connection.close()
        return made

    def _taken(self, name: str, step: Callable[[], Check]) -> Check:
        try:
            return step()
        except AuthError as error:
            return Check(name, "fail", str(error), exit_code=TOKEN)
        except ReachError as error:
            if error.layer == "clock":
                self._clock_is_wrong = str(error)
            return Check(name, "fail", str(error), _later(error.retry_after))
        except FluxError as error:
            return Check(name, "fail", str(error))

    def _dns(self) -> Check:
        target = self._network.proxy or self._network.hub
        whose = f"the proxy {target.host}" if self._network.proxy else target.host
        self._found = self._network.find(self._deadline())
        shown = ", ".join(str(address[1][0]) for address in self._found)
        return Check("dns", "ok", f"{whose} is an address" if _is_address(target.host) else f"{whose} is {shown}")

    def _tcp(self) -> Check:
        begun = self._clock.monotonic()
        self._connection = self._network.reach(self._found, self._deadline())
        took = (self._clock.monotonic() - begun) * 1000
        address = self._connection.getpeername()
        return Check("tcp", "ok", f"{address[0]} port {address[1]} answers in {took:.0f} ms")

    def _proxy(self) -> Check:
        proxy, connection = self._network.proxy, self._connection
        if proxy is None or connection is None or isinstance(connection, TlsSocket):
            return Check("proxy", "skipped", "none is configured: the way is direct")
        self._connection = None
        self._connection = self._network.tunnel(connection, self._deadline())
        return Check("proxy", "ok", f"{proxy} (from {proxy.origin}) lets through to {self._network.hub.authority}")

    def _tls(self) -> Check:
        if self._network.hub.scheme == "http":
            return Check("tls", "skipped", "the hub is an http:// one")
        deadline = self._deadline()
        self._network.learn_ca(deadline)
        connection, self._connection = self._connection, None
        if connection is None:
            raise UnavailableError("the connection is gone: try again")
        self._connection = connection = self._network.secure(connection, deadline)
        tls = connection.tls if isinstance(connection, TlsSocket) else None
        shown = read((tls.getpeercert(True) if tls else None) or b"")
        trusted = "the pinned CA" if self._config.pin else str(self._config.ca_file or "the system's CAs")
        found = f"{tls.version() if tls else 'TLS'}, verified against {trusted}"
        if shown is None:
            return Check("tls", "ok", found)
        days = (shown.not_after - self._clock.utc_now()).days
        found += f", issued by {shown.issuer}, expires in {days} days"
        if days < EXPIRES_SOON_DAYS:
            return Check("tls", "warn", found, "renew the hub's certificate soon")
        return Check("tls", "ok", found)

    def _http(self) -> Check:
        health = self._health = self._get("/healthz")
        if health.status == 200 and health.document.get("status") == "ok":
            return Check("http", "ok", "/healthz answers like a hub")
        return Check("http", "fail", _no_hub(health), _later(health.retry_after))

    def _token(self) -> Check:
        answer = self._get("/api/agent/check")
        document = answer.document
        if answer.status == 401:
            raise AuthError(
                "the hub does not know this token, or it is revoked or, by the hub's clock, expired: make a new one there"
            )
        if answer.status != 200 or document.get("product") != "fileflux":
            return Check(
                "token",
                "fail",
                f"the hub cannot say whether the token is valid: {_no_hub(answer)}",
                _later(answer.retry_after),
            )
        found = f"valid, of agent {document.get('agent')}"
        expires = _moment(document.get("expires_at"))
        if expires is None:
            return Check("token", "ok", f"{found}, without an end")
        days = (expires - self._clock.utc_now()).days
        if days < EXPIRES_SOON_DAYS:
            return Check("token", "warn", f"{found}, expires in {days} days", "make a new one in time")
        return Check("token", "ok", f"{found}, expires in {days} days")

    def _upgrade(self) -> Check:
        if self._config.transport_mode == "polling":
            return Check("upgrade", "skipped", "transport_mode is polling")
        try:
            self._echo()
        except UnavailableError as error:
            if self._config.transport_mode == "auto":
                return Check("upgrade", "warn", str(error), "long-polling will be used")
            return Check("upgrade", "fail", str(error), "transport_mode is websocket: auto would use long-polling")
        return Check("upgrade", "ok", "WebSocket passes, both ways")

    def _clocks(self) -> Check:
        if self._clock_is_wrong is not None:
            return Check("clock", "fail", self._clock_is_wrong)
        there = self._health.date if self._health is not None else None
        if there is None or self._health is None:
            return Check("clock", "skipped", "the hub does not say what time it has")
        apart = (self._health.at - there).total_seconds()
        if abs(apart) <= HTTP_SECONDS:
            return Check("clock", "ok", "this machine's clock agrees with the hub's")
        found = f"this machine's clock is {abs(apart):.0f} s {'ahead of' if apart > 0 else 'behind'} the hub's"
        if abs(apart) > SKEW_S:
            return Check("clock", "warn", found, "certificates and tokens expire by it: set it, for example by NTP")
        return Check("clock", "ok", found)

    def _deadline(self) -> Deadline:
        return Deadline(self._clock, self._timeout)

    def _get(self, path: str) -> _Answer:
        deadline = self._deadline()
        url = self._network.hub.url + path
        try:
            with (
                self._network.requests_session(1) as session,
                session.get(url, timeout=(self._timeout, self._timeout), stream=True) as response,
            ):
                body = b""
                for piece in response.iter_content(4 * KIB):
                    body += piece
                    deadline.left()
                    if len(body) > ANSWER_MAX:
                        break
                return _Answer.of(response, body, self._clock.utc_now())
        except (requests.exceptions.RequestException, TimeoutError) as error:
            reason = str(error).partition("\n")[0][:200]
            raise ReachError("http", f"{url} does not answer: {reason}; is it a hub, and is it overloaded?") from None

    def _echo(self) -> None:
        """A WebSocket for real, and data both ways."""
        limits = self._config.limits
        pump = Pump()
        pump.start()
        try:
            dialer = WebSocketDialer(self._network, pump, limits, self._clock, path="/ws/agent/check")
            link = dialer.dial()
            heard = _Heard()
            link.start(heard)
            sent = secrets.token_bytes(ECHO_BYTES)
            link.send_binary(sent)
            try:
                came = heard.data.get(limits.handshake_timeout)
            finally:
                link.close(1000, "the check is over")
            if came != sent:
                raise UnavailableError("the upgrade passes, but data is changed on its way")
        finally:
            pump.stop()


@dataclass(frozen=True, slots=True)
class _Answer:
    """Of an HTTP request; ``at`` is when it came, ``document`` its JSON object, empty if it is none."""

    status: int
    page: bool
    location: str
    retry_after: float
    date: datetime | None
    at: datetime
    document: Mapping[str, Any]

    @classmethod
    def of(cls, response: requests.Response, body: bytes, now: datetime) -> _Answer:
        headers = response.headers
        try:
            parsed = json.loads(body)
        except ValueError:
            parsed = None
        return cls(
            status=response.status_code,
            page="html" in headers.get("Content-Type", "").lower(),
            location=headers.get("Location", "")[:200] if 300 <= response.status_code < 400 else "",
            retry_after=retry_after_seconds(headers.get("Retry-After"), now),
            date=date_of(headers.get("Date")),
            at=now,
            document=parsed if isinstance(parsed, dict) else {},
        )


class _Heard:
    """Listens to a link for one binary message."""

    def __init__(self) -> None:
        self.data: Result[bytes] = Result()

    def on_text(self, text: str) -> None:
        self.data.set_error(
            UnavailableError(f"the upgrade passes, but {text[:40]!r} comes back in place of what was sent")
        )

    def on_binary(self, data: Buffer) -> None:
        self.data.set(bytes(data))

    def on_life(self) -> None:
        """One message is all that is waited for."""

    def on_closed(self, code: int, reason: str) -> None:
        self.data.set_error(UnavailableError(f"the upgrade passes, but the connection is cut ({code} {reason})"))


def _no_hub(answer: _Answer) -> str:
    """What an answer that is not a hub's says about whoever gave it."""
    if answer.location:
        return f"it redirects to {answer.location}, which is not followed: give the hub's own address"
    if answer.status in (429, 502, 503, 504):
        return f"the hub, or what stands before it, is not ready (status {answer.status}): look at the hub's log"
    if answer.page:
        return f"a web page answers (status {answer.status}): a captive portal, a filter, or another product at this address"
    if answer.status == 407:
        return "a proxy wants credentials (status 407): give proxy as http://USER:PASSWORD@HOST:PORT"
    return f"what answers is no FileFlux hub (status {answer.status}): check host and port"


def _later(seconds: float) -> str:
    return f"it asks to come back in {seconds:g} s" if seconds else ""


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
