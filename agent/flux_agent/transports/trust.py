"""What makes the hub's certificate acceptable: the system's CAs, a CA file, or the one CA whose fingerprint the token carries (the pin).

A pinned CA is not on this machine: the hub gives it away at ``/ca.pem``, over a connection that proves nothing, and only its SHA-256 decides.
From then on the hub's certificate is verified against that CA alone, chain and name. It is kept in memory only.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import ssl
from pathlib import Path
from typing import Final

from fileflux.actors.kernel.tls import client_context
from fileflux.errors import ConfigError
from flux_agent.transports.reach import PinMismatchError, ReachError

CA_PATH: Final = "/ca.pem"
_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")


class Trust:
    """``context`` is None while the pinned CA has not been fetched: then call ``accept`` with what the hub gives."""

    def __init__(self, ca_file: Path | None, pin: str | None) -> None:
        """``pin`` is the SHA-256 of a CA certificate (DER) in hex. Raises ConfigError for a file that holds no certificate, or not the pinned one."""
        self.ca_file = ca_file
        self.pin = pin
        self.context: ssl.SSLContext | None = None
        if ca_file is not None:
            self.context = _from_file(ca_file, pin)
        elif pin is None:
            self.context = client_context()

    def accept(self, status: int, body: bytes) -> None:
        """The answer of ``CA_PATH``. Raises PinMismatchError for another CA, ReachError for an answer that is no CA."""
        found = _PEM.search(body.decode("ascii", "replace"))
        if status != 200 or found is None:
            raise ReachError(
                "tls",
                f"the token names a CA, but what answers has none to show at {CA_PATH} (status {status}): is this the hub's own address?"
                " If its certificate comes from another CA, use the token without the part behind the dot",
            )
        der = _der(found[0])
        if not hmac.compare_digest(_fingerprint(der), self.pin or ""):
            raise PinMismatchError(
                "the CA of whoever answers is not the one that the token names: this is another hub, or somebody in between."
                " The token was not sent. Check the hub's address; if the hub has a new CA, make a new token there"
            )
        self.context = client_context(ca_data=der)

    def forget(self) -> None:
        """Fetch the pinned CA again next time."""
        if self.pin is not None and self.ca_file is None:
            self.context = None


def unverified() -> ssl.SSLContext:
    """For a connection over which nothing secret goes and of which nothing is believed.

    Made without the system's CAs: reading them takes 20 ms of the loop.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _from_file(path: Path, pin: str | None) -> ssl.SSLContext:
    try:
        if pin is None:
            return client_context(ca_file=path)
        text = path.read_text("ascii", "replace")
    except ssl.SSLError:
        raise ConfigError(
            f"ca_file {path} holds no certificate: it must be a PEM file (-----BEGIN CERTIFICATE-----)"
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot read ca_file {path}: {(error.strerror or str(error)).lower()}") from None
    for certificate in _PEM.findall(text):
        der = _der(certificate)
        if _fingerprint(der) == pin:
            return client_context(ca_data=der)
    raise ConfigError(
        f"ca_file {path} does not hold the CA that the token names: leave ca_file out, or trust the file instead and use the token"
        " without the part behind the dot"
    )


def _der(pem: str) -> bytes:
    try:
        return ssl.PEM_cert_to_DER_cert(pem)
    except ValueError:
        return b""


def _fingerprint(der: bytes) -> str:
    return hashlib.sha256(der).hexdigest()
