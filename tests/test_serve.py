"""What ``fileflux serve`` says and decides before it starts anything; the rest is tested as a whole program."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from fileflux import serve
from fileflux.errors import ConfigError
from fileflux.serve import ServeSettings

pytestmark = pytest.mark.unit


class Listener:
    def __init__(self, address: str) -> None:
        self._address = address

    def getsockname(self) -> tuple[str, int]:
        return self._address, 8040


@pytest.mark.parametrize(
    ("host", "address", "loud"),
    [
        ("127.0.0.1", "127.0.0.1", False),
        ("localhost", "::1", False),
        ("127.5.5.5", "127.5.5.5", False),
        ("0.0.0.0", "0.0.0.0", True),
        ("", "::", True),
        ("10.0.0.1", "10.0.0.1", True),
        ("hub.example", "fe80::1%eth0", True),
    ],
)
def test_plain_http_to_the_network_is_said_loudly(
    capsys: pytest.CaptureFixture[str], host: str, address: str, loud: bool
) -> None:
    serve._warn_of_plain_http(host, Listener(address))
    said = capsys.readouterr().err
    assert said.count("\n") == int(loud)
    if loud:
        assert "WARNING" in said
        assert "--tls auto" in said
        assert "--trusted-proxy" in said


def test_the_names_of_a_hub_with_its_own_ca(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "Box")
    here = ServeSettings(Path("/data"), host="10.0.0.1", tls_names=("hub.example",))
    assert serve._own_names(here) == ["localhost", "127.0.0.1", "::1", "box", "10.0.0.1", "hub.example"]
    monkeypatch.setattr(socket, "gethostname", lambda: "no name (yet)")
    assert serve._own_names(ServeSettings(Path("/data"), host="0.0.0.0")) == ["localhost", "127.0.0.1", "::1"]


@pytest.mark.parametrize(
    "password",
    [
        "changeme",
        "ChangeMe",
        " changeme\n",
        "admin",
        "password",
        "fileflux",
        "secret",
        "",
        "1234567",
        "a@example.org",
        "admin@localhost",
    ],
)
def test_a_password_that_everybody_would_try_is_refused_before_anything_is_done(tmp_path: Path, password: str) -> None:
    settings = ServeSettings(tmp_path / "data", admin_email="A@Example.org", admin_password=password)
    with pytest.raises(ConfigError, match="FILEFLUX_ADMIN_PASSWORD") as caught:
        serve.serve(settings)
    assert "\n" not in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_other_passwords_are_taken(tmp_path: Path) -> None:
    for password in (None, "for this test only", "pässwört"):
        serve.check_admin_password(ServeSettings(tmp_path, admin_password=password))
