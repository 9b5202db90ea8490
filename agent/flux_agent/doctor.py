"""``flux-agent doctor``: goes the way to the hub layer by layer, as ``run`` would, and says which one fails and what to do.

A layer that fails ends the walk, since those behind it cannot be reached; the roots are looked at in any case. Nothing here opens a session:
an agent that runs with the same token goes on undisturbed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fileflux.actors.kernel.resolver import Resolver
from fileflux.clock import Clock, SystemClock
from fileflux.config import Loaded
from fileflux.errors import ConfigError
from flux_agent import config as agent_config
from flux_agent.doctor_report import Check, Report, as_json, as_text
from flux_agent.doctor_roots import CONFIGURATION, check_roots
from flux_agent.doctor_walk import LAYERS, Walk, configuration, skipped
from flux_agent.transports.network import Network

__all__ = ["as_json", "as_text", "examine"]


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
    wanted = dict.fromkeys((*config.read, *config.write))
    roots = check_roots((path, path in config.read, path in config.write) for path in wanted)
    return Report([configuration(config), *Walk(config, network, clock).checks(), *roots])
