from __future__ import annotations

import ssl

import pytest

from tests.certificates import Authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def other_authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other-ca"))


@pytest.fixture(scope="session")
def tls(authority) -> ssl.SSLContext:
    """A server's, good for localhost, 127.0.0.1 and ::1."""
    return authority.server_context()
