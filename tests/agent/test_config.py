from __future__ import annotations

import pytest

from fileflux.errors import ConfigError
from flux_agent import config

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def no_usual_file(monkeypatch, tmp_path):
    monkeypatch.setattr(config, "usual_file", lambda: tmp_path / "conf" / "flux-agent.yaml")


def checked(**flags):
    return config.check(config.load({"hub": "http://127.0.0.1:8040", "token": "ffx_a", **flags}, {}, None))


def test_nothing_may_be_touched_by_default(tmp_path):
    agent = checked()
    assert agent.read == agent.write == ()
    assert agent.protected == (str(tmp_path / "conf"),)
    assert agent.workers >= 1


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://127.0.0.1:8040", "http://127.0.0.1:8040"),
        ("ws://localhost:8040/", "http://localhost:8040"),
        ("http://[::1]:9", "http://[::1]:9"),
        ("http://127.0.0.1", "http://127.0.0.1:80"),
    ],
)
def test_hub_urls(url, base):
    assert config.check_hub(url, insecure=False) == base


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("127.0.0.1:8040", "must begin with"),
        ("ftp://h", "must begin with"),
        ("http://", "no host"),
        ("http://127.0.0.1:0", "no host and port"),
        ("http://127.0.0.1:99999", "out of range"),
        ("http://127.0.0.1:8040/x", "must end behind the port"),
        ("http://127.0.0.1:8040?token=x", "must end behind the port"),
        ("http://u:p@127.0.0.1", "no user or password"),
        ("http://192.0.2.1:8040", "--insecure"),
        ("http://hub.example", "--insecure"),
        ("https://hub.example", "not supported"),
        ("http://[::1", "Invalid IPv6"),
    ],
)
def test_bad_hub_urls(url, message):
    with pytest.raises(ConfigError, match=message):
        config.check_hub(url, insecure=False)


def test_insecure_allows_other_machines():
    assert config.check_hub("http://192.0.2.1:8040", insecure=True) == "http://192.0.2.1:8040"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"hub": None}, "no hub"),
        ({"token": None}, "no token"),
        ({"token": "a\nb"}, "characters that no token has"),
        ({"token": "ü"}, "characters that no token has"),
        ({"read": ["/does/not/exist"]}, "not a directory"),
        ({"workers": 1000}, "between 1 and 64"),
        ({"workers": -1}, "between 1 and 64"),
        ({"transport_mode": "pigeon"}, "transport_mode"),
        ({"name": "a\nb"}, "name must be"),
    ],
)
def test_bad_values(flags, message):
    with pytest.raises(ConfigError, match=message):
        checked(**flags)


def test_limits_and_intervals_come_from_the_file(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("hub: http://127.0.0.1:1\ntoken: t\nheartbeat_interval: 5\nlimits:\n  ping_interval: 2\n")
    agent = config.check(config.load({}, {}, file))
    assert (agent.limits.heartbeat_interval, agent.limits.ping_interval) == (5, 2)
