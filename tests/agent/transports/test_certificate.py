"""The small reader against the certificates of another library, and against garbage."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from flux_agent.transports.certificate import NAMES_MAX, SIZE_MAX, read

pytestmark = pytest.mark.unit

KEY = ec.generate_private_key(ec.SECP256R1())


def made(names=(), issuer="Example CA", begins=None, days=30, key=KEY, kind=NameOID.COMMON_NAME) -> bytes:
    begins = begins or datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "subject")]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"), x509.NameAttribute(kind, issuer)]))
        .public_key(key.public_key())
        .serial_number(2**120 + 5)
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def address(text):
    import ipaddress

    return x509.IPAddress(ipaddress.ip_address(text))


def test_what_is_read_is_what_was_written():
    der = made([x509.DNSName("hub.example"), x509.DNSName("*.b"), address("10.0.0.1"), address("::1")])
    found = read(der)
    assert found.names == ("hub.example", "*.b", "10.0.0.1", "::1")
    assert found.issuer == "Example CA"
    assert found.not_before == datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    assert found.not_after == found.not_before + timedelta(days=30)


def test_other_forms():
    big = rsa.generate_private_key(65537, 2048)
    assert read(made(key=big)).names == ()
    assert read(made(issuer="Org", kind=NameOID.ORGANIZATION_NAME)).issuer == "Org"
    assert read(made(issuer="DE", kind=NameOID.STATE_OR_PROVINCE_NAME)).issuer == "nobody"
    # Beyond 2050 the time has another form.
    assert read(made(begins=datetime(2060, 1, 1, tzinfo=UTC))).not_before.year == 2060
    assert read(made(begins=datetime(1999, 1, 1, tzinfo=UTC))).not_before.year == 1999
    many = read(made([x509.DNSName(f"n{number}.example") for number in range(100)]))
    assert len(many.names) == NAMES_MAX


def test_control_characters_do_not_come_through():
    assert read(made(issuer="a\x1b[2Jb")).issuer == "a?[2Jb"


def test_the_systems_cas_can_be_read():
    found = [read(der) for der in ssl.create_default_context().get_ca_certs(binary_form=True)]
    if not found:
        pytest.skip("this machine has no CAs")
    assert None not in found


def test_no_certificate():
    assert read(b"") is None
    assert read(b"\x30\x80\x00\x00") is None
    assert read(b"\x30\x84\xff\xff\xff\xff") is None
    assert read(b"\x00" * (SIZE_MAX + 1)) is None
    der = made([x509.DNSName("a")])
    assert all(read(der[:length]) is None for length in range(len(der) - 100))


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=300))
def test_any_bytes_are_a_certificate_or_none(data):
    read(data)


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, 400), byte=st.integers(0, 255))
def test_any_changed_byte_is_a_certificate_or_none(at, byte):
    der = bytearray(made([x509.DNSName("hub.example"), address("10.0.0.1")]))
    der[at % len(der)] = byte
    read(bytes(der))
