"""The part of the installers that runs in the new virtual environment: configuration, the program's place, the description of a service.

``python -m fileflux.web.installers.configure write|switch|unit``. The scripts around it fetch the wheel and install it. Every file here
is complete before it gets its name, so a run that was cut off is repaired by the next one.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from fileflux import config
from fileflux.errors import ConfigError
from flux_agent import config as agent_config
from flux_agent.installed import CONFIG, CURRENT, VERSIONS

CONFIG_NAME: Final = "flux-agent.yaml"
WIDTH: Final = 2**15
"""Of a line: paths are not folded at their spaces."""
TOKEN_NAME: Final = "agent.token"  # noqa: S105  # a file's name
CA_NAME: Final = "ca.pem"

_HEADER: Final = "# Written by the installer. Later runs of it leave this file as it is.\n"
_TEMPORARY: Final = ("/tmp", "/var/tmp")  # noqa: S108  # nosec B108  # compared with, not used
_ROOT_CAPABILITIES: Final = "CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_CHOWN"
"""What root needs to read and write files of any user; every other power is given up."""
_UNIT: Final = """\
# Written by the installer; running it again writes it anew from the agent's configuration.
[Unit]
Description=FileFlux agent
Wants=network-online.target
After=network-online.target
{mounts}
[Service]
Type=exec
User={user}
ExecStart={program} run --config {config}
Restart=always
RestartSec=5
# A wrong configuration stays wrong until somebody corrects it.
RestartPreventExitStatus=2
KillMode=mixed
NoNewPrivileges=yes
CapabilityBoundingSet={capabilities}
# The whole system is read-only but for the directories that jobs may write.
ProtectSystem=strict
{writable}PrivateTmp={private_tmp}
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
"""


def write(options: argparse.Namespace) -> None:
    """Make the agent's configuration and token file, or keep the configuration that is there. Raises ConfigError."""
    folder = Path(options.prefix, CONFIG)
    target, token, ca_file = folder / CONFIG_NAME, folder / TOKEN_NAME, folder / CA_NAME
    values = _given(options, ca_file)
    secret = config.read_secret(Path(options.token_from)) if options.token_from else None
    certificate = Path(options.ca_file).read_text("utf-8") if options.ca_file else None
    _make_private(folder)
    kept = target.is_file()
    if not kept and secret is None and not token.is_file():
        raise ConfigError(f"{target} is not there and no token was given: give --token-file FILE")
    present = config.read_file(target) if kept else {"hub": options.hub, "token_file": str(token), **values}
    if certificate is not None:
        _place(ca_file, certificate)
    if secret is not None:
        _place(token, f"{secret}\n")
    if kept:
        agent_config.check(agent_config.load({}, {}, target))
        if any(present.get(name) != value for name, value in values.items()):
            sys.stdout.write(f"{target} stays as it is and differs from what was given now: edit it there\n")
    else:
        text = _HEADER + yaml.safe_dump(present, allow_unicode=True, sort_keys=False, width=WIDTH)
        _place(target, text, check=lambda file: agent_config.check(agent_config.load({}, {}, file)))
    if options.owner:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, options.owner)


def switch(options: argparse.Namespace) -> None:
    """Make ``version`` the one that the command starts. The one before it stays, since an agent may still run from it; older ones go."""
    prefix, version = Path(options.prefix), options.version
    versions, current, command = prefix / VERSIONS, prefix / CURRENT, prefix / "bin" / "flux-agent"
    before = current.readlink().name if current.is_symlink() else version
    if before != version or not current.is_symlink():
        fresh = prefix / ".current.new"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(Path(VERSIONS, version))
        fresh.replace(current)
        for old in versions.iterdir():
            if old.name not in (version, before):
                shutil.rmtree(old)
    command.parent.mkdir(exist_ok=True)
    lines = (
        "#!/bin/sh",
        f'[ -n "${{FLUX_AGENT_CONFIG:-}}" ] || FLUX_AGENT_CONFIG={shlex.quote(str(prefix / CONFIG / CONFIG_NAME))}',
        "export FLUX_AGENT_CONFIG",
        f'exec {shlex.quote(str(current / "bin" / "flux-agent"))} "$@"',
    )
    _place(command, "\n".join(lines) + "\n", mode=0o755)


def unit(options: argparse.Namespace) -> str:
    """The systemd unit for the configuration that is there. Raises ConfigError when ``user`` cannot do what it allows."""
    prefix = Path(options.prefix)
    file = prefix / CONFIG / CONFIG_NAME
    values = agent_config.load({}, {}, file).values
    read, writable = list(values["read"]), list(values["write"])
    for path in (*read, *writable):
        if not path.isprintable():
            raise ConfigError(f"the directory {path!r} has characters that no systemd unit can hold: choose another")
    is_root = options.user == "root"
    if not is_root:
        _check_access(options.user, read, writable)
    below_tmp = any(Path(path).is_relative_to(tmp) for path in (*read, *writable) for tmp in _TEMPORARY)
    return _UNIT.format(
        user=options.user,
        program=_word(str(prefix / CURRENT / "bin" / "flux-agent")),
        config=_word(str(file)),
        mounts="".join(f"RequiresMountsFor={_word(path)}\n" for path in dict.fromkeys((*read, *writable))),
        writable="".join(f"ReadWritePaths={_word(path)}\n" for path in writable),
        private_tmp="no" if below_tmp else "yes",
        capabilities=_ROOT_CAPABILITIES if is_root else "",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 2 and one line for what somebody has to correct."""
    parser = argparse.ArgumentParser(prog="configure", allow_abbrev=False)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name, wanted in (
        ("write", ("hub", "token-from", "ca-file", "name", "owner")),
        ("switch", ("version",)),
        ("unit", ("user",)),
    ):
        verb = verbs.add_parser(name, allow_abbrev=False)
        for option in ("prefix", *wanted):
            verb.add_argument(f"--{option}", required=option in ("prefix", "hub", "version", "user"))
        if name == "write":
            verb.add_argument("--insecure", action="store_true")
            verb.add_argument("--read", action="append")
            verb.add_argument("--write", action="append")
    options = parser.parse_args(arguments)
    try:
        match options.verb:
            case "write":
                write(options)
            case "switch":
                switch(options)
            case _:
                sys.stdout.write(unit(options))
    except ConfigError as error:
        sys.stderr.write(f"install: {error.message}\n")
        return 2
    except (OSError, UnicodeError) as error:
        sys.stderr.write(f"install: cannot configure the agent: {error}\n")
        return 1
    return 0


def _given(options: argparse.Namespace, ca_file: Path) -> dict[str, Any]:
    """What was said, as settings of the agent."""
    values: dict[str, Any] = {"hub": options.hub}
    for name in ("name", "read", "write", "insecure"):
        if value := getattr(options, name):
            values[name] = value
    if options.ca_file:
        values["ca_file"] = str(ca_file)
    try:
        "".join((options.hub, options.name or "", *(options.read or ()), *(options.write or ()))).encode()
    except UnicodeEncodeError:
        raise ConfigError("a name or a path is not UTF-8: a configuration file cannot hold it") from None
    return values


def _check_access(user: str, read: Sequence[str], writable: Sequence[str]) -> None:
    """Ask the system itself, as ``user``: groups, access lists and closed parents all count."""
    probe = "import os, sys; sys.exit(not os.access(sys.argv[1], int(sys.argv[2])))"
    wanted = [(sys.executable, os.X_OK)]
    wanted += [(path, os.R_OK | os.X_OK) for path in read]
    wanted += [(path, os.R_OK | os.W_OK | os.X_OK) for path in writable]
    identity = _identity(user)
    for path, rights in wanted:
        command = [sys.executable, "-c", probe, path, str(rights)]
        try:
            allowed = subprocess.run(command, **identity, cwd="/", check=False).returncode == 0
        except PermissionError:
            allowed = False
        if not allowed:
            raise ConfigError(f"the user {user} cannot use {path}: change its rights, or choose another --user or path")


if sys.platform == "win32":

    def _identity(user: str) -> dict[str, Any]:
        raise ConfigError(f"no service runs as {user} here: --user is for systemd")

else:
    import pwd

    def _identity(user: str) -> dict[str, Any]:
        """The arguments that start a process as ``user``, with all its groups."""
        account = pwd.getpwnam(user)
        groups = os.getgrouplist(user, account.pw_gid)
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": groups}


def _make_private(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)


def _place(path: Path, text: str, mode: int = 0o600, check: Callable[[Path], object] | None = None) -> None:
    """Write a file under another name, look whether it is good, and give it its own name."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        fresh.chmod(mode)
        if check is not None:
            check(fresh)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _word(text: str) -> str:
    """One word of a systemd unit, taken literally."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


if __name__ == "__main__":
    sys.exit(main())
