from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from fileflux.cli.hub_settings import hub_settings
from fileflux.errors import ConfigError

pytestmark = pytest.mark.unit


def test_flag_before_environment_before_file_before_default(tmp_path) -> None:
    file = tmp_path / "fileflux.toml"
    file.write_text('host = "127.0.0.3"\nport = 1\nworkers = 3\n[limits]\nping_interval = 5\n')
    environment = {
        "FILEFLUX_PORT": "2",
        "FILEFLUX_DATA_DIR": "/data",
        "FILEFLUX_ADMIN_EMAIL": "a@b",
        "FILEFLUX_URL": "http://x",
    }
    made = hub_settings({"port": 4, "host": None}, file, environment)
    assert (made.host, made.port, made.workers, str(made.data_dir)) == ("127.0.0.3", 4, 3, "/data")
    assert (made.admin_email, made.database_url, made.limits.ping_interval) == ("a@b", None, 5.0)
    assert hub_settings({}, file, environment).port == 2
    assert hub_settings({}, None, {}).port == 8040


def test_limits_and_secrets_come_from_the_environment(tmp_path) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    environment = {"FILEFLUX_LIMITS_LIST_PAGE": "7", "FILEFLUX_ADMIN_PASSWORD_FILE": str(tmp_path / "password")}
    made = hub_settings({}, None, environment)
    assert (made.limits.list_page, made.admin_password) == (7, "s3cret")


@pytest.mark.parametrize(
    "environment",
    [{"FILEFLUX_LOG_FORMAT": "xml"}, {"FILEFLUX_LOG_LEVEL": "loud"}, {"FILEFLUX_PORT": "70000"}, {"FILEFLUX_PORT": "x"}, {"FILEFLUX_WORKERS": "0"}, {"FILEFLUX_LIMITS_BOGUS": "1"}, {"FILEFLUX_LIMITS_LIST_PAGE": "-1"}],
)  # fmt: skip
def test_bad_values_are_named(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        hub_settings({}, None, environment)


def test_logging() -> None:
    made = hub_settings({"log_format": "json"}, None, {"FILEFLUX_LOG_FORMAT": "console", "FILEFLUX_LOG_LEVEL": "debug"})
    assert (made.log_format, made.log_level) == ("json", "debug")
    made = hub_settings({}, None, {})
    assert (made.log_format, made.log_level) == ("console", "info")


def test_tls_and_proxies(tmp_path) -> None:
    assert hub_settings({}, None, {}).tls_files is None
    made = hub_settings({"tls": "auto", "tls_name": ["Hub.Example", "10.0.0.1"]}, None, {})
    assert (made.tls_auto, made.tls_names) == (True, ("hub.example", "10.0.0.1"))
    made = hub_settings({}, None, {"FILEFLUX_TLS_CERT": "c.pem", "FILEFLUX_TLS_KEY": "/k.pem"})
    assert made.tls_files == (Path.cwd() / "c.pem", Path("/k.pem"))
    environment = {
        "FILEFLUX_TLS": "auto",
        "FILEFLUX_TLS_NAME": "a,b",
        "FILEFLUX_TRUSTED_PROXY": "127.0.0.1/32,fd00::/8",
    }
    made = hub_settings({}, None, environment)
    assert (made.tls_auto, made.tls_names) == (True, ("a", "b"))
    assert made.trusted_proxies == (ip_network("127.0.0.1/32"), ip_network("fd00::/8"))
    file = tmp_path / "fileflux.toml"
    file.write_text('tls = "auto"\ntls_name = ["x"]\ntrusted_proxy = ["10.1.0.0/16"]\n')
    made = hub_settings({}, file, {})
    assert (made.tls_auto, made.tls_names, made.trusted_proxies) == (True, ("x",), (ip_network("10.1.0.0/16"),))
    assert not hub_settings({"tls": "off", "tls_name": None}, None, {"FILEFLUX_TLS": "auto"}).tls_auto


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"tls": "on"}, "auto or off"),
        ({"tls_cert": "c"}, "tls_key is missing"),
        ({"tls_key": "k"}, "tls_cert is missing"),
        ({"tls": "auto", "tls_cert": "c", "tls_key": "k"}, "not both"),
        ({"tls_name": ["a"]}, "--tls auto"),
        ({"tls": "auto", "tls_name": ["a b"]}, "'a b'"),
        ({"trusted_proxy": ["10.0.0.1/8"]}, "--trusted-proxy"),
    ],
)
def test_what_does_not_go_together(flags: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        hub_settings(flags, None, {})
