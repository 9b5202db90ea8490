from __future__ import annotations

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
    [{"FILEFLUX_PORT": "70000"}, {"FILEFLUX_PORT": "x"}, {"FILEFLUX_WORKERS": "0"}, {"FILEFLUX_LIMITS_BOGUS": "1"}, {"FILEFLUX_LIMITS_LIST_PAGE": "-1"}],
)  # fmt: skip
def test_bad_values_are_named(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        hub_settings({}, None, environment)
