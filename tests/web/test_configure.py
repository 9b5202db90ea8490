"""The part of the installers that is Python, with the real reader of the agent's configuration."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from fileflux.web.installers import configure
from flux_agent import config as agent_config

HUB = "http://127.0.0.1:8040"
TOKEN = "ffx_" + "t" * 43


class Place:
    """A prefix, with a token file and two directories beside it."""

    def __init__(self, folder: Path) -> None:
        self.prefix = folder / "pre fix"
        self.prefix.mkdir()
        self.folder = folder
        self.token = folder / "token"
        self.token.write_text(f"  {TOKEN}\n")
        self.inbox, self.outbox = folder / "in box", folder / "out"
        self.inbox.mkdir()
        self.outbox.mkdir()
        self.file = self.prefix / "config" / "flux-agent.yaml"

    def run(self, verb: str, *arguments: str) -> int:
        return configure.main([verb, f"--prefix={self.prefix}", *arguments])

    def write(self, *arguments: str, hub: str = HUB) -> int:
        return self.run("write", f"--hub={hub}", *arguments)

    def install(self) -> None:
        roots = (f"--read={self.inbox}", f"--write={self.outbox}")
        assert self.write(f"--token-from={self.token}", *roots) == 0

    def version(self, name: str) -> None:
        program = self.prefix / "versions" / name / "bin" / "flux-agent"
        program.parent.mkdir(parents=True)
        program.write_text(f'#!/bin/sh\necho {name} "$FLUX_AGENT_CONFIG" "$@"\n')
        program.chmod(0o755)

    def answer(self, *arguments: str, **environment: str) -> str:
        command = [str(self.prefix / "bin" / "flux-agent"), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_the_agent_reads_what_was_written(place: Place) -> None:
    name = 'Größe: "1" #x {y} - ü 😀'
    roots = (f"--read={place.inbox}", f"--read={place.outbox}", f"--write={place.outbox}")
    assert place.write(f"--token-from={place.token}", f"--name={name}", *roots) == 0
    checked = agent_config.check(agent_config.load({}, {}, place.file))
    assert (checked.hub, checked.token, checked.name) == (HUB, TOKEN, name)
    assert (checked.read, checked.write) == ((str(place.inbox), str(place.outbox)), (str(place.outbox),))


def test_nobody_else_can_read_it(place: Place) -> None:
    old = os.umask(0)
    try:
        place.install()
    finally:
        os.umask(old)
    folder = place.file.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {
        "flux-agent.yaml": 0o600,
        "agent.token": 0o600,
    }
    assert TOKEN not in place.file.read_text()


def test_a_second_run_keeps_the_configuration(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.install()
    place.file.write_text(place.file.read_text() + "workers: 3\n")
    kept = place.file.read_bytes()
    for arguments in ((), (f"--read={place.inbox}", f"--write={place.outbox}"), (f"--token-from={place.token}",)):
        assert place.write(*arguments) == 0
        assert capsys.readouterr().out == ""
    assert place.write("--name=other") == 0
    assert (
        capsys.readouterr().out == f"{place.file} stays as it is and differs from what was given now: edit it there\n"
    )
    assert place.file.read_bytes() == kept


def test_a_new_token_replaces_the_old_one(place: Place) -> None:
    place.install()
    place.token.write_text("ffx_new")
    assert place.write(f"--token-from={place.token}") == 0
    assert agent_config.load({}, {}, place.file).values["token"] == "ffx_new"


def test_the_hubs_own_ca_is_kept_beside_it(place: Place) -> None:
    ca_file = place.folder / "ca"
    ca_file.write_text("-----BEGIN CERTIFICATE-----\n")
    assert place.write(f"--token-from={place.token}", f"--ca-file={ca_file}", hub="https://hub.example:8040") == 0
    ca_file.unlink()
    assert agent_config.load({}, {}, place.file).values["ca_file"] == str(place.file.parent / "ca.pem")
    assert (place.file.parent / "ca.pem").read_text() == "-----BEGIN CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--hub=http://192.0.2.1"], "add --insecure"),
        (["--hub=https://u:p@hub"], "holds no user or password"),
        (["--hub=hub"], "must begin with http:// or https://"),
        ([f"--hub={HUB}", "--read=/nowhere/at/all"], "this is not a directory"),
        ([f"--hub={HUB}", "--name=a\x1b[2J"], "printable"),
        ([f"--hub={HUB}", "--name=\udcff"], "is not UTF-8"),
    ],
)  # fmt: skip
def test_what_the_agent_would_refuse_is_not_written(
    place: Place, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert place.run("write", f"--token-from={place.token}", *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("install: ")
    assert error.count("\n") == 1
    assert words in error
    assert not place.file.exists()
    assert not [path for path in place.file.parent.glob("*") if path.name != "agent.token"]
    # The next run, with the mistake corrected, finds nothing in its way.
    place.install()


def test_a_token_that_is_none(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.write() == 2
    assert "no token was given: give --token-file FILE" in capsys.readouterr().err
    for content in ("", "two words"):
        place.token.write_text(content)
        assert place.write(f"--token-from={place.token}") == 2
        assert not place.file.exists()
    assert place.write("--token-from=/nowhere") == 2


def test_a_configuration_that_somebody_broke_is_named(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.install()
    for broken, words in (
        ("hub: [", "line"),
        (f"hub: {HUB}\nred: [/x]\n", "did you mean 'read'"),
        (f"hub: {HUB}\n", "no token"),
    ):
        place.file.write_text(broken)
        assert place.write() == 2
        assert words in capsys.readouterr().err
        assert place.file.read_text() == broken


@pytest.mark.parametrize("kind", ["read", "write"])
def test_a_root_may_hold_the_agent_and_not_lie_where_its_secrets_do(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(sys, "prefix", str(place.prefix / "versions" / "1"))
    inside = place.prefix / "config" / "data"
    inside.mkdir(parents=True)
    assert place.write(f"--token-from={place.token}", f"--{kind}={inside}") == 2
    assert f"--{kind} {inside}: " in capsys.readouterr().err
    assert not place.file.exists()
    # Whoever gives the whole disk away gives it away but for the agent itself.
    assert place.write(f"--token-from={place.token}", f"--{kind}=/", f"--{kind}={place.folder}") == 0
    checked = agent_config.check(agent_config.load({}, {}, place.file))
    assert str(place.file.parent) in checked.protected
    assert str(place.prefix) in checked.program


def test_the_command_starts_the_version_that_was_switched_to(place: Place) -> None:
    config_file = str(place.file)
    for version in ("1", "2", "3"):
        place.version(version)
        for _ in range(2):
            assert place.run("switch", f"--version={version}") == 0
            assert place.answer("a b", "c") == f"{version} {config_file} a b c"
    assert place.answer(FLUX_AGENT_CONFIG="/other") == "3 /other"
    # An agent may still run from the one before; what is older goes.
    assert sorted(path.name for path in (place.prefix / "versions").iterdir()) == ["2", "3"]
    # A run that was ended in the middle of it.
    (place.prefix / ".current.new").symlink_to("versions/2")
    assert place.run("switch", "--version=2") == 0
    assert place.answer() == f"2 {config_file}"
    assert not (place.prefix / ".current.new").is_symlink()


def test_the_command_takes_any_folder_literally(tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s "$HOME" `id` ; é'
    folder.mkdir()
    place = Place(folder)
    place.version("1")
    assert place.run("switch", "--version=1") == 0
    assert place.answer() == f"1 {place.file}"


def lines_of(unit: str, key: str) -> list[str]:
    return [line.partition("=")[2] for line in unit.splitlines() if line.startswith(f"{key}=")]


def test_the_unit_opens_only_what_jobs_may_write(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    odd = place.folder / 'a "b" 100% \\c'
    odd.mkdir()
    assert place.write(f"--token-from={place.token}", f"--read={place.inbox}", f"--write={odd}") == 0
    capsys.readouterr()
    assert place.run("unit", "--user=root") == 0
    unit = capsys.readouterr().out
    word = str(odd).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    assert lines_of(unit, "ProtectSystem") == ["strict"]
    assert lines_of(unit, "ReadWritePaths") == [f'"{word}"']
    assert lines_of(unit, "RequiresMountsFor") == [f'"{place.inbox}"', f'"{word}"']
    assert lines_of(unit, "ExecStart") == [f'"{place.prefix}/current/bin/flux-agent" run --config "{place.file}"']
    assert lines_of(unit, "User") == ["root"]
    assert "CAP_DAC_OVERRIDE" in lines_of(unit, "CapabilityBoundingSet")[0]
    # The tests' own folder lies below /tmp, which a private /tmp would hide.
    assert lines_of(unit, "PrivateTmp") == ["no" if str(place.folder).startswith("/tmp/") else "yes"]
    assert "{" not in unit


def test_a_path_that_no_unit_can_hold(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    odd = place.folder / "a\nUser=root"
    odd.mkdir()
    assert place.write(f"--token-from={place.token}", f"--read={odd}") == 0
    assert place.run("unit", "--user=root") == 2
    assert "no systemd unit can hold" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try what another user may do")
@pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="needs a Python that every user can start")
def test_a_service_user_must_reach_the_roots(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with tempfile.TemporaryDirectory() as name:  # Pytest's own folder is closed to others.
        Path(name).chmod(0o755)
        place = Place(Path(name))
        place.install()
        monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
        for change, refused in (
            (lambda: place.outbox.chmod(0o755), place.outbox),
            (lambda: place.outbox.chmod(0o777), None),
            (lambda: place.inbox.chmod(0o750), place.inbox),
            (lambda: os.chown(place.inbox, -1, pwd.getpwnam("nobody").pw_gid), None),
            (lambda: place.folder.chmod(0o700), place.inbox),
            (lambda: monkeypatch.setattr(sys, "executable", str(place.token)), place.token),
        ):
            change()
            assert place.run("unit", "--user=nobody") == (2 if refused else 0)
            output = capsys.readouterr()
            if refused:
                assert output.err.startswith(f"install: the user nobody cannot use {refused}: ")
                assert output.out == ""
            else:
                assert lines_of(output.out, "User") == ["nobody"]
                assert lines_of(output.out, "CapabilityBoundingSet") == [""]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_service_user_owns_the_configuration(place: Place) -> None:
    assert place.write(f"--token-from={place.token}", "--owner=nobody") == 0
    nobody = pwd.getpwnam("nobody").pw_uid
    assert {path.stat().st_uid for path in (place.file.parent, *place.file.parent.iterdir())} == {nobody}


def test_errors_of_the_system_are_one_line(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    (place.prefix / "config").write_text("in the way")
    assert place.write(f"--token-from={place.token}") == 1
    error = capsys.readouterr().err
    assert error.startswith("install: cannot configure the agent: ")
    assert error.count("\n") == 1
