from __future__ import annotations

from tests.web.conftest import Api


def test_a_hub_without_a_ca_of_its_own_says_so(anonymous: Api) -> None:
    answer = anonymous.get("/ca.pem")
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")
    assert "--tls auto" in answer.json["detail"]
