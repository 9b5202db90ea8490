from __future__ import annotations

from tests.web.conftest import Api


def test_health_says_only_that_it_lives(anonymous: Api) -> None:
    answer = anonymous.get("/healthz")
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})


def test_the_page_loads_nothing(anonymous: Api) -> None:
    answer = anonymous.get("/")
    assert answer.status_code == 200
    assert answer.content_type == "text/html; charset=utf-8"
    assert "/api/openapi.json" in answer.text
    assert "/install.sh" in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "<script" not in answer.text
