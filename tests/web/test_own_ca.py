from __future__ import annotations

import hashlib
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from fileflux.errors import ConfigError
from fileflux.web import own_ca

pytestmark = pytest.mark.unit
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
NAMES = ["localhost", "127.0.0.1", "::1"]


def leaf(path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def names(path) -> set[str]:
    held = leaf(path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in held}


def test_everything_is_made_for_the_owner_alone(tmp_path) -> None:
    folder = tmp_path / "data" / "tls"
    server = own_ca.ensure(folder, [*NAMES, "localhost"], NOW)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == dict.fromkeys(
        ("ca.key", "ca.pem", "server.pem"), 0o600
    )
    assert names(server) == set(NAMES)
    ca = leaf(folder / "ca.pem")
    assert ca.not_valid_after_utc - NOW > timedelta(days=3650)
    leaf(server).verify_directly_issued_by(ca)
    assert leaf(server).not_valid_after_utc - leaf(server).not_valid_before_utc <= timedelta(days=398)
    assert (
        own_ca.pin((folder / "ca.pem").read_bytes())
        == hashlib.sha256(ssl.PEM_cert_to_DER_cert((folder / "ca.pem").read_text())).hexdigest()
    )


def test_a_folder_that_others_could_read_is_closed(tmp_path) -> None:
    tmp_path.chmod(0o755)
    own_ca.ensure(tmp_path, NAMES, NOW)
    assert tmp_path.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("days", "more", "renewed"),
    [(0, [], False), (366, [], False), (368, [], True), (500, [], True), (1, ["hub.example"], True)],
)
def test_the_server_is_renewed_in_time_and_the_ca_kept(tmp_path, days: int, more: list[str], renewed: bool) -> None:
    server = own_ca.ensure(tmp_path, NAMES, NOW)
    before, ca = server.read_bytes(), (tmp_path / "ca.pem").read_bytes()
    later = NOW + timedelta(days=days)
    own_ca.ensure(tmp_path, NAMES + more, later)
    assert (server.read_bytes() != before) is renewed
    assert (tmp_path / "ca.pem").read_bytes() == ca
    assert leaf(server).not_valid_after_utc > later + own_ca.RENEW_BEFORE
    assert names(server) == {*NAMES, *more}


@pytest.mark.parametrize("damage", ["gone", "empty", "garbage", "other key", "other ca"])
def test_a_damaged_server_file_is_made_anew(tmp_path, damage: str) -> None:
    server = own_ca.ensure(tmp_path / "a", NAMES, NOW)
    other = own_ca.ensure(tmp_path / "b", NAMES, NOW)
    match damage:
        case "gone":
            server.unlink()
        case "empty":
            server.write_bytes(b"")
        case "garbage":
            server.write_bytes(server.read_bytes().replace(b"M", b"!"))
        case "other key":
            key = other.read_bytes().partition(b"-----BEGIN CERT")[0]
            server.write_bytes(key + b"-----BEGIN CERT" + server.read_bytes().partition(b"-----BEGIN CERT")[2])
        case "other ca":
            server.write_bytes(other.read_bytes())
    own_ca.ensure(tmp_path / "a", NAMES, NOW)
    leaf(server).verify_directly_issued_by(leaf(tmp_path / "a" / "ca.pem"))
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(server)


@pytest.mark.parametrize("damage", ["ca.pem", "ca.key"])
def test_a_damaged_ca_is_never_replaced(tmp_path, damage: str) -> None:
    own_ca.ensure(tmp_path, NAMES, NOW)
    (tmp_path / damage).write_bytes(b"garbage")
    with pytest.raises(ConfigError, match=r"is damaged.*new token"):
        own_ca.ensure(tmp_path, NAMES, NOW)
    assert (tmp_path / damage).read_bytes() == b"garbage"


def test_a_ca_without_its_key_cannot_be_used(tmp_path) -> None:
    own_ca.ensure(tmp_path, NAMES, NOW)
    (tmp_path / "ca.key").unlink()
    with pytest.raises(ConfigError, match=r"ca\.key.*No such file"):
        own_ca.ensure(tmp_path, NAMES, NOW)


def test_a_start_that_was_cut_off_between_the_two_files_begins_again(tmp_path) -> None:
    own_ca.ensure(tmp_path, NAMES, NOW)
    (tmp_path / "ca.pem").unlink()
    (tmp_path / "server.pem").unlink()
    leaf(own_ca.ensure(tmp_path, NAMES, NOW)).verify_directly_issued_by(leaf(tmp_path / "ca.pem"))


def test_at_the_end_of_the_ca_nothing_can_be_renewed(tmp_path) -> None:
    own_ca.ensure(tmp_path, NAMES, NOW)
    end = leaf(tmp_path / "ca.pem").not_valid_after_utc
    server = own_ca.ensure(tmp_path, NAMES, end - timedelta(days=3))
    assert leaf(server).not_valid_after_utc == end
    before = server.read_bytes()
    own_ca.ensure(tmp_path, NAMES, end - timedelta(days=2))
    assert server.read_bytes() == before, "a new one would not outlive the CA"
    with pytest.raises(ConfigError, match=r"ended on.*new token"):
        own_ca.ensure(tmp_path, NAMES, end)


def test_a_folder_that_cannot_be_used_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="--tls auto"):
        own_ca.ensure(tmp_path / "file" / "tls", NAMES, NOW)


@pytest.mark.parametrize(
    ("given", "held"),
    [("Hub.Example.", "hub.example"), ("bücher.example", "xn--bcher-kva.example"), ("[::1]", "::1"), ("0:0::1", "::1"), ("my_host", "my_host"),
     ("*.example", "*.example"), ("10.0.0.1", "10.0.0.1")],
)  # fmt: skip
def test_names(given: str, held: str) -> None:
    assert own_ca.check_name(given) == held


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "a..b",
        "-a",
        "a b",
        "https://hub",
        "hub:8040",
        "a" * 64,
        "a." * 150 + "b",
        "x\n",
        "10.0.0.0/8",
        "ü" * 300,
    ],
)
def test_what_no_certificate_can_hold(name: str) -> None:
    with pytest.raises(ConfigError, match="--tls-name"):
        own_ca.check_name(name)
