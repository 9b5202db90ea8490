"""``flux-agent doctor``: each layer that fails is named, with what to do and the exit code; those behind it are skipped."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from fileflux.actors.kernel.resolver import Resolver
from fileflux.clock import SystemClock
from fileflux.protocol.websocket import server_accept
from flux_agent import config, doctor
from flux_agent.doctor_walk import LAYERS
from tests.agent.transports.stand_ins import Server, Tunnel, page, pin_of, read_head, reply
from tests.certificates import Authority
from tests.protocol.wire import environ_of, frame

NOW = datetime.now(UTC)


def receive(stream, count):
    data = b""
    while len(data) < count:
        more = stream.recv(count - len(data))
        if not more:
            raise ConnectionResetError
        data += more
    return data


class Hub(Server):
    """What a hub answers to doctor; ``answers`` replaces some of it by path. ``echo`` is what becomes of a binary message."""

    def __init__(self, context=None, answers=None, echo=lambda data: frame(2, data, mask=False)):
        super().__init__(self.answer_to, context)
        self.answers = answers or {}
        self.echo = echo
        self.expires = None
        self.authority_of = None

    def answer_to(self, path, headers):
        if path in self.answers:
            return self.answers[path](path, headers)
        if path == "/ca.pem" and self.authority_of:
            return reply(200, {}, self.authority_of.made.certificate_pem())
        if path == "/healthz":
            now = f"{datetime.now(UTC):%a, %d %b %Y %H:%M:%S} GMT"
            return reply(200, {"Content-Type": "application/json", "Date": now}, b'{"status": "ok"}')
        if headers.get("authorization") != "Bearer ffx_secret":
            return reply(401)
        if path == "/api/agent/check":
            return reply(
                200, {}, json.dumps({"product": "fileflux", "agent": "a1", "expires_at": self.expires}).encode()
            )
        return reply(404)

    def serve(self, connection):
        with self.context.wrap_socket(connection, server_side=True) if self.context else connection as stream:
            while head := read_head(stream):
                path, headers = head.split(b" ")[1].decode(), dict(parse_lines(head))
                self.requests.append((path, headers))
                if path == "/ws/agent/check" and path not in self.answers:
                    self.websocket(stream, head)
                    return
                stream.sendall(self.answer(path, headers))
                if headers.get("connection") == "close":
                    return

    def websocket(self, stream, head):
        answer, accepted = server_accept(environ_of(head))
        assert accepted
        stream.sendall(answer)
        first = receive(stream, 4)
        assert first[0] == 0x82
        size, mask = int.from_bytes(first[2:4], "big"), receive(stream, 4)
        data = bytes(byte ^ mask[at % 4] for at, byte in enumerate(receive(stream, size)))
        answer = self.echo(data)
        if answer:
            stream.sendall(answer)
            while stream.recv(4096):
                pass


def parse_lines(head):
    for line in head.decode().split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            yield name.lower(), value.strip()


@pytest.fixture(autouse=True)
def no_usual_file(monkeypatch, tmp_path):
    monkeypatch.setattr(config, "usual_file", lambda: tmp_path / "conf" / "flux-agent.yaml")


@pytest.fixture
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def examine(hub, environment=None, resolver=None, **flags):
    """Status by layer, and the report."""
    given = {"hub": hub, "token": "ffx_secret", "limits": {"handshake_timeout": 2}, **flags}
    report = doctor.examine(lambda: config.load(given, {}, None), environment or {}, SystemClock(), resolver)
    return {check.name: check.status for check in report.checks}, report


def found(report, name):
    return next(f"{check.found} {check.advice}" for check in report.checks if check.name == name)


def failed(statuses, report, layer, words, code):
    """Exactly this layer has failed, and no layer behind it was looked at."""
    assert [name for name, status in statuses.items() if status == "fail"] == [layer]
    assert {statuses[name] for name in LAYERS[LAYERS.index(layer) + 1 :]} <= {"skipped"}
    assert words in found(report, layer)
    assert report.exit_code == code


def test_all_is_well(tmp_path):
    with Hub() as hub:
        statuses, report = examine(hub.url, read=[str(tmp_path)], write=[str(tmp_path)])
        assert statuses == {
            "configuration": "ok",
            "dns": "ok",
            "tcp": "ok",
            "proxy": "skipped",
            "tls": "skipped",
            "http": "ok",
            "token": "ok",
            "upgrade": "ok",
            "clock": "ok",
            "root": "ok",
        }
        assert report.exit_code == 0
        assert "of agent a1, without an end" in found(report, "token")
        assert "GiB free" in found(report, "root")
        assert {path for path, _ in hub.requests} == {"/healthz", "/api/agent/check", "/ws/agent/check"}


def test_all_is_well_with_everything_in_between(authority):
    with Hub(authority.server_context()) as hub, Tunnel("u:s3cret") as proxy:
        hub.authority_of = authority
        environment = {"HTTPS_PROXY": f"http://u:s3cret@{proxy.authority}"}
        statuses, report = examine(hub.url, environment, token=f"ffx_secret.{pin_of(authority)}")
        assert {statuses[name] for name in LAYERS} == {"ok"}
        assert "verified against the pinned CA" in found(report, "tls")
        assert "expires in 39" in found(report, "tls")
        assert f"{proxy.url} (from HTTPS_PROXY)" in found(report, "proxy")
        assert "s3cret" not in doctor.as_text(report) + doctor.as_json(report)
        assert statuses["root"] == "warn"
        assert report.exit_code == 0


def test_configuration():
    for flags, words in (
        ({"hub": None}, "no hub"),
        ({"token": None}, "no token"),
        ({"hub": "http://hub.example"}, "--insecure"),
        ({"proxy": "socks5://x"}, "socks5"),
        ({"ca_file": "/does/not/exist"}, "ca_file"),
        ({"token": "a b"}, "characters"),
    ):
        statuses, report = examine(**{"hub": "https://h", **flags})
        assert statuses["configuration"] == "fail"
        assert {status for name, status in statuses.items() if name != "configuration"} == {"skipped"}
        assert words in found(report, "configuration")
        assert report.exit_code == 2


def test_insecure_is_told():
    def nowhere(host, port):
        raise socket.gaierror(socket.EAI_NONAME, "x")

    statuses, _ = examine("http://hub.example", resolver=Resolver(nowhere), insecure=True)
    assert statuses["configuration"] == "warn"


def test_dns():
    def nowhere(host, port):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    statuses, report = examine("https://hub.example", resolver=Resolver(nowhere))
    failed(statuses, report, "dns", "there is no host hub.example", 5)


def test_tcp():
    with Hub() as hub:
        url = hub.url
    statuses, report = examine(url)
    failed(statuses, report, "tcp", "is the hub running there", 5)


def test_proxy(authority):
    with Tunnel("u:p") as proxy:
        statuses, report = examine("https://127.0.0.1:9", proxy=proxy.url)
        failed(statuses, report, "proxy", "wants credentials", 5)


def test_tls(authority):
    with Hub(authority.server_context()) as hub:
        statuses, report = examine(hub.url)
        failed(statuses, report, "tls", "ca_file", 5)


def test_a_wrong_pin_is_about_the_token(authority, tmp_path):
    other = Authority(tmp_path)
    with Hub(authority.server_context()) as hub:
        hub.authority_of = authority
        statuses, report = examine(hub.url, token=f"ffx_secret.{pin_of(other)}")
        failed(statuses, report, "tls", "somebody in between", 4)


def test_a_certificate_that_ends_soon(authority):
    context = authority.server_context(authority.issue("soon", age=timedelta(days=390)))
    with Hub(context) as hub:
        statuses, report = examine(hub.url, ca_file=str(authority.file))
        assert statuses["tls"] == "warn"
        assert report.exit_code == 0


def test_the_clock_when_it_keeps_tls_from_working(authority):
    context = authority.server_context(authority.issue("future", age=timedelta(days=-30)))
    with Hub(context) as hub:
        statuses, report = examine(hub.url, ca_file=str(authority.file))
        assert (statuses["tls"], statuses["http"], statuses["clock"]) == ("fail", "skipped", "fail")
        assert "set this machine's clock" in found(report, "clock")
        assert report.exit_code == 5


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (page, "captive portal"),
        (lambda *_: reply(301, {"Location": "https://other.example/"}), "redirects to https://other.example/"),
        (lambda *_: reply(429, {"Retry-After": "30"}), "come back in 30 s"),
        (lambda *_: reply(503), "not ready"),
        (lambda *_: reply(200, {}, b'{"status": "green"}'), "no FileFlux hub"),
        (lambda *_: reply(200, {}, b"[1]"), "no FileFlux hub"),
        (lambda *_: reply(404), "no FileFlux hub (status 404)"),
        (lambda *_: b"SSH-2.0-OpenSSH\r\n\r\n", "does not answer"),
    ],
)
def test_http(answer, words):
    with Hub(answers={"/healthz": answer}) as hub:
        statuses, report = examine(hub.url)
        failed(statuses, report, "http", words, 5)


def test_token():
    with Hub() as hub:
        statuses, report = examine(hub.url, token="ffx_other")
        failed(statuses, report, "token", "by the hub's clock, expired", 4)
        hub.answers = {"/api/agent/check": lambda *_: reply(404)}
        statuses, report = examine(hub.url)
        failed(statuses, report, "token", "no FileFlux hub", 5)


def test_a_token_that_ends_soon():
    with Hub() as hub:
        hub.expires = (NOW + timedelta(days=3)).isoformat()
        statuses, report = examine(hub.url)
        assert statuses["token"] == "warn"
        hub.expires = (NOW + timedelta(days=300)).isoformat()
        statuses, report = examine(hub.url)
        assert statuses["token"] == "ok"
        assert "expires in 299 days" in found(report, "token")


@pytest.mark.parametrize(
    ("answers", "echo", "words"),
    [
        ({"/ws/agent/check": lambda *_: reply(403)}, None, "403"),
        ({"/ws/agent/check": page}, None, "captive portal"),
        ({}, lambda data: b"", "cut"),
        ({}, lambda data: frame(2, data[::-1], mask=False), "changed on its way"),
        ({}, lambda data: frame(1, b"blocked", mask=False), "'blocked' comes back"),
    ],
)
def test_upgrade(answers, echo, words):
    with Hub(answers=answers) as hub:
        hub.echo = echo or hub.echo
        statuses, report = examine(hub.url)
        assert statuses["upgrade"] == "warn"
        assert words in found(report, "upgrade")
        assert "long-polling will be used" in found(report, "upgrade")
        assert report.exit_code == 0
        statuses, report = examine(hub.url, transport_mode="websocket")
        failed(statuses, report, "upgrade", words, 5)
        statuses, report = examine(hub.url, transport_mode="polling")
        assert statuses["upgrade"] == "skipped"
        assert report.exit_code == 0


@pytest.mark.parametrize(
    ("seconds", "status", "words"), [(-3600, "warn", "ahead of"), (900, "warn", "behind"), (60, "ok", "behind")]
)
def test_clock(seconds, status, words):
    then = datetime.now(UTC) + timedelta(seconds=seconds)
    answer = reply(200, {"Date": f"{then:%a, %d %b %Y %H:%M:%S} GMT"}, b'{"status":"ok"}')
    with Hub(answers={"/healthz": lambda *_: answer}) as hub:
        statuses, report = examine(hub.url)
        assert statuses["clock"] == status
        assert words in found(report, "clock")
        assert report.exit_code == 0


def test_roots(tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    with Hub() as hub:
        _, report = examine(hub.url, read=[str(tmp_path / "gone")], write=[str(tmp_path)])
        roots = [(check.status, check.found) for check in report.checks if check.name == "root"]
        assert [status for status, _ in roots] == ["fail", "ok"]
        assert "gone (read) is not a directory" in roots[0][1]
        assert report.exit_code == 2
        if os.geteuid() != 0:
            _, report = examine(hub.url, write=[str(locked)])
            assert "is not writable" in found(report, "root")
            assert report.exit_code == 2


def command(*words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "flux_agent.cli", "doctor", *words],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
        check=False,
    )


def test_the_command(tmp_path):
    token = tmp_path / "token"
    token.write_text("ffx_secret")
    with Hub() as hub:
        flags = ["--hub", hub.url, "--token-file", str(token), "--read", str(tmp_path)]
        done = command(*flags)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert len(lines) == 10
        assert all(line.startswith(("ok ", "skipped ")) for line in lines)
        token.write_text("ffx_other")
        done = command(*flags, "-o", "json")
        assert done.returncode == 4
        report = json.loads(done.stdout)
        assert (report["works"], report["exit_code"]) == (False, 4)
        assert [check["name"] for check in report["checks"] if check["status"] == "fail"] == ["token"]
    assert command(*flags).returncode == 5
    assert command().returncode == 2
    assert command(*flags, "-o", "xml").returncode == 2
    assert command("--hub", "https://127.0.0.1:9", "--proxy", "ftp://x", "--token-file", str(token)).returncode == 2


def test_it_ends_by_itself_when_nothing_answers(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        statuses, report = examine(f"http://127.0.0.1:{silent.getsockname()[1]}", limits={"handshake_timeout": 0.5})
        failed(statuses, report, "http", "does not answer", 5)
