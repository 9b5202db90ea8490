"""Each way in which a certificate and its key can be wrong is one line that says which file."""

from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from fileflux.errors import ConfigError
from fileflux.web import own_ca
from fileflux.web.certificates import load_pair, server_context
from tests.certificates import Authority

pytestmark = pytest.mark.unit
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def pair(authority: Authority, tmp_path):
    issued = own_ca.issue(authority.made, ["localhost"], NOW)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(issued.certificate_pem())
    key.write_bytes(issued.key_pem())
    return cert, key


def test_a_good_pair(pair) -> None:
    loaded = load_pair(*pair, NOW)
    assert loaded.warnings == ()
    assert loaded.ends > NOW + timedelta(days=300)
    assert loaded.fingerprint == load_pair(*pair, NOW).fingerprint


def test_what_the_context_allows() -> None:
    context = server_context()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION


@pytest.mark.parametrize(
    ("after", "word"),
    [
        (timedelta(days=398), "expired on"),
        (timedelta(days=-2), "not valid before"),
        (timedelta(days=390), "expires on"),
    ],
)
def test_a_certificate_out_of_its_time_is_a_warning(pair, after: timedelta, word: str) -> None:
    (warning,) = load_pair(*pair, NOW + after).warnings
    assert word in warning
    assert str(pair[0]) in warning


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("damage", ["missing", "folder", "empty", "garbage", "huge"])
def test_files_that_are_none(pair, which: int, damage: str) -> None:
    path = pair[which]
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage == "huge":
        path.write_bytes(bytes(2**20 + 1))
    elif damage != "missing":
        path.write_bytes(b"" if damage == "empty" else b"garbage\n")
    with pytest.raises(ConfigError, match=path.name) as caught:
        load_pair(*pair, NOW)
    assert "\n" not in caught.value.message


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission(pair) -> None:
    pair[1].chmod(0)
    with pytest.raises(ConfigError, match="Permission denied"):
        load_pair(*pair, NOW)


def test_a_key_of_another_certificate(pair, authority: Authority) -> None:
    pair[1].write_bytes(own_ca.issue(authority.made, ["x"], NOW).key_pem())
    with pytest.raises(ConfigError, match=r"key\.pem does not belong to .*cert\.pem"):
        load_pair(*pair, NOW)


def test_an_encrypted_key_is_not_asked_for(pair) -> None:
    key = serialization.load_pem_private_key(pair[1].read_bytes(), None)
    secret = serialization.BestAvailableEncryption(b"secret")
    pair[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret))
    with pytest.raises(ConfigError, match=r"is encrypted.*openssl pkey"):
        load_pair(*pair, NOW)


def test_damage_within_the_pem(pair) -> None:
    cert = pair[0].read_text()
    pair[0].write_text(cert[:60] + "A" * 40 + cert[100:])
    with pytest.raises(ConfigError, match=r"cert\.pem"):
        load_pair(*pair, NOW)


def test_damage_within_the_key(pair) -> None:
    key = pair[1].read_text()
    pair[1].write_text(key[:60] + "A" * 40 + key[100:])
    with pytest.raises(ConfigError, match=r"key\.pem"):
        load_pair(*pair, NOW)


def test_a_key_that_is_too_small_is_named(pair, authority: Authority) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    key = rsa.generate_private_key(65537, 1024)
    name = x509.Name([])
    weak = (
        x509.CertificateBuilder().subject_name(name).issuer_name(authority.made.certificate.subject).public_key(key.public_key())
        .serial_number(1).not_valid_before(NOW - timedelta(1)).not_valid_after(NOW + timedelta(9)).sign(authority.made.key, hashes.SHA256())
    )  # fmt: skip
    pair[0].write_bytes(weak.public_bytes(serialization.Encoding.PEM))
    pair[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    with pytest.raises(ConfigError, match="too weak"):
        load_pair(*pair, NOW)
