"""A stranger with an empty home installs an agent from a real hub with one line, and the agent moves a file.

The packages that the agent needs come as wheels of what is installed here, so no index is asked but in the test that is marked long.
"""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import stat
import subprocess
import sys
import termios
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fileflux.cli.client import HubClient
from tests.integration import wheelhouse
from tests.integration.harness import EMAIL, Agent, Hub, Process, wait_for

TOOLS = (
    "cat", "cp", "grep", "head", "id", "ln", "ls", "mkdir", "mktemp", "mv", "readlink", "rm", "rmdir", "sh", "stty", "tail", "uname",
)  # fmt: skip
"""All that the script may use, beside Python; the PATH of these tests has nothing else."""


@dataclass
class Stranger:
    """A machine's user who has a hub's address and nothing of FileFlux."""

    hub: Hub
    folder: Path
    wheels: Path

    def __post_init__(self) -> None:
        self.home = self.folder / "home"
        self.home.mkdir()
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(str(shutil.which(tool)))
        (self.bin / "python3").symlink_to(os.path.realpath(sys.executable))
        self.environment = {"HOME": str(self.home), "PATH": str(self.bin), "LANG": "C"}
        # Root's own place is outside of its home.
        self.prefix = self.home / (".local/share/fileflux-agent" if os.geteuid() else "agent")
        self.arguments = [] if os.geteuid() else ["--prefix", "agent"]

    @property
    def line(self) -> str:
        return f"{self.hub.client.url}/install.sh"

    def script(self) -> str:
        with urllib.request.urlopen(self.line, timeout=10) as answer:
            return answer.read().decode()

    def pipe(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The script on the shell's standard input and no terminal, as from a pipe in a job of some automation."""
        return subprocess.run(
            ["sh", "-s", "--", *self.arguments, "--wheelhouse", str(self.wheels), *arguments],
            input=script, env=self.environment, cwd=self.home, capture_output=True, text=True, timeout=110, check=False,
            start_new_session=True,
        )  # fmt: skip

    def ask(self, script: str, answers: list[tuple[str, str]]) -> tuple[int, str]:
        """The same on a terminal, where somebody waits for each question and answers it. Returns the code and what was seen."""
        master, slave = os.openpty()

        def own_terminal() -> None:
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        with subprocess.Popen(
            ["sh", "-s", "--", *self.arguments, "--wheelhouse", str(self.wheels)],
            stdin=subprocess.PIPE, stdout=slave, stderr=slave, env=self.environment, cwd=self.home,
            pass_fds=[slave], preexec_fn=own_terminal,  # noqa: PLW1509  # no threads here
        ) as shell:  # fmt: skip
            os.close(slave)
            assert shell.stdin is not None
            shell.stdin.write(script.encode())
            shell.stdin.close()
            seen, answered, deadline = b"", 0, time.monotonic() + 110
            while time.monotonic() < deadline:
                if answers and answers[0][0].encode() in seen[answered:]:
                    answered = len(seen)
                    os.write(master, answers.pop(0)[1].encode() + b"\n")
                if select.select([master], [], [], 0.1)[0]:
                    try:
                        seen += os.read(master, 4096)
                    except OSError:  # The last process that had the terminal has ended.
                        break
            code = shell.wait(10)
            os.close(master)
        assert not answers, seen
        return code, seen.decode()

    def files(self) -> dict[str, tuple[int, str]]:
        """Mode and content of the configuration folder's files."""
        folder = self.prefix / "config"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        return {path.name: (stat.S_IMODE(path.stat().st_mode), path.read_text()) for path in folder.iterdir()}

    def versions(self) -> list[str]:
        folder = self.prefix / "versions"
        return [path.name for path in folder.iterdir()] if folder.exists() else []


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    hub = Hub(tmp_path_factory.mktemp("hub")).start()
    yield hub
    hub.stop()


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages") / "wheelhouse"
    wheelhouse.fill(folder, "fileflux")
    return folder


@pytest.fixture
def stranger(hub: Hub, tmp_path: Path, wheels: Path) -> Stranger:
    return Stranger(hub, tmp_path, wheels)


def test_one_line_installs_an_agent_that_moves_files(hub: Hub, stranger: Stranger, tmp_path: Path) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    (stranger.bin / "curl").symlink_to(curl)
    agent_id, token_file = hub.enrol("stranger", tmp_path)
    token = token_file.read_text().strip()
    (stranger.home / "in").mkdir()
    (stranger.home / "in" / "letter.txt").write_text("dear all")
    # The directory that jobs may write holds the agent itself.
    arguments = [*stranger.arguments, "--token-file", str(token_file), "--name", "stranger", "--read=in", "--write=."]

    installed = subprocess.run(
        ["sh", "-c", 'curl -fsSL "$0" | sh -s -- "$@"', stranger.line, "--wheelhouse", str(stranger.wheels), *arguments],
        env=stranger.environment, cwd=stranger.home, capture_output=True, text=True, timeout=110, check=False,
        start_new_session=True,
    )  # fmt: skip
    assert installed.returncode == 0, installed.stderr
    assert installed.stdout.splitlines()[0].startswith("installing flux-agent ")
    assert token not in installed.stdout + installed.stderr
    files = stranger.files()
    assert files.keys() == {"flux-agent.yaml", "agent.token"}
    assert files["agent.token"] == (0o600, f"{token}\n")
    assert files["flux-agent.yaml"][0] == 0o600
    assert f"hub: {hub.client.url}\n" in files["flux-agent.yaml"][1]
    assert token not in files["flux-agent.yaml"][1]

    command = stranger.prefix / "bin" / "flux-agent"
    if not stranger.arguments:
        link = stranger.home / ".local" / "bin" / "flux-agent"
        assert os.readlink(link) == str(command)
        command = link
    running = Process(
        ["env", "-i", *(f"{k}={v}" for k, v in stranger.environment.items()), str(command), "run"], tmp_path / "log", {}
    )
    destination = Agent(hub, "destination", tmp_path).start()
    try:
        wait_for("the new agent", lambda: hub.client.get(f"/api/agents/{agent_id}")["status"] == "online")
        job = hub.job(agent_id, stranger.home / "in", destination.id, destination.write)
        assert hub.wait_ended(hub.run(job))["status"] == "succeeded"
        assert (destination.write / "letter.txt").read_text() == "dear all"
        for place in ("bin/flux-agent", "current", "config/agent.token", "versions/", "new"):
            job = hub.job(agent_id, stranger.home / "in" / "letter.txt", agent_id, f"{stranger.prefix}/{place}")
            run_id = hub.run(job)
            assert hub.wait_ended(run_id)["status"] == "failed"
            assert hub.transfers(run_id)[0]["code"] == "refused_path"
        assert not (stranger.prefix / "new").exists()
        assert stranger.files() == files

        # The same line once more, while the agent runs.
        before = (stranger.prefix / "current").stat().st_ino
        again = stranger.pipe(stranger.script(), *arguments[len(stranger.arguments) :])
        assert again.returncode == 0, again.stderr
        assert "installing" not in again.stdout
        assert "stop the agent if it runs and start it again" in again.stdout
        assert (stranger.prefix / "current").stat().st_ino == before
        assert stranger.files() == files
        assert hub.client.get(f"/api/agents/{agent_id}")["status"] == "online"
    finally:
        running.stop()
        destination.stop()

    removed = stranger.pipe(stranger.script(), "--uninstall")
    assert removed.returncode == 0, removed.stderr
    assert not stranger.prefix.exists()
    assert not list(stranger.home.rglob("flux-agent"))


@pytest.mark.long
def test_on_a_terminal_it_asks_for_what_it_was_not_told(stranger: Stranger, tmp_path: Path) -> None:
    _, token_file = stranger.hub.enrol("asked", tmp_path)
    token = token_file.read_text().strip()
    (stranger.home / "some in").mkdir()
    (stranger.home / "out").mkdir()
    script = stranger.script()

    # What went wrong before leaves nothing that is in the way: another wheel than the script's, no packages, a killed installation.
    other = script.replace("SHA256='", "SHA256='0")
    refused = stranger.pipe(other, "--token-file", str(token_file))
    assert refused.returncode == 1
    assert "is not the wheel that this script was made for: fetch the script again" in refused.stderr
    assert stranger.versions() == []
    (tmp_path / "empty").mkdir()
    refused = stranger.pipe(script, "--token-file", str(token_file), "--wheelhouse", str(tmp_path / "empty"))
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith("install: pip cannot install the packages that the agent needs")
    assert stranger.versions() == []
    target = next(line for line in script.splitlines() if line.startswith("SHA256="))[8:20]
    version = next(line for line in script.splitlines() if line.startswith("VERSION=")).split("'")[1]
    killed = stranger.prefix / "versions" / f"{version}-{target}"
    (killed / "bin").mkdir(parents=True)
    (killed / "bin" / "python").write_text("")

    code, seen = stranger.ask(
        script,
        [
            ("Token of this agent", token),
            ("that jobs may read", "nowhere"),
            ("that jobs may read", "some in"),
            ("that jobs may read", ""),
            ("that jobs may write", str(stranger.home / "out")),
            ("that jobs may write", ""),
        ],
    )
    assert code == 0, seen
    assert token not in seen
    assert "nowhere is not a directory" in seen
    assert stranger.versions() == [killed.name]
    files = stranger.files()
    assert files["agent.token"] == (0o600, f"{token}\n")
    assert f"read:\n- {stranger.home}/some in\nwrite:\n- {stranger.home}/out\n" in files["flux-agent.yaml"][1]
    assert not list(stranger.home.glob("tmp*"))
    # Configured already: there is nothing to ask.
    code, seen = stranger.ask(script, [])
    assert (code, "Token" in seen) == (0, False)


@pytest.mark.long
def test_a_hub_with_its_own_ca_and_packages_from_the_index(tmp_path: Path) -> None:
    """Verified by the CA's file or not at all; what the agent needs comes from where this machine's pip gets it."""
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    admin = {"FILEFLUX_ADMIN_EMAIL": EMAIL, "FILEFLUX_ADMIN_PASSWORD": "for this test only", "FILEFLUX_TLS": "auto"}
    data = tmp_path / "hub"
    serve = [sys.executable, "-m", "fileflux.cli.main", "serve", "--port", "0", "--data-dir", str(data)]
    hub = Process(serve, tmp_path / "hub.log", admin)
    agent: Process | None = None
    try:
        wait_for("the hub to listen", lambda: "listening on https://" in hub.text(), 40)
        url = hub.text().rpartition("listening on ")[2].strip()
        client = HubClient(url, ca_file=str(data / "tls" / "ca.pem"))
        client.login(EMAIL, "for this test only")
        agent_id = client.post("/api/agents", {"name": "far"})["id"]
        home = tmp_path / "home"
        (home / "in").mkdir(parents=True)
        (home / "token").write_text(client.post("/api/tokens", {"agent_id": agent_id, "name": "x"})["value"])
        shutil.copy(data / "tls" / "ca.pem", home)
        own = tmp_path / "own"
        own.mkdir()
        (own / "python3").symlink_to(os.path.realpath(sys.executable))
        environment = {"HOME": str(home), "PATH": f"{own}:{os.defpath}"}

        def install(*more: str) -> subprocess.CompletedProcess[str]:
            line = (
                'curl -fsSL --cacert ca.pem "$0/install.sh" | sh -s -- --prefix agent --token-file token --read in "$@"'
            )
            return subprocess.run(
                ["sh", "-c", line, url, *more],
                env=environment, cwd=home, capture_output=True, text=True, timeout=110, check=False, start_new_session=True,
            )  # fmt: skip

        refused = install()
        assert refused.returncode == 1
        assert "is a --ca-file needed?" in refused.stderr.splitlines()[-1]
        assert not (home / "agent" / "versions").exists()
        installed = install("--ca-file", "ca.pem")
        assert installed.returncode == 0, installed.stderr
        (home / "ca.pem").unlink()
        (home / "token").unlink()
        command = [str(home / "agent" / "bin" / "flux-agent"), "run"]
        agent = Process(["env", "-i", f"HOME={home}", *command], tmp_path / "agent.log", {})
        wait_for("the new agent", lambda: client.get(f"/api/agents/{agent_id}")["status"] == "online")
        client.close()
    finally:
        if agent is not None:
            agent.stop()
        hub.stop()
