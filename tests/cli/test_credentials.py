from __future__ import annotations

import os

import pytest

from fileflux.cli import credentials
from fileflux.cli.credentials import Login
from fileflux.errors import ConfigError

pytestmark = pytest.mark.unit
LOGIN = Login("https://hub", "a@b", "token", "refresh", insecure=True)


def test_kept_for_the_owner_alone(tmp_path) -> None:
    path = tmp_path / "new" / "credentials.json"
    assert credentials.load(path) is None
    credentials.save(LOGIN, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert credentials.load(path) == LOGIN
    credentials.save(Login("https://other", "a@b", "t", "r"), path)
    assert credentials.load(path).url == "https://other"
    assert [entry.name for entry in path.parent.iterdir()] == ["credentials.json"]
    credentials.forget(path)
    credentials.forget(path)
    assert credentials.load(path) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"url": 1, "more": 2}', b"\xff"])
def test_a_damaged_file_is_named(tmp_path, content: bytes) -> None:
    path = tmp_path / "credentials.json"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="damaged"):
        credentials.load(path)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_a_file_that_others_can_read_is_refused(tmp_path) -> None:
    path = tmp_path / "credentials.json"
    credentials.save(LOGIN, path)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="others can read"):
        credentials.load(path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write"):
        credentials.save(LOGIN, tmp_path / "file" / "credentials.json")
