"""A poll that waits leaves the HTTP server; its connection has to come back as it was, whatever a proxy in front does with it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
import requests

from tests.integration.conftest import Site
from tests.integration.store import query

TRUSTED = "127.0.0.9"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"), hub_env={"FILEFLUX_TRUSTED_PROXY": f"{TRUSTED}/32"})
    try:
        yield site
    finally:
        site.stop()


@pytest.fixture
def proxy(site: Site) -> Iterator[socket.socket]:
    """A connection as a proxy makes it, from the address that is trusted."""
    with socket.create_connection(("127.0.0.1", site.hub.port), 10, source_address=(TRUSTED, 0)) as connection:
        yield connection


def ask(connection: socket.socket, method: str, path: str, *headers: str, version: str = "1.1") -> str:
    """One request without a body; the answer's head."""
    connection.sendall("\r\n".join([f"{method} {path} HTTP/{version}", "Host: hub", *headers, "", ""]).encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = connection.recv(4096)
        assert data, answer
        answer += data
    return answer.decode()


@pytest.fixture
def link(site: Site) -> list[str]:
    """The headers of an agent's link over long-polling on which nothing is said."""
    _, token = site.hub.enrol(f"raw-{os.urandom(4).hex()}", site.folder)
    authorization = f"Bearer {token.read_text().strip()}"
    opened = requests.post(
        f"{site.hub.client.url}/api/agent/connect", headers={"Authorization": authorization}, timeout=10
    )
    return [
        f"Authorization: {authorization}",
        f"X-FileFlux-Session: {opened.json()['session_id']}",
        "X-FileFlux-Seq: 1",
    ]


@pytest.mark.parametrize(
    ("version", "header"), [("1.0", "Connection: close"), ("1.0", "X: y"), ("1.1", "Connection: close")]
)
def test_a_waiting_poll_that_asks_for_the_end_of_its_connection_gets_it(
    link: list[str], proxy: socket.socket, version: str, header: str
) -> None:
    answer = ask(proxy, "GET", "/api/agent/poll?timeout=0.2", *link, header, version=version)
    assert " 204 " in answer
    assert "Connection: close" in answer
    assert proxy.recv(1) == b""


def test_after_a_waiting_poll_its_connection_is_still_the_proxys(
    site: Site, link: list[str], proxy: socket.socket
) -> None:
    """The next request on it may be of another client."""
    assert " 204 " in ask(proxy, "GET", "/api/agent/poll?timeout=0.2", *link, "X-Forwarded-For: 192.0.2.7")
    other = ["Authorization: Bearer ffx_other", "X-Forwarded-For: 192.0.2.8", "Content-Length: 0"]
    assert " 401 " in ask(proxy, "POST", "/api/agent/connect", *other)
    (refused,) = query(site.hub, "SELECT detail FROM audit WHERE action = 'agent.login'")
    assert refused["detail"]["address"] == "192.0.2.8"
