"""Which hubs the command line trusts over TLS, and what to do when it does not trust one."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from fileflux.actors.kernel.tls_engine import TlsFailure, explain
from fileflux.errors import ConfigError

_ADVICE: Final = {
    TlsFailure.UNKNOWN_CA: "its CA is not known here: give the CA's certificate with `fileflux --ca-file F …` or FILEFLUX_CA_FILE"
    " (of a hub with --tls auto: <data-dir>/tls/ca.pem)",
    TlsFailure.NAME_MISMATCH: "its certificate is for other names: use one of those in the address,"
    " or start the hub with --tls-name for this one",
    TlsFailure.EXPIRED: "its certificate has expired (or this machine's clock is wrong): renew it and send the hub SIGHUP",
    TlsFailure.NOT_YET_VALID: "its certificate is not valid yet: is this machine's clock right?",
    TlsFailure.NOT_TLS: "what answers there does not speak TLS: check the port, or write http:// for a hub on this machine",
    TlsFailure.PLAIN_HTTP: "what answers there does not speak TLS: check the port, or write http:// for a hub on this machine",
    TlsFailure.VERSION: "it speaks no TLS from 1.2 on: what answers there is no FileFlux hub of today",
}


def check_ca_file(path: str) -> str:
    """``path``, absolute, if it holds certificates. Raises ConfigError."""
    absolute = str(Path(path).expanduser().absolute())
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(absolute)
    except ssl.SSLError:
        raise ConfigError(f"{path} holds no certificates (PEM, -----BEGIN CERTIFICATE-----); check --ca-file") from None
    except OSError as error:
        raise ConfigError(f"cannot read the CA file {path}: {error.strerror}; check --ca-file") from None
    return absolute


def tls_advice(url: str, error: BaseException) -> str:
    """One line for a failed TLS connection: why, and what to do. ``error`` may have the library's own wrapped in others."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = _inner(cause)
    if cause is None:
        return f"no TLS connection to {url}: {error}"[:300].partition("\n")[0]
    failure = explain(cause)
    return f"no TLS connection to {url}: {_ADVICE.get(failure.failure, failure.strerror)}"


def _inner(error: BaseException) -> BaseException | None:
    """What ``error`` was made of: requests and urllib3 keep it in several places."""
    for found in (error.__cause__, getattr(error, "reason", None), *error.args, error.__context__):
        if isinstance(found, BaseException) and found is not error:
            return found
    return None
