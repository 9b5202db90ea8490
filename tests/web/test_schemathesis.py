"""The published description, tried out: requests made from it, and against it, on the real app and database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fileflux.protocol.messages import BrowseResult, DoctorResult
from fileflux.storage import alerts, transfers, users
from fileflux.storage.transfers import NewTransfer
from fileflux.web.deps import LiveAgent
from fileflux.web.openapi import api_of
from tests.web.conftest import Api, ScriptedHub

LEFT_OUT = {
    # Streams have no end.
    "/api/events",
    "/api/events/ws",
    # These end the session that everything else is asked with.
    "/api/auth/logout",
    "/api/auth/password",
}
EXAMPLES = 6
"""Requests of each kind for each route; the same ones each time."""
ROWS = 3
"""Of each kind there are this many, with the ids 1 to 3."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


@pytest.fixture
def filled(hub: ScriptedHub, as_role) -> Api:
    """An admin whose own id no small number hits, of a hub in which there is something of everything."""
    hub.browse_answer = BrowseResult("request", "/srv", None, (), None)
    hub.doctor_answer = DoctorResult("request", ())
    hub.listed = []
    with hub.database.transaction() as tx:
        for number in range(ROWS):
            users.create(tx, f"user{number}@example.org", "hash", "viewer")
        tx.execute("ALTER SEQUENCE users_id_seq RESTART WITH 900001")
    api: Api = as_role("admin")
    for number in range(1, ROWS + 1):
        assert api.post("/api/agents", {"name": f"agent {number}"}).json["id"] == number
        hub.live_agents[number] = LiveAgent(
            True, "websocket", "", datetime(2026, 1, 1, tzinfo=UTC), f"session {number}"
        )
    for number in range(1, ROWS + 1):
        body: dict[str, Any] = {
            "source_path": "/a",
            "destination_path": "/b",
            "source_agent_id": 1,
            "destination_agent_id": number,
        }
        for path, content in (
            ("/api/tokens", {"agent_id": number, "name": "t"}),
            ("/api/keys", {"name": "k", "scopes": ["read"]}),
            ("/api/temporary-agents", {}),
            ("/api/jobs", body | {"name": f"job {number}"}),
            (f"/api/jobs/{number}/run", None),
        ):
            answer = api.post(path, content)
            assert answer.status_code in (201, 202), answer.text
        with hub.database.transaction() as tx:
            transfers.insert_many(tx, number, [NewTransfer(b"a.bin", 5, 1, 0o644, 1024)])
            alerts.raise_alert(tx, "refresh_reused", f"user:{number}", "twice")
    return api


def trouble(operation: APIOperation, mode: GenerationMode, token: str) -> list[str]:
    """What is wrong with the answers to requests for this route."""

    @given(case=operation.as_strategy(generation_mode=mode), near=st.integers(0, ROWS))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    def ask(case: Case, near: int) -> None:
        if near and mode is GenerationMode.POSITIVE:
            # A random number is hardly ever the id of something that is there, and no random text is a cursor.
            case.path_parameters = {name: near if isinstance(v, int) else v for name, v in case.path_parameters.items()}
            case.query = {name: value for name, value in (case.query or {}).items() if name != "cursor"}
            if isinstance(case.body, dict):
                case.body = {name: near if name.endswith("agent_id") else value for name, value in case.body.items()}
        unready = operation.path == "/readyz"  # Nothing stands behind this hub.
        case.call_and_validate(
            headers={"Authorization": f"Bearer {token}"},
            checks=CHECKS,
            excluded_checks=[not_a_server_error] if unready else [],
        )

    try:
        ask()
    except (Exception, FailureGroup) as error:
        return [f"{operation.label} ({mode.value}): {error!r} {error}"]
    return []


def test_answers_are_as_described(app: Flask, filled: Api) -> None:
    schema = schemathesis.openapi.from_dict(api_of(app).description())
    schema.app = app
    found: list[str] = []
    operations = [result.ok() for result in schema.get_all_operations()]
    operations = [operation for operation in operations if operation.path not in LEFT_OUT]
    assert len(operations) > 50
    # What takes away comes last.
    for operation in sorted(operations, key=lambda one: ["get", "post", "patch", "delete"].index(one.method)):
        found += trouble(operation, GenerationMode.POSITIVE, filled.token)
        # Pages and files take nothing that could be wrong.
        if operation.path.startswith("/api/") and operation.path != "/api/docs":
            found += trouble(operation, GenerationMode.NEGATIVE, filled.token)
    assert not found, "\n\n".join(found)
