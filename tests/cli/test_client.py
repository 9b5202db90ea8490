"""The client over a real socket: what each bad answer becomes."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack

import pytest

from fileflux import errors as e
from fileflux.cli import answers
from fileflux.cli import client as module
from fileflux.cli.client import HubClient, check_url
from fileflux.cli.options import ExitCode, exit_code
from tests.cli.stub import DROP, StubHub, problem


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
        (problem(412, "version_conflict"), e.ConflictError, ExitCode.OTHER),
        ((429, b"slow down", {"Content-Type": "text/plain"}), e.OverloadedError, ExitCode.TEMPORARY),
        ((407, b"", {"Content-Type": "text/html"}), e.FluxError, ExitCode.OTHER),
        ((426, b"", {"Content-Type": "text/html"}), e.FluxError, ExitCode.OTHER),
        ((301, {"items": []}, {"Location": "https://elsewhere.example/"}), e.FluxError, ExitCode.OTHER),
        ((200, [1, 2], {}), e.FluxError, ExitCode.OTHER),
        ((200, b"[" * 100_000, {}), e.FluxError, ExitCode.OTHER),
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
    monkeypatch.setattr(answers, "MAX_ANSWER", 1000)
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


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((*problem(429, "too_many_requests", "too many log-ins"), {"Retry-After": "17"}), "too many log-ins; try again in 17 s"),
        ((*problem(503, "unavailable", "the hub is stopping"), {"Retry-After": "5"}), "the hub is stopping; try again in 5 s"),
        ((*problem(503, "unavailable", "no"), {"Retry-After": "Wed, 21 Oct 2099 07:28:00 GMT"}), "no"),
        ((503, b"<html>", {"Content-Type": "text/html", "Retry-After": "9"}), r"does not answer \(status 503\); try again in 9 s"),
        ((200, b"<html>Wi-Fi", {"Content-Type": "text/html"}), r"does not answer like a FileFlux hub \(status 200\); check the address"),
        ((301, b"", {"Content-Type": "text/html", "Location": "https://x.example/"}), r"it redirects to https://x\.example/"),
        ((426, b"", {"Content-Type": "text/html"}), "another protocol"),
    ],
)  # fmt: skip
def test_what_a_refusal_says(answer, words: str) -> None:
    with (
        StubHub({"GET /api/x": answer}) as hub,
        HubClient(hub.url, "t") as client,
        pytest.raises(e.FluxError, match=words),
    ):
        client.get("/api/x")


def test_a_name_that_leads_nowhere() -> None:
    with (
        HubClient("http://no-such-host.invalid:8040") as client,
        pytest.raises(
            e.UnavailableError, match=r"cannot reach the hub at http://no-such-host\.invalid:8040: "
        ) as caught,
    ):
        client.get("/healthz")
    assert exit_code(caught.value) is ExitCode.TEMPORARY


def test_a_black_hole_is_given_up_soon() -> None:
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        client = stack.enter_context(HubClient(f"http://127.0.0.1:{full.getsockname()[1]}"))
        client.hurry(0.3)
        begun = time.monotonic()
        with pytest.raises(e.UnavailableError, match=r"no answer from .* within"):
            client.get("/healthz")
        assert time.monotonic() - begun < 3


def test_a_post_whose_connection_breaks_is_sent_again_with_the_same_key() -> None:
    with StubHub({"POST /api/x": [DROP, (201, {"id": 1})], "GET /api/y": [DROP, (200, {"id": 2})]}) as hub:
        with HubClient(hub.url, "t") as client:
            assert client.post("/api/x", {"a": 1}) == {"id": 1}
            assert client.get("/api/y") == {"id": 2}
            client.post("/api/x", {"a": 1})
        keys = [headers.get("Idempotency-Key") for headers in hub.headers]
        assert keys[0] == keys[1] != keys[4]
        assert keys[2] is keys[3] is None


def test_but_only_once_and_nothing_that_could_happen_twice() -> None:
    routes = dict.fromkeys(("POST /api/x", "PATCH /api/x", "DELETE /api/x", "POST /api/auth/login"), DROP)
    with StubHub(routes) as hub, HubClient(hub.url, "t") as client:
        for call, tries in (
            (lambda: client.post("/api/x"), 2),
            (lambda: client.patch("/api/x", {}), 1),
            (lambda: client.delete("/api/x"), 1),
            (lambda: client.post("/api/auth/login", {}), 1),
        ):
            hub.requests.clear()
            with pytest.raises(e.UnavailableError, match="broke"):
                call()
            assert len(hub.requests) == tries


def test_a_hub_still_busy_with_the_first_try_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IN_PROGRESS_PAUSE_S", 0.01)
    busy = problem(409, "idempotency_in_progress")
    with StubHub({"POST /api/x": [DROP, busy, busy, (201, {"id": 1})]}) as hub, HubClient(hub.url, "t") as client:
        assert client.post("/api/x") == {"id": 1}


def test_versions_go_back_as_they_came() -> None:
    routes = {
        "GET /api/jobs/3": (200, {"id": 3}, {"ETag": '"4"'}),
        "PATCH /api/jobs/3": (200, {"id": 3}),
        "DELETE /api/jobs/3": (204, None),
    }
    with StubHub(routes) as hub, HubClient(hub.url, "t") as client:
        _, version = client.get_version("/api/jobs/3")
        client.patch("/api/jobs/3", {"name": "x"}, version)
        client.delete("/api/jobs/3", version)
        assert [headers.get("If-Match") for headers in hub.headers] == [None, '"4"', '"4"']


def test_a_list_that_is_none_is_said() -> None:
    with (
        StubHub({"GET /api/x": (200, {"hello": 1})}) as hub,
        HubClient(hub.url) as client,
        pytest.raises(e.FluxError, match="no FileFlux hub of this version"),
    ):
        list(client.pages("/api/x"))
