"""What a job asks of its agents beyond what every agent can do."""

from __future__ import annotations

from fileflux.actors.run_agents import Agents
from fileflux.jobs.models import JobSpec
from fileflux.protocol.messages import Role

FEATURE = "policies"


def lacking(spec: JobSpec, agents: Agents) -> str | None:
    """Why a run of this job cannot begin: an agent that is there is too old for one of its fields."""
    for role, asked in _asked(spec).items():
        port = agents.port(role)
        if asked and port is not None and FEATURE not in port.features:
            return f"agent {port.agent_name} is too old for {asked}: update it"
    return None


def _asked(spec: JobSpec) -> dict[Role, str]:
    source = (
        ("on_success", spec.on_success, spec.on_success != "keep"),
        ("symlinks", spec.symlinks, spec.symlinks != "skip"),
        ("min_age", spec.min_age_s, spec.min_age_s > 0),
    )
    destination = (
        ("symlinks", spec.symlinks, spec.symlinks == "copy"),
        ("keep_versions", spec.keep_versions, spec.keep_versions > 0),
        ("delete_extra", "true", spec.delete_extra),
    )
    return {"source": _first(source), "destination": _first(destination)}


def _first(fields: tuple[tuple[str, object, bool], ...]) -> str:
    return next((f"{name}: {value}" for name, value, wanted in fields if wanted), "")
