"""Why TLS to the hub failed, in one sentence that says what to do. Pure: the facts come in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from fileflux.actors.kernel.tls import TlsError, TlsFailure
from flux_agent.transports.certificate import Certificate
from flux_agent.transports.reach import Layer, ReachError

SKEW_S: Final = 120.0
"""Clocks further apart than this are worth a word."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about a failed handshake. ``certificate`` and ``hub_time`` come from whoever answered and decide nothing."""

    url: str
    host: str
    now: datetime
    ca_file: Path | None
    pinned: bool
    certificate: Certificate | None = None
    hub_time: datetime | None = None


def explain(error: TlsError, facts: Facts) -> ReachError:
    """The same failure with its layer, "tls" or "clock"."""
    layer: Layer = "tls"
    hub, issuer = f"the hub {facts.url}", facts.certificate.issuer if facts.certificate else "somebody"
    match error.failure:
        case TlsFailure.UNKNOWN_CA if facts.pinned:
            text = f"the certificate of {hub} is not from the CA that the token names, but from {issuer}: restart the hub, or make a new token"
        case TlsFailure.UNKNOWN_CA if facts.ca_file is not None:
            text = (
                f"the certificate of {hub} is from {issuer}, which is not in {facts.ca_file}: put that CA into the file"
            )
        case TlsFailure.UNKNOWN_CA:
            text = f"the certificate of {hub} is from {issuer}, whom this machine does not know: give that CA's certificate as ca_file (PEM)"
        case TlsFailure.NAME_MISMATCH:
            names = (
                ", ".join(facts.certificate.names) if facts.certificate and facts.certificate.names else "other names"
            )
            text = f"the certificate of {hub} is for {names} and not for {facts.host}: name the hub so, or have its certificate made for {facts.host}"
        case TlsFailure.EXPIRED | TlsFailure.NOT_YET_VALID:
            layer, text = _dates(error.failure, facts)
        case TlsFailure.NOT_TLS | TlsFailure.PLAIN_HTTP:
            text = f"{hub} does not speak TLS: is this the right port, or an http:// hub?"
        case TlsFailure.VERSION:
            text = f"{hub} speaks no TLS that this agent accepts (1.2 or newer): update what serves TLS there"
        case TlsFailure.CLOSED:
            text = (
                f"{hub} closed the connection in the TLS handshake: a firewall or proxy in between may not let TLS pass"
            )
        case TlsFailure.TIMEOUT:
            text = f"{hub} does not answer the TLS handshake ({error.strerror}): a firewall in between may hold it, or the hub is overloaded"
        case TlsFailure.REFUSED:
            text = (
                f"{hub} refused TLS ({error.strerror}): what serves TLS there may want something that an agent has not"
            )
        case _:
            text = f"no TLS with {hub}: {error.strerror}; somebody in between may change what is sent"
    return ReachError(layer, text)


def _dates(failure: TlsFailure, facts: Facts) -> tuple[Layer, str]:
    certificate, here = facts.certificate, f"this machine's clock says {_shown(facts.now)}"
    if certificate is None:
        word = "expired" if failure is TlsFailure.EXPIRED else "not yet valid"
        return (
            "tls",
            f"the certificate of the hub {facts.url} is {word}, and {here}: renew it, or set the clock if that is wrong",
        )
    since = (
        f"expired on {_shown(certificate.not_after)}"
        if failure is TlsFailure.EXPIRED
        else f"is valid only from {_shown(certificate.not_before)}"
    )
    text = f"the certificate of the hub {facts.url} {since}, and {here}"
    there = facts.hub_time
    if there is not None and certificate.not_before <= there <= certificate.not_after:
        return "clock", f"{text}, the hub's {_shown(there)}: set this machine's clock"
    if failure is TlsFailure.EXPIRED:
        return "tls", f"{text}: renew the hub's certificate, or set the clock if that is wrong"
    return "clock", f"{text}: set this machine's clock, or the one of the machine that made the certificate"


def _shown(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
