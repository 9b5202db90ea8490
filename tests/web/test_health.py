from __future__ import annotations

from tests.web.conftest import Api


def test_health_says_only_that_it_lives(anonymous: Api) -> None:
    answer = anonymous.get("/healthz")
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})
