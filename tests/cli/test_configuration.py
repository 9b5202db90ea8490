"""Configuration files with mistakes, of the hub and of an agent: one line that names the file, the key and what to do."""

from __future__ import annotations

import pytest

from fileflux.cli.hub_settings import hub_settings
from fileflux.errors import ConfigError
from flux_agent import config as agent_config

pytestmark = pytest.mark.unit


def of_the_hub(path) -> object:
    return hub_settings({}, path, {})


def of_an_agent(path) -> object:
    needed = {"hub": "http://127.0.0.1:8040", "token": "ffx_x"}
    return agent_config.check(agent_config.load(needed, {}, path))


HUB = [
    ("prot = 8040", "unknown key 'prot'; did you mean 'port'"),
    ("port = 70000", "port must be 0 to 65535, not 70000"),
    ("port = -1", "port must be 0 to 65535, not -1"),
    ("port = 1e3", "port .* must be a integer"),
    ("port = nan", "port .* must be a integer"),
    ("port = true", "port .* must be a integer"),
    ("port = '80 40'", "port .* must be a integer"),
    (f"port = 1{'0' * 30}", "out of range"),
    (f"port = 1{'0' * 5000}", "fileflux.toml"),
    ("workers = 0", "workers must be 1 to 256, not 0"),
    ("workers = 100000", "workers must be 1 to 256"),
    ("host = true", "host .* must be a text"),
    ("tls = 'on'", "tls must be auto or off, not 'on'"),
    ("trusted_proxy = '10.0.0.0/8'", "must be a list"),
    ("trusted_proxy = ['10.0.0.0/99']", "10.0.0.0/99"),
    ("limits = 3", "must be a table"),
    ("[limits]\nchunk_windwo = 3", "unknown limit 'chunk_windwo'; nearest: "),
    ("[limits]\nwindow_maks = 3", "unknown limit 'window_maks'; did you mean 'window_max'"),
    ("[limits]\nwindow_max = -1", "window_max"),
    ("port = 1\nport = 2\nhost = 'x'", "line 2"),
    ("port = \nhost = 'x'", "line 1"),
    ("port = " + "[" * 5000, "fileflux.toml"),
    ("\ufeffport = 1", "fileflux.toml"),
]
AGENT = [
    ("workers: 0x10", None),
    ("workers: 65", "workers must be between 1 and 64"),
    ("workers: -1", "workers must be between 1 and 64"),
    ("workers: 1_0", None),
    ("workers: no", "workers .* must be a integer"),
    ("workers: '3'", None),
    ("insecure: on", None),
    ("insecure: no", None),
    ("insecure: 'never'", "insecure .* must be a boolean"),
    ("name: on", "name .* must be a text"),
    ("name: 3", "name .* must be a text"),
    ("transport_mode: off", "transport_mode .* must be a text"),
    ("transport_mode: udp", "must be auto, websocket or polling"),
    ("heartbeat_interval: .nan", "heartbeat_interval"),
    ("heartbeat_interval: -1", "heartbeat_interval"),
    ("heartbeat_interval: 1e999", "heartbeat_interval"),
    ("raed: [/a]", "unknown key 'raed'; did you mean 'read'"),
    ("read: {a: b}", "must be a list"),
    ("read: [1]", "read"),
    ("a: &a [x]\nread: [*a, *a, *a]", "aliases are not allowed"),
    ("hub: !!python/object/apply:os.system ['true']", "line 1"),
    ("name: !!binary aGk=", "name .* must be a text"),
    ("workers: 1" + "0" * 5000, "flux-agent.yaml"),
    ("name: 2026-13-45", "flux-agent.yaml"),
    ("name: 2026-01-01", "name .* must be a text"),
    ("name: |\n  a\n\tb", "line 3"),
    ("[" * 2000, "flux-agent.yaml"),
]


def check(read, path, text: str, message: str | None) -> None:
    path.write_text(text)
    if message is None:
        read(path)
        return
    with pytest.raises(ConfigError, match=message) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(("text", "message"), HUB)
def test_of_the_hub(text: str, message: str | None, tmp_path) -> None:
    check(of_the_hub, tmp_path / "fileflux.toml", text, message)


@pytest.mark.parametrize(("text", "message"), AGENT)
def test_of_an_agent(text: str, message: str | None, tmp_path) -> None:
    check(of_an_agent, tmp_path / "flux-agent.yaml", text, message)
