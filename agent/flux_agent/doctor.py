"""``flux-agent doctor``: goes the way to the hub layer by layer, as ``run`` would, and says which one fails and what to do.

A layer that fails ends the walk, since those behind it cannot be reached; the roots are looked at in any case. Nothing here opens a session:
an agent that runs with the same token goes on undisturbed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from fileflux.actors.kernel.resolver import Resolver
from fileflux.clock import Clock, SystemClock
from fileflux.config import Loaded
from fileflux.errors import ConfigError
from flux_agent import config as agent_config
from flux_agent.config import AgentConfig
from flux_agent.doctor_report import Check, Report, as_json, as_text
from flux_agent.doctor_walk import LAYERS, Walk, skipped
from flux_agent.transports.network import Network

__all__ = ["as_json", "as_text", "examine"]

CONFIGURATION: Final = 2
"""Exit code: the configuration has to be changed."""


def examine(
    load: Callable[[], Loaded],
    environment: Mapping[str, str],
    clock: Clock | None = None,
    resolver: Resolver | None = None,
) -> Report:
    """Every layer, in order. ``load`` reads the configuration as ``run`` would; its ConfigError becomes the first line."""
    clock = clock or SystemClock()
    try:
        config = agent_config.check(load(), environment=environment, roots_exist=False)
        network = Network.from_config(config, clock, resolver)
    except ConfigError as error:
        failed = Check("configuration", "fail", str(error), exit_code=CONFIGURATION)
        return Report([failed, *(skipped(name, "configuration") for name in (*LAYERS, "root"))])
    return Report([_configuration(config), *Walk(config, network, clock).checks(), *_roots(config)])


def _configuration(config: AgentConfig) -> Check:
    found = f"hub {config.hub}, transport {config.transport_mode}"
    if config.exposed:
        return Check(
            "configuration", "warn", found, "--insecure: everybody on the way can read token and files; use https"
        )
    return Check("configuration", "ok", found)


def _roots(config: AgentConfig) -> list[Check]:
    wanted = dict.fromkeys((*config.read, *config.write))
    if not wanted:
        return [Check("root", "warn", "this agent may touch no directory", "add --read DIR and --write DIR")]
    return [_root(Path(path), read=path in config.read, write=path in config.write) for path in wanted]


def _root(path: Path, *, read: bool, write: bool) -> Check:
    rights = " and ".join(name for name, given in (("read", read), ("write", write)) if given)
    if not path.is_dir():
        return Check(
            "root", "fail", f"{path} ({rights}) is not a directory", "make it, or correct the path", CONFIGURATION
        )
    missing = [
        name
        for name, wanted, mode in (("readable", read, os.R_OK | os.X_OK), ("writable", write, os.W_OK | os.X_OK))
        if wanted and not os.access(path, mode)
    ]
    if missing:
        advice = "give this user the permission, or run the agent as another"
        return Check("root", "fail", f"{path} is not {' and not '.join(missing)} for this user", advice, CONFIGURATION)
    try:
        free = shutil.disk_usage(path).free
    except OSError as error:
        return Check("root", "fail", f"{path}: {error.strerror}", "check the file system", CONFIGURATION)
    found = f"{path} ({rights}), {free / 2**30:.1f} GiB free"
    return Check("root", "ok", found) if free or not write else Check("root", "warn", found, "the disk is full")
