"""Through nginx, haproxy and Caddy as Debian has them: an agent with nothing set gets through, and files arrive whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from fileflux.protocol.limits import DEFAULT_LIMITS as LIMITS
from fileflux.protocol.limits import MIB
from tests.certificates import Authority
from tests.integration import proxies
from tests.integration.conftest import Site
from tests.integration.harness import wait_for
from tests.integration.proxies import Proxy, TemporaryFiles, snippet
from tests.integration.store import query
from tests.integration.through import SMALL, behind, move_both_ways, shown, stays_online, wait_transport

SIZES = [
    pytest.param(96 * MIB, id="96MiB"),
    pytest.param(1024 * MIB, id="1GiB", marks=[pytest.mark.long, pytest.mark.timeout(400)]),
]
IDLE_CUT_S = 5
TRUSTED = "127.0.0.9"
NO_WEBSOCKET = {"FLUX_AGENT_TRANSPORT_MODE": "polling"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"), hub_env={"FILEFLUX_TRUSTED_PROXY": f"{TRUSTED}/32"})
    try:
        yield site
    finally:
        site.stop()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Path:
    """Key, certificate and CA in one file."""
    return authority.issue()


def answers(proxy: Proxy) -> list[tuple[str, int]]:
    """Method with path, and status, of each request in nginx' access log."""
    found = re.findall(r'"(\S+ \S+?)(?:\?\S*)? HTTP/[\d.]+" (\d+) ', proxy.text("access.log"))
    return [(request, int(status)) for request, status in found]


@pytest.mark.parametrize("size", SIZES)
def test_nginx_as_it_is_shipped_with_nothing_but_proxy_pass(site: Site, size: int) -> None:
    proxies.needs("nginx")
    with proxies.nginx_as_shipped(f"127.0.0.1:{site.hub.port}") as proxy, behind(site, proxy.url) as agent:
        # nginx asks the hub without the upgrade headers, and passes on what the hub says to that.
        assert wait_transport(site, agent, "polling") == "upgrade refused with 426"
        with TemporaryFiles(proxy) as temporary:
            move_both_ways(site, agent, size)
        assert shown(site, agent)[:2] == ("online", "polling")
        assert "link_lost" not in agent.running.text()
        assert 0 < temporary.most <= LIMITS.slices_in_flight * MIB + LIMITS.polls_max * LIMITS.slice_max
        unexpected = [answer for answer in answers(proxy) if answer[1] not in (200, 204)]
        assert unexpected.count(("GET /ws/agent", 426)) == 1
        too_large = unexpected.count(("POST /api/agent/messages", 413))
        # Each slice that is on its way when the bound is found, twice over.
        assert too_large <= 2 * LIMITS.slices_in_flight
        assert len(unexpected) == 1 + too_large


def documented_nginx(site: Site, certificate: Path, **changes: str) -> Proxy:
    return proxies.nginx(
        lambda address: snippet(
            "nginx",
            changes
            | {
                "127.0.0.1:8040": f"127.0.0.1:{site.hub.port}",
                "listen 443 ssl;": f"listen {address} ssl;",
                "/etc/fileflux/hub.pem": str(certificate),
                "/etc/fileflux/hub.key": str(certificate),
            },
        )
    )


def test_nginx_as_documented(site: Site, authority: Authority, certificate: Path) -> None:
    proxies.needs("nginx")
    trust = {"FLUX_AGENT_CA_FILE": str(authority.file)}
    with documented_nginx(site, certificate) as proxy:
        with behind(site, proxy.tls_url, trust) as agent:
            assert wait_transport(site, agent, "websocket") == ""
            move_both_ways(site, agent, SMALL)
            assert shown(site, agent)[:2] == ("online", "websocket")
        with behind(site, proxy.tls_url, trust | NO_WEBSOCKET) as agent, TemporaryFiles(proxy) as temporary:
            wait_transport(site, agent, "polling")
            move_both_ways(site, agent, SMALL)
            assert {status for _, status in answers(proxy)} == {101, 200, 204}
        assert temporary.most == 0, "nothing goes through a file"


def test_behind_nginx_the_audit_log_names_the_client(site: Site, authority: Authority, certificate: Path) -> None:
    proxies.needs("nginx")
    # The proxy speaks to the hub from the address that is trusted, so that client and proxy can be told apart.
    from_proxy = {"proxy_http_version 1.1;": f"proxy_http_version 1.1; proxy_bind {TRUSTED};"}
    with documented_nginx(site, certificate, **from_proxy) as proxy:
        with behind(site, proxy.tls_url, {"FLUX_AGENT_CA_FILE": str(authority.file)}) as agent:
            wait_transport(site, agent, "websocket")
            (connected,) = query(site.hub, "SELECT object FROM audit WHERE actor = %s", f"agent:{agent.name}")
            assert connected["object"] == "127.0.0.1"
        told = {"X-Forwarded-For": "192.0.2.1", "Authorization": "Bearer ffx_wrong"}
        answer = requests.post(
            f"{proxy.tls_url}/api/agent/connect", headers=told, verify=str(authority.file), timeout=10
        )
        assert answer.status_code == 401
        refused = query(site.hub, "SELECT detail FROM audit WHERE action = 'agent.login' ORDER BY id")[-1]
        assert refused["detail"]["address"] == "127.0.0.1", "not what the client says of itself"


def idle_cutting_haproxy(site: Site) -> Proxy:
    return proxies.haproxy(
        lambda address: (
            f"frontend all\n    bind {address}\n    default_backend hub\n"
            f"backend hub\n    timeout tunnel {IDLE_CUT_S}s\n    server hub 127.0.0.1:{site.hub.port}\n"
        )
    )


def test_haproxy_that_cuts_what_is_idle(site: Site) -> None:
    proxies.needs("haproxy")
    with idle_cutting_haproxy(site) as proxy, behind(site, proxy.url) as agent:
        wait_transport(site, agent, "websocket")
        reason = wait_transport(site, agent, "polling", IDLE_CUT_S + 10)
        cut = re.fullmatch(r"WebSocket was cut after (\d+) s", reason)
        # The first seconds are not idle: the agent says what it is, and each end acknowledges.
        assert cut is not None, reason
        assert IDLE_CUT_S <= int(cut[1]) <= IDLE_CUT_S + 5
        move_both_ways(site, agent, SMALL)
        stays_online(site, agent, "polling", IDLE_CUT_S + 1)
        assert agent.running.text().count("link_lost") == 1


@pytest.mark.long
def test_haproxy_that_cuts_what_is_idle_is_probed_more_and_more_rarely(site: Site) -> None:
    proxies.needs("haproxy")
    with (
        idle_cutting_haproxy(site) as proxy,
        behind(site, proxy.url, {"FLUX_AGENT_WEBSOCKET_PROBE_INTERVAL": "2"}) as agent,
    ):
        wait_for("four cuts", lambda: agent.running.text().count("link_lost") == 4, 100)
        gaps = [int(gap) for gap in re.findall(r"next_probe_s=(\d+)", agent.running.text())]
        assert gaps == [4, 8, 16, 24]
        wait_transport(site, agent, "polling")
        move_both_ways(site, agent, SMALL)


def test_haproxy_as_documented(site: Site, authority: Authority, certificate: Path) -> None:
    proxies.needs("haproxy")
    changes = {
        "server hub 127.0.0.1:8040": f"server hub 127.0.0.1:{site.hub.port}",
        "/etc/fileflux/hub-and-key.pem": str(certificate),
    }
    trust = {"FLUX_AGENT_CA_FILE": str(authority.file)}
    with proxies.haproxy(lambda address: snippet("haproxy", changes | {"bind :443": f"bind {address}"})) as proxy:
        with behind(site, proxy.tls_url, trust) as agent:
            wait_transport(site, agent, "websocket")
            stays_online(site, agent, "websocket", IDLE_CUT_S + 1)
            move_both_ways(site, agent, SMALL)
            assert "link_lost" not in agent.running.text()
        with behind(site, proxy.tls_url, trust | NO_WEBSOCKET) as agent:
            move_both_ways(site, agent, SMALL)


def test_caddy_as_documented(site: Site, authority: Authority, certificate: Path) -> None:
    proxies.needs("caddy")
    changes = {
        "127.0.0.1:8040": f"127.0.0.1:{site.hub.port}",
        "/etc/fileflux/hub.pem": str(certificate),
        "/etc/fileflux/hub.key": str(certificate),
    }
    trust = {"FLUX_AGENT_CA_FILE": str(authority.file)}
    with proxies.caddy(
        lambda address: snippet(
            "caddy", changes | {"hub.example.com": f"https://localhost:{address.rpartition(':')[2]}"}
        )
    ) as proxy:
        url = proxy.tls_url.replace("127.0.0.1", "localhost")
        with behind(site, url, trust) as agent:
            wait_transport(site, agent, "websocket")
            move_both_ways(site, agent, SMALL)
            assert shown(site, agent)[:2] == ("online", "websocket")
        with behind(site, url, trust | NO_WEBSOCKET) as agent:
            move_both_ways(site, agent, SMALL)
