"""Out through squid as Debian has it, with the snippet of docs/operations.md: CONNECT with credentials, and what is said when they are wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration import proxies
from tests.integration.conftest import Site
from tests.integration.harness import Agent, Hub, wait_for
from tests.integration.proxies import Proxy
from tests.integration.through import SMALL, behind, move_both_ways, shown, wait_transport

CREDENTIALS = "worker:p%40ss%2Fword@"


class TlsSite(Site):
    """A hub with a CA of its own, and agents that know it by their tokens alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hub = Hub(folder, env={"FILEFLUX_TLS": "auto"}, ca_file=str(folder / "hub" / "tls" / "ca.pem")).start()
        self.proxy = None
        self.source = Agent(self.hub, "source", folder).start()
        self.destination = Agent(self.hub, "destination", folder).start()


@pytest.fixture(scope="module")
def tls_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = TlsSite(tmp_path_factory.mktemp("tls-site"))
    try:
        yield site
    finally:
        site.stop()


@contextmanager
def squid_before(hub: Hub) -> Iterator[Proxy]:
    proxies.needs("squid", "openssl")
    changes = {"hub.example.com": "127.0.0.1", "SSL_ports port 8040": f"SSL_ports port {hub.port}"}
    with proxies.squid("worker", "p@ss/word", changes) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def squid(site: Site) -> Iterator[Proxy]:
    with squid_before(site.hub) as proxy:
        yield proxy


def through(squid: Proxy, credentials: str = "", scheme: str = "HTTP", **more: str) -> dict[str, str]:
    """What the environment says of proxies, with nothing from outside."""
    return {f"{scheme}_PROXY": f"http://{credentials}{squid.address}", "NO_PROXY": "", "no_proxy": "", **more}


def move_through_squid(site: Site, squid: Proxy, scheme: str, mode: str) -> None:
    def tunnels() -> int:
        """squid writes a tunnel down when it has ended, with who asked for it."""
        return len(
            re.findall(rf"TCP_TUNNEL/200 \d+ CONNECT 127\.0\.0\.1:{site.hub.port} worker ", squid.text("access.log"))
        )

    before = tunnels()
    env = through(squid, CREDENTIALS, scheme, FLUX_AGENT_TRANSPORT_MODE=mode)
    with behind(site, site.hub.client.url, env) as agent:
        wait_transport(site, agent, mode)
        move_both_ways(site, agent, SMALL)
    said = agent.running.text()
    assert f" via {squid.url}'" in said
    assert not [secret for secret in ("p@ss", "p%40ss") if secret in said]
    wait_for("the tunnels in the log", lambda: tunnels() > before)


@pytest.mark.parametrize("mode", ["websocket", "polling"])
def test_squid_with_credentials(site: Site, squid: Proxy, mode: str) -> None:
    move_through_squid(site, squid, "HTTP", mode)


def test_squid_before_a_hub_with_tls(tls_site: Site) -> None:
    with squid_before(tls_site.hub) as squid:
        for mode in ("websocket", "polling"):
            move_through_squid(tls_site, squid, "HTTPS", mode)


@pytest.mark.parametrize(
    ("credentials", "said"),
    [
        ("", "wants credentials: give proxy as http://USER:PASSWORD@HOST:PORT (407"),
        ("worker:guess-worker@", "refuses the user or password in HTTP_PROXY (407"),
    ],
    ids=["none", "wrong"],
)
def test_squid_refuses_credentials(site: Site, squid: Proxy, credentials: str, said: str) -> None:
    with behind(site, f"http://127.0.0.1:{site.hub.port}", through(squid, credentials), wait=False) as agent:
        wait_for("the agent to say so", lambda: said in agent.running.text(), 10)
        assert shown(site, agent)[0] == "new"
        assert "guess" not in agent.running.text()


def test_squid_that_does_not_allow_the_port(site: Site, squid: Proxy) -> None:
    target = f"127.0.0.1:{squid.port}"
    with behind(site, f"http://{target}", through(squid, CREDENTIALS), wait=False) as agent:
        said = f"does not allow a tunnel to {target} (403 Forbidden): ask its administrator to allow CONNECT"
        wait_for("the agent to say so", lambda: said in agent.running.text(), 10)


def test_no_proxy_goes_by_squid(site: Site, squid: Proxy) -> None:
    before = squid.text("access.log")
    with behind(site, f"http://127.0.0.1:{site.hub.port}", through(squid, NO_PROXY="localhost,127.0.0.0/8")) as agent:
        wait_transport(site, agent, "websocket")
        assert " via " not in agent.running.text()
    assert squid.text("access.log") == before
