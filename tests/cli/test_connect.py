"""Which hub, and as whom."""

from __future__ import annotations

import pytest

from fileflux.cli import credentials
from fileflux.cli.connect import DEFAULT_URL, connect
from fileflux.cli.options import Settings
from fileflux.errors import AuthError, ConfigError

pytestmark = pytest.mark.unit
LOGIN = credentials.Login("http://hub.example:8040", "a@b", "t1", "r1", insecure=True)


def test_options_come_before_the_login_and_the_login_before_the_default(tmp_path) -> None:
    path = tmp_path / "credentials.json"
    with connect(Settings(token="t"), path) as client:
        assert (client.url, client.token) == (DEFAULT_URL, "t")
    with pytest.raises(AuthError, match="fileflux login"):
        connect(Settings(), path)
    credentials.save(LOGIN, path)
    with connect(Settings(), path) as client:
        assert (client.url, client.token) == (LOGIN.url, "t1")
    with connect(Settings(url="https://other", token="t"), path) as client:
        assert (client.url, client.token) == ("https://other", "t")


def test_a_logins_consent_to_plain_http_is_for_its_hub_only(tmp_path) -> None:
    path = tmp_path / "credentials.json"
    credentials.save(LOGIN, path)
    with pytest.raises(ConfigError, match="--insecure"):
        connect(Settings(url="http://other.example", token="t"), path)
