"""The command as a process: exit codes and one-line errors."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time

import pytest
import typer

from flux_agent import cli


def agent(*args, **environment):
    clean = {key: value for key, value in os.environ.items() if not key.startswith("FLUX_AGENT")}
    return subprocess.run(
        [sys.executable, "-m", "flux_agent.cli", *args],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**clean, **environment},
    )


@pytest.fixture
def home(tmp_path):
    return {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "conf")}


def commands(group, *above):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *above, name)
        else:
            yield " ".join((*above, name)), command


COMMANDS = dict(commands(typer.main.get_command(cli.app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_come_first_and_would_be_taken(name):
    command, path = COMMANDS[name], name.split()
    assert command.examples
    for example in command.examples:
        words = shlex.split(example)
        assert words[: 1 + len(path)] == ["flux-agent", *path]
        command.make_context(path[-1], words[1 + len(path) :])
    shown = command.get_help(typer.Context(command))
    assert shown.index("Examples:") < shown.index("Options:")


def test_version(home):
    done = agent("version", **home)
    assert done.returncode == 0
    assert done.stdout.strip()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "no hub is named"),
        (["--hub", "http://127.0.0.1:1"], "no token"),
        (["--hub", "http://hub.example", "--token", "ffx_a"], "--insecure"),
        (["--hub", "http://127.0.0.1:1", "--token-file", "/does/not/exist"], "cannot read the secret"),
        (["--hub", "http://127.0.0.1:1", "--token", "ffx_a", "--read", "/does/not/exist"], "not a directory"),
        (["--hub", "https://h", "--token", "ffx_a", "--ca-file", "/does/not/exist"], "cannot read ca_file"),
        (["--hub", "https://h", "--token", "ffx_a", "--proxy", "socks5://u:s3cret@p"], "socks5"),
        (["--hub", "https://h", "--token", "ffx_a", "--transport", "pigeon"], "auto, websocket or polling"),
    ],
)
def test_wrong_configuration_is_one_line_and_code_2(home, args, words):
    done = agent("run", *args, **home)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_an_unknown_option_is_code_2(home):
    assert agent("run", "--hbu", "x", **home).returncode == 2


def test_config_show_tells_origins_and_hides_the_token(home, tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("hub: http://127.0.0.1:1\nread: [/tmp]\n")
    done = agent("config", "show", "--origin", "--config", str(file), FLUX_AGENT_TOKEN="ffx_secret", **home)
    assert done.returncode == 0
    assert "ffx_secret" not in done.stdout
    shown = json.loads(done.stdout)
    assert shown["hub"] == {"value": "http://127.0.0.1:1", "origin": f"file {file}"}
    assert shown["token"] == {"value": "(set)", "origin": "environment"}


def test_config_show_hides_a_proxy_whose_url_may_hold_a_password(home):
    done = agent("config", "show", FLUX_AGENT_PROXY="http://u:s3cret@p:1", **home)
    assert json.loads(done.stdout)["proxy"] == "(set)"
    assert "s3cret" not in done.stdout


def test_plain_http_to_another_machine_is_told_loudly(home, tmp_path):
    log = tmp_path / "log"
    # A way to write 127.0.0.1 that is not known to stay on this machine.
    command = [sys.executable, "-m", "flux_agent.cli", "run", "--hub", "http://127.1:9", "--insecure", "--workers", "1"]
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, **home, "FLUX_AGENT_TOKEN": "ffx_a"}
        )
    try:
        deadline = time.monotonic() + 30
        while "hub_unreachable" not in log.read_text():
            assert process.poll() is None
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
    finally:
        process.terminate()
        process.wait(20)
    lines = log.read_text().splitlines()
    assert "insecure_hub" in lines[0]
    assert "let the hub speak TLS" in lines[0]
    assert "is the hub running there" in log.read_text()
