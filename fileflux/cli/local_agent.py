"""This machine as one end of a run: a temporary agent, for as long as one command takes.

It is ``flux-agent run`` as a child process with a configuration of its own: the folders that the command needs and nothing else, whatever
another agent of this machine may touch. The token is in that file, which only its owner can read. The child ends when its standard input
does, so it never outlives the command, whatever that dies of.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from fileflux.errors import ConfigError, FluxError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from fileflux.cli.client import HubClient

ONLINE_S: Final = 30.0
"""An agent needs a second or two; a slow way through a proxy, some more."""
STOP_S: Final = 10.0
"""The agent needs a moment for what is in its hands (flux_agent.runtime, SETTLE_S)."""
POLL_S: Final = 0.15
GOODBYE_S: Final = 3.0
"""A hub that is away keeps nobody at the end of a command."""
_KEPT: Final = ("FLUX_AGENT_LIMITS_", "FLUX_AGENT_PROXY", "FLUX_AGENT_TRANSPORT_MODE")
_NAME: Final = "fileflux send"
_GLOB: Final = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class LocalEnd:
    """A path of this machine as a job names it, and the folder that the agent must be allowed to touch for it."""

    path: str
    root: str


def local_source(text: str) -> LocalEnd:
    """A file, a folder, or what a glob matches. Raises NotFoundError when it is not there, ConfigError when it cannot be read."""
    given = Path(text)
    path = _absolute(given)
    if not os.path.lexists(path) and _GLOB.intersection(text):
        fixed = path
        while _GLOB.intersection(str(fixed)):
            fixed = fixed.parent
        _check_folder(fixed, text, os.R_OK)
        return LocalEnd(str(path), str(fixed))
    # A link that is named is followed, as scp does; the agent itself follows none.
    real = path.resolve()
    if real.is_dir():
        _check_folder(real, text, os.R_OK)
        return LocalEnd(str(real), str(real))
    if not real.exists():
        raise NotFoundError(f"{text}: there is no such file or folder")
    if not real.is_file():
        raise ConfigError(f"{text}: this is neither a file nor a folder")
    if not os.access(real, os.R_OK):
        raise ConfigError(f"{text}: no permission to read it")
    return LocalEnd(str(real), str(real.parent))


def local_destination(text: str) -> LocalEnd:
    """A folder, which is made when the path ends in a slash, or a name in a folder that is there. Raises ConfigError."""
    separators = ("/", os.sep)
    path = _absolute(Path(text))
    if text.endswith(separators) or path.is_dir():
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{text}: cannot make this folder: {error.strerror}") from None
        real = path.resolve()
        _check_folder(real, text, os.W_OK)
        return LocalEnd(f"{real}{os.sep}", str(real))
    parent = path.parent
    if not parent.is_dir():
        raise ConfigError(f"{text}: there is no folder {parent}; make it first")
    real = parent.resolve()
    _check_folder(real, text, os.W_OK)
    return LocalEnd(str(real / path.name), str(real))


class LocalAgent:
    """A context that makes a temporary agent, waits until it is online, and takes it away again. Raises FluxError.

    ``say`` gets a line when something takes long; ``output`` True shows the agent's own log on stderr.
    """

    def __init__(
        self,
        client: HubClient,
        read: Sequence[str],
        write: Sequence[str],
        say: Callable[[str], None],
        *,
        output: bool = False,
    ) -> None:
        if os.name == "nt":
            raise ConfigError("an agent cannot run on Windows yet: give AGENT:PATH for both places")
        self.id = 0
        self._client = client
        self._roots = {"read": list(read), "write": list(write)}
        self._say = say
        self._output = output
        self._folder: Path | None = None
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="fileflux-"))
        except OSError as error:
            raise ConfigError(f"no folder for temporary files: {error.strerror}; set TMPDIR") from None
        try:
            made = self._client.post("/api/temporary-agents", {"name": _host_name()})
            self.id = made["agent"]["id"]
            if made["value"] is None:
                raise UnavailableError("the connection broke when the temporary agent was made; run the command again")
            self._start(self._folder, made["value"])
            self._wait_online()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the child and make its token worthless. Ctrl-C meanwhile skips what is being waited for, and nothing else."""
        for step in (self._stop, self._remove, self._clean):
            try:
                step()
            except KeyboardInterrupt:
                continue

    def hear(self) -> None:
        """Returns when the agent has got everything that the hub had sent it before; at once when it cannot be reached."""
        with suppress(FluxError):
            self._client.post(f"/api/agents/{self.id}/test")

    def _start(self, folder: Path, token: str) -> None:
        client = self._client
        # What `requests` was told in the environment holds for the child's connection too.
        ca_file = client.ca_file or os.environ.get("REQUESTS_CA_BUNDLE")
        configuration: dict[str, Any] = {
            "hub": client.url,
            "token": token,
            "name": _NAME,
            "insecure": client.url.startswith("http:"),
            **self._roots,
        } | ({"ca_file": str(Path(ca_file).absolute())} if ca_file else {})
        file = folder / "agent.yaml"
        # JSON is YAML.
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:  # noqa: PTH123  # a descriptor, for its mode
            json.dump(configuration, opened)
        command = [sys.executable, "-P", "-m", "flux_agent.cli", "run", "--config", str(file), "--until-stdin-ends"]
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("FLUX_AGENT_") or name.startswith(_KEPT)
        }
        with (folder / "agent.log").open("wb") as log:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=None if self._output else log,
                env=environment,
                # The keyboard's Ctrl-C is for the command: it needs its agent to clean up.
                start_new_session=True,
            )

    def _wait_online(self) -> None:
        child = self._child
        if child is None:
            raise AssertionError("the agent is started first")
        begun = time.monotonic()
        said = False
        while self._client.get(f"/api/agents/{self.id}")["status"] != "online":
            waited = time.monotonic() - begun
            if child.poll() is not None:
                raise FluxError(f"the temporary agent ended at once: {self._last_words()}")
            if waited > ONLINE_S:
                raise UnavailableError(
                    f"the temporary agent on this machine did not reach {self._client.url}: {self._last_words()}"
                )
            if waited > 1.5 and not said:
                said = True
                self._say("waiting for the temporary agent on this machine to connect")
            time.sleep(POLL_S)

    def _last_words(self) -> str:
        """The end of the child's log; it knows best why it cannot work."""
        if self._folder is None or self._output:
            return "see its log above"
        try:
            lines = (self._folder / "agent.log").read_text("utf-8", "replace").strip().splitlines()
        except OSError:
            lines = []
        from fileflux.cli.output import clean

        return clean(lines[-1])[-500:] if lines else "it said nothing; try again with -v"

    def _stop(self) -> None:
        child = self._child
        if child is None:
            return
        try:
            if child.stdin is not None:
                child.stdin.close()
            child.wait(STOP_S)
        except (OSError, subprocess.TimeoutExpired):
            pass
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()

    def _remove(self) -> None:
        if not self.id:
            return
        self._client.hurry(GOODBYE_S)
        try:
            self._client.delete(f"/api/temporary-agents/{self.id}")
        except FluxError as error:
            self._say(f"the temporary agent {self.id} is stopped, but the hub could not be told: {error.message}")

    def _clean(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _host_name() -> str:
    """What tells this machine's agent apart in lists."""
    name = socket.gethostname().partition(".")[0][:60]
    # What the hub takes as an agent's name, and any host is called.
    return name if re.fullmatch(r"\w([\w-]*\w)?", name) else "send"


def _absolute(path: Path) -> Path:
    """As the shell means it: below the working directory, without going through the last link."""
    try:
        path = path.expanduser() if str(path).startswith("~") else path
        return path.parent.resolve() / path.name if path.name not in ("", "..") else path.resolve()
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


def _check_folder(path: Path, text: str, mode: int) -> None:
    if not path.is_dir():
        raise ConfigError(f"{text}: there is no folder {path}")
    if not os.access(path, mode | os.X_OK):
        raise ConfigError(f"{text}: no permission to {'write to' if mode & os.W_OK else 'read'} {path}")
