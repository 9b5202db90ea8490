"""A certificate and its key from files: every way in which they can be wrong is one line that names the file."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NoReturn

from cryptography import x509

from fileflux.errors import ConfigError
from fileflux.protocol.limits import MIB

FILE_MAX: Final = 1 * MIB
WARN_BEFORE: Final = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Pair:
    """A context that serves with it, when the certificate ends, what is doubtful about it, and what the files held, as a hash."""

    context: ssl.SSLContext
    ends: datetime
    warnings: tuple[str, ...]
    fingerprint: bytes


def load_pair(certificate: Path, key: Path, now: datetime) -> Pair:
    """Read both files (they may be one). Raises ConfigError for everything that would keep a client from connecting, except time."""
    held = _read(certificate, "certificate"), _read(key, "key")
    if b"-----BEGIN CERTIFICATE-----" not in held[0]:
        raise ConfigError(f"{certificate} holds no certificate (PEM, -----BEGIN CERTIFICATE-----); check --tls-cert")
    if b"PRIVATE KEY-----" not in held[1]:
        raise ConfigError(f"{key} holds no private key (PEM, -----BEGIN PRIVATE KEY-----); check --tls-key")
    try:
        leaf = x509.load_pem_x509_certificate(held[0])
    except ValueError:
        raise ConfigError(f"the certificate in {certificate} is damaged; check --tls-cert") from None
    context = server_context()

    def refuse_to_ask() -> NoReturn:
        raise ConfigError(f"the key in {key} is encrypted: decrypt it (`openssl pkey -in {key} -out F`)")

    try:
        context.load_cert_chain(certificate, key, refuse_to_ask)
    except ssl.SSLError as error:
        raise ConfigError(_explain(certificate, key, error)) from None
    except OSError as error:
        raise ConfigError(f"cannot read {certificate} or {key}: {error.strerror}") from None
    digest = hashlib.sha256(held[0] + held[1]).digest()
    return Pair(context, leaf.not_valid_after_utc, tuple(_doubts(certificate, leaf, now)), digest)


def server_context() -> ssl.SSLContext:
    """TLS from 1.2 on, no renegotiation, HTTP/1.1; which ciphers is the library's choice."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    return context


def _read(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            held = file.read(FILE_MAX + 1)
    except OSError as error:
        raise ConfigError(f"cannot read the TLS {what} {path}: {error.strerror}") from None
    if len(held) > FILE_MAX:
        raise ConfigError(f"{path} is larger than 1 MiB: this is no TLS {what}")
    return held


def _explain(certificate: Path, key: Path, error: ssl.SSLError) -> str:
    reason = error.reason or str(error)
    if reason == "KEY_VALUES_MISMATCH":
        return f"the key in {key} does not belong to the first certificate in {certificate}"
    if reason in ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK"):
        return f"the certificate in {certificate} is too weak ({reason.lower().replace('_', ' ')}): make a new one"
    return f"{certificate} and {key} cannot be used for TLS: {reason.lower().replace('_', ' ')}"


def _doubts(path: Path, leaf: x509.Certificate, now: datetime) -> list[str]:
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if end <= now:
        return [f"the certificate in {path} expired on {end:%Y-%m-%d %H:%M} UTC: clients will refuse it"]
    if begin > now:
        return [f"the certificate in {path} is not valid before {begin:%Y-%m-%d %H:%M} UTC: clients will refuse it"]
    if end <= now + WARN_BEFORE:
        return [f"the certificate in {path} expires on {end:%Y-%m-%d %H:%M} UTC"]
    return []
