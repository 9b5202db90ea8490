"""``--tls auto``: a certificate authority of this hub's own, and the server certificate that it signs.

Everything is in one folder: ``ca.key`` and ``ca.pem`` stay for ten years, since agents pin the CA; ``server.pem`` (key, certificate, CA) is
made anew whenever it would not do much longer.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fileflux.errors import ConfigError

CA_LIFE: Final = timedelta(days=3653)
SERVER_LIFE: Final = timedelta(days=397)
"""Some clients refuse certificates that hold for longer than 398 days."""
RENEW_BEFORE: Final = timedelta(days=30)
CLOCKS_APART: Final = timedelta(days=1)
"""Certificates begin so much before now: a client's clock may be behind."""
NAME_MAX: Final = 253
_LABEL: Final = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?"
_NAME: Final = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*")

CA_KEY: Final = "ca.key"
CA_CERTIFICATE: Final = "ca.pem"
SERVER: Final = "server.pem"


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def ensure(folder: Path, names: Sequence[str], now: datetime) -> Path:
    """The file with a server key and certificate for ``names``, good for 30 days more unless the CA ends; makes what is missing.

    Raises ConfigError when the folder cannot be used or the CA in it is damaged: it is never replaced, because agents pin it.
    """
    wanted = tuple(dict.fromkeys(check_name(name) for name in names))
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        ca = _load_ca(folder) if (folder / CA_CERTIFICATE).exists() else _create_ca(folder, now)
        server = folder / SERVER
        if not _good(server, ca.certificate, wanted, now):
            if ca.certificate.not_valid_after_utc <= now:
                raise ConfigError(
                    f"the CA in {folder} ended on {ca.certificate.not_valid_after_utc:%Y-%m-%d}: remove the folder,"
                    " start again, and give every agent a new token"
                )
            issued = issue(ca, wanted, now)
            _write(server, issued.key_pem() + issued.certificate_pem() + ca.certificate_pem())
    except OSError as error:
        raise ConfigError(f"cannot use {error.filename or folder} for --tls auto: {error.strerror}") from None
    return server


def pin(ca_pem: bytes) -> str:
    """What agents know a CA by: 64 hex digits, the SHA-256 of its certificate's DER."""
    der = x509.load_pem_x509_certificate(ca_pem).public_bytes(serialization.Encoding.DER)
    return hashlib.sha256(der).hexdigest()


def check_name(name: str) -> str:
    """A name or address that a certificate can hold, in the form in which it holds it. Raises ConfigError."""
    try:
        return str(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        pass
    try:
        ascii_name = name.rstrip(".").lower().encode("idna").decode("ascii") if not name.isascii() else name.lower()
    except UnicodeError:
        ascii_name = ""
    ascii_name = ascii_name.rstrip(".")
    if len(ascii_name) > NAME_MAX or not _NAME.fullmatch(ascii_name):
        raise ConfigError(f"{name!r} is neither a host name nor an address; correct --tls-name")
    return ascii_name


def make_ca(now: datetime, life: timedelta = CA_LIFE) -> Issued:
    """A new authority that may sign servers' certificates and nothing else."""
    key = ec.generate_private_key(ec.SECP256R1())
    # The random part keeps the CAs of two hubs apart where both are in one store.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"FileFlux hub CA {secrets.token_hex(4)}")])
    own_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        _builder(name, name, key, now, now + life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(own_id, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own_id), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Issued(certificate, key)


def issue(ca: Issued, names: Sequence[str], now: datetime, life: timedelta = SERVER_LIFE) -> Issued:
    """A new server key and certificate for ``names`` (as ``check_name`` gives them); ends with the CA at the latest."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "FileFlux hub")])
    end = min(now + life, ca.certificate.not_valid_after_utc)
    ca_id = ca.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        _builder(subject, ca.certificate.subject, key, now, end)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_id), critical=False)
        .sign(ca.key, hashes.SHA256())
    )
    return Issued(certificate, key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCKS_APART)
        .not_valid_after(end)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _create_ca(folder: Path, now: datetime) -> Issued:
    ca = make_ca(now)
    # The certificate last: a folder without it holds no CA that anybody has seen.
    _write(folder / CA_KEY, ca.key_pem())
    _write(folder / CA_CERTIFICATE, ca.certificate_pem())
    return ca


def _load_ca(folder: Path) -> Issued:
    made = _read(folder / CA_CERTIFICATE, folder / CA_KEY)
    if made is None:
        raise ConfigError(
            f"the CA in {folder} is damaged: bring {CA_KEY} and {CA_CERTIFICATE} back from a backup; or remove the folder,"
            " start again, and give every agent a new token"
        )
    return made


def _read(certificate_file: Path, key_file: Path) -> Issued | None:
    """None when the two are no pair. Raises OSError."""
    certificate_pem, key_pem = certificate_file.read_bytes(), key_file.read_bytes()
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        key = serialization.load_pem_private_key(key_pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        return None
    return Issued(certificate, key)


def _good(server: Path, ca: x509.Certificate, names: Sequence[str], now: datetime) -> bool:
    """The file's pair was signed by ``ca`` for these names, and is good for some time more."""
    made = _read(server, server) if server.exists() else None
    if made is None or made.certificate.not_valid_before_utc > now:
        return False
    try:
        made.certificate.verify_directly_issued_by(ca)
        held = made.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    end = made.certificate.not_valid_after_utc
    # A new one would not outlive the CA either.
    in_time = end > now + RENEW_BEFORE or end == ca.not_valid_after_utc > now
    return in_time and {_general(name) for name in names} == set(held)


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, for its owner only."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
