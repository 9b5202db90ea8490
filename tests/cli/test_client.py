"""The client over a real socket: what each bad answer becomes."""

from __future__ import annotations

import socket

import pytest

from fileflux import errors as e
from fileflux.cli import client as module
from fileflux.cli.client import HubClient, check_url
from fileflux.cli.options import ExitCode, exit_code
from tests.cli.stub import StubHub, problem


@pytest.mark.unit
@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://127.0.0.1:8040", "http://127.0.0.1:8040"),
        ("http://localhost:8040/", "http://localhost:8040"),
        ("http://[::1]:8040", "http://[::1]:8040"),
        ("https://hub.example", "https://hub.example"),
        ("HTTPS://Hub.Example:443", "https://hub.example:443"),
    ],
)
def test_good_addresses(given: str, used: str) -> None:
    assert check_url(given, insecure=False) == used


@pytest.mark.unit
@pytest.mark.parametrize(
    "url",
    ["", "hub.example", "hub.example:8040", "ftp://hub", "http://", "https://a:b@hub", "https://hub/fileflux", "https://hub?x=1", "https://hub:0",
     "https://hub:99999", "https://[::1", "file:///etc/passwd", "https://hub#x"],
)  # fmt: skip
def test_bad_addresses(url: str) -> None:
    with pytest.raises(e.ConfigError):
        check_url(url, insecure=True)


@pytest.mark.unit
def test_plain_http_to_another_machine_needs_a_word() -> None:
    with pytest.raises(e.ConfigError, match="--insecure"):
        check_url("http://hub.example:8040", insecure=False)
    assert check_url("http://hub.example:8040", insecure=True) == "http://hub.example:8040"


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (problem(401, "unauthenticated"), e.AuthError, ExitCode.FORBIDDEN),
        (problem(403, "forbidden"), e.ForbiddenError, ExitCode.FORBIDDEN),
        (problem(404, "not_found"), e.NotFoundError, ExitCode.NOT_FOUND),
        (problem(409, "conflict"), e.ConflictError, ExitCode.OTHER),
        (problem(422, "invalid", errors={"name": ["Too long."]}), e.ConfigError, ExitCode.USAGE),
        (problem(429, "too_many_requests"), e.OverloadedError, ExitCode.TEMPORARY),
        (problem(503, "unavailable"), e.UnavailableError, ExitCode.TEMPORARY),
        ((502, b"<html>nginx</html>", {"Content-Type": "text/html"}), e.UnavailableError, ExitCode.TEMPORARY),
        (problem(500, "internal"), e.FluxError, ExitCode.OTHER),
        ((200, b"<html>Please log in to our Wi-Fi</html>", {"Content-Type": "text/html"}), e.FluxError, ExitCode.OTHER),
        ((200, b"{", {}), e.FluxError, ExitCode.OTHER),
        (
            (302, b"", {"Content-Type": "text/html", "Location": "https://elsewhere.example/"}),
            e.FluxError,
            ExitCode.OTHER,
        ),
    ],
)
def test_bad_answers(answer, kind: type[e.FluxError], code: ExitCode) -> None:
    with StubHub({"GET /api/x": answer}) as hub, HubClient(hub.url, "t") as client:
        with pytest.raises(kind) as caught:
            client.get("/api/x")
        assert exit_code(caught.value) is code
        assert len(hub.requests) == 1


def test_errors_by_field_are_in_the_sentence() -> None:
    answer = problem(422, "invalid", errors={"name": ["Too long."], "a": ["b", "c"]})
    with (
        StubHub({"POST /api/x": answer}) as hub,
        HubClient(hub.url) as client,
        pytest.raises(e.ConfigError, match=r"name: Too long\.; a: b c"),
    ):
        client.post("/api/x", {})


def test_an_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ANSWER", 1000)
    with (
        StubHub({"GET /api/x": (200, ["a" * 2000])}) as hub,
        HubClient(hub.url) as client,
        pytest.raises(e.FluxError, match="too large"),
    ):
        client.get("/api/x")


def test_a_hub_that_is_not_there_and_one_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        silent = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setattr(module, "READ_TIMEOUT_S", 0.2)
        with HubClient(silent) as client, pytest.raises(e.UnavailableError, match="does not answer"):
            client.get("/healthz")
    with HubClient(silent) as client, pytest.raises(e.UnavailableError, match="Connection refused"):
        client.get("/healthz")


def test_the_token_goes_with_each_request_and_netrc_does_not(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login evil password evil\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with StubHub({"GET /api/x": (200, {})}) as hub, HubClient(hub.url, "my-token") as client:
        client.get("/api/x")
        assert hub.requests[0][2] == "my-token"
        client.token = ""
        client.get("/api/x")
        assert hub.requests[1][2] == ""


def test_pages_follow_the_cursor_up_to_the_limit() -> None:
    def listing(query: str, _token: str, _body: object) -> tuple[int, dict]:
        start = 2 if "cursor=c2" in query else 0
        return 200, {"items": [{"id": start}, {"id": start + 1}], "next_cursor": "c2" if start == 0 else None}

    with StubHub({"GET /api/runs": listing}) as hub, HubClient(hub.url) as client:
        assert [item["id"] for item in client.pages("/api/runs")] == [0, 1, 2, 3]
        hub.requests.clear()
        assert len(list(client.pages("/api/runs", 2, status=None))) == 2
        assert [request[1] for request in hub.requests] == ["limit=2"]


def test_an_expired_token_is_refreshed_once() -> None:
    def guarded(_query: str, token: str, _body: object) -> tuple:
        return (200, {"ok": True}) if token == "new" else problem(401, "token_expired")

    def refresh(client: HubClient) -> bool:
        client.token = next(tokens)
        return True

    with StubHub({"GET /api/x": guarded}) as hub:
        tokens = iter(["new"])
        with HubClient(hub.url, "old", refresh) as client:
            assert client.get("/api/x") == {"ok": True}
        tokens = iter(["still old"])
        with HubClient(hub.url, "old", refresh) as client, pytest.raises(e.AuthError):
            client.get("/api/x")
        assert len(hub.requests) == 4
