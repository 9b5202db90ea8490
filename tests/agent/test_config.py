from __future__ import annotations

import sys

import pytest

from fileflux.errors import ConfigError
from flux_agent import config

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def no_usual_file(monkeypatch, tmp_path):
    monkeypatch.setattr(config, "usual_file", lambda: tmp_path / "conf" / "flux-agent.yaml")


@pytest.fixture
def files(tmp_path):
    """A configuration and what it may name: a token, a CA, a proxy's URL."""
    made = {name: tmp_path / name for name in ("agent.yaml", "token", "other-token", "proxy", "ca.pem")}
    for path in made.values():
        path.write_text("hub: https://h\n" if path.suffix == ".yaml" else "http://p:1" if path.name == "proxy" else "t")
    return made


def checked(**flags):
    return config.check(config.load({"hub": "http://127.0.0.1:8040", "token": "ffx_a", **flags}, {}, None))


def test_nothing_may_be_touched_by_default(tmp_path):
    agent = checked()
    assert agent.read == agent.write == ()
    assert agent.protected == (str(tmp_path / "conf"),)
    assert sys.prefix in agent.program
    assert agent.workers >= 1


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://127.0.0.1:8040", "http://127.0.0.1:8040"),
        ("ws://localhost:8040/", "http://localhost:8040"),
        ("http://[::1]:9", "http://[::1]:9"),
        ("http://127.0.0.1", "http://127.0.0.1:80"),
        ("https://hub.example", "https://hub.example:443"),
        ("wss://Hub.Example:8040/", "https://hub.example:8040"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]:443"),
        ("https://bücher.example", "https://xn--bcher-kva.example:443"),
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
        ("http://a b", "no host name"),
        ("http://[::1", "Invalid IPv6"),
        ("https://..", "no host name"),
        ("https://" + "a" * 64 + ".example", "no host name"),
        ("ws://hub.example", "--insecure"),
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
        ({"token": "ffx_a.b", "hub": "https://h"}, "cut or changed behind its dot"),
        ({"token": "ffx_a." + "0" * 63, "hub": "https://h"}, "cut or changed behind its dot"),
        ({"token": "ffx_a." + "0" * 64}, "write https://127.0.0.1:8040"),
        ({"ca_pin": "sha256:" + "0" * 64}, "write https:"),
        ({"ca_pin": "sha256:xyz", "hub": "https://h"}, "64 hexadecimal digits"),
        ({"ca_pin": "0" * 64, "token": "t." + "1" * 64, "hub": "https://h"}, "name different CAs"),
        ({"bandwidth_limit": 5}, "at least 1024"),
        ({"read": ["/does/not/exist"]}, "not a directory"),
        ({"workers": 1000}, "between 1 and 64"),
        ({"workers": -1}, "between 1 and 64"),
        ({"transport_mode": "pigeon"}, "transport_mode"),
        ({"log_format": "xml"}, "log_format must be console or json"),
        ({"log_level": "loud"}, "log_level"),
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


def test_a_token_may_carry_a_pin():
    pin = "0123456789ABCDEF" * 4
    agent = checked(hub="https://h", token=f"ffx_a.{pin}", ca_pin=":".join(["sha256", pin[:2], pin[2:]]))
    assert (agent.token, agent.pin) == ("ffx_a", pin.lower())
    assert checked(hub="https://h", ca_pin=f"sha256:{pin}").pin == pin.lower()
    assert checked(hub="https://h").pin is None


def test_what_is_secret_is_in_no_text_of_the_configuration():
    environment = {"HTTPS_PROXY": "http://u:s3cret@p:1", "HOME": "/root"}
    loaded = config.load({"hub": "https://h", "token": "ffx_s3cret", "proxy": "http://u:s3cret@p:1"}, {}, None)
    agent = config.check(loaded, environment=environment)
    assert agent.proxy_environment == {"HTTPS_PROXY": "http://u:s3cret@p:1"}
    assert agent.proxy == "http://u:s3cret@p:1"
    assert "s3cret" not in repr(agent)


def test_who_can_read_what_goes_to_the_hub():
    assert not checked().exposed
    assert not checked(hub="https://hub.example").exposed
    assert checked(hub="http://hub.example", insecure=True).exposed
    assert not checked(hub="http://localhost:1", insecure=True).exposed


@pytest.mark.parametrize("mode", ["auto", "websocket", "polling"])
def test_transport_modes(mode):
    assert checked(transport_mode=mode).transport_mode == mode


def test_logging():
    assert (checked().log_format, checked().log_level) == ("console", "info")
    made = checked(log_format="json", log_level="debug")
    assert (made.log_format, made.log_level) == ("json", "debug")


def test_roots_may_be_left_to_the_caller(tmp_path):
    loaded = config.load({"hub": "https://h", "token": "t", "read": [str(tmp_path / "x")]}, {}, None)
    assert config.check(loaded, roots_exist=False).read == (str(tmp_path / "x"),)


@pytest.mark.parametrize("how", ["flag", "environment", "usual place"])
def test_the_configuration_file_is_the_agents_own(files, monkeypatch, how):
    file = files["agent.yaml"]
    file.write_text("hub: https://h\ntoken: t\n")
    if how == "usual place":
        monkeypatch.setattr(config, "usual_file", lambda: file)
    environment = {"FLUX_AGENT_CONFIG": str(file)} if how == "environment" else {}
    agent = config.check(config.load({}, environment, file if how == "flag" else None))
    assert str(file) in agent.protected
    assert str(file) not in agent.program


@pytest.mark.parametrize("name", ["token", "proxy"])
@pytest.mark.parametrize("how", ["flag", "environment", "file"])
def test_a_secrets_file_is_the_agents_own(files, monkeypatch, name, how):
    secret, file = files[name], files["agent.yaml"]
    monkeypatch.chdir(secret.parent)
    flags = {"token": "t"} if name == "proxy" else {}
    environment = {}
    if how == "flag":
        flags |= {f"{name}_file": secret.name}
    elif how == "environment":
        environment = {f"FLUX_AGENT_{name.upper()}_FILE": secret.name}
    else:
        file.write_text(f"hub: https://h\n{name}_file: {secret.name}\n")
    agent = config.check(config.load(flags, environment, file))
    assert set(agent.protected) >= {str(secret), str(file)}


def test_a_secrets_file_that_is_not_used_now_is_the_agents_own_too(files):
    files["agent.yaml"].write_text(f"hub: https://h\ntoken_file: {files['other-token']}\n")
    agent = config.check(
        config.load({"token": "t"}, {"FLUX_AGENT_TOKEN_FILE": str(files["token"])}, files["agent.yaml"])
    )
    assert set(agent.protected) >= {str(files["token"]), str(files["other-token"])}


def test_a_ca_file_is_not_written(files):
    agent = checked(hub="https://h", ca_file=str(files["ca.pem"]))
    assert str(files["ca.pem"]) in agent.program
    assert str(files["ca.pem"]) not in agent.protected


def test_no_root_lies_in_what_is_the_agents_own(tmp_path, monkeypatch):
    (tmp_path / "conf" / "x").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "conf" / "x")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    (tmp_path / "venv" / "data").mkdir(parents=True)
    for path in ("conf", "conf/x", "link"):
        for flag in ("read", "write"):
            with pytest.raises(ConfigError, match=f"--{flag} {tmp_path / path}: .*the agent's own"):
                checked(**{flag: [str(tmp_path / path)]})
    for path in ("venv", "venv/data"):
        with pytest.raises(ConfigError, match="the agent's own"):
            checked(write=[str(tmp_path / path)])
        assert checked(read=[str(tmp_path / path)]).read == (str(tmp_path / path),)
    assert checked(write=[str(tmp_path)]).write == (str(tmp_path),)
