"""An agent whose listing, introduction and complaints are hostile: names stay names, text stays text, and answers to no question are dropped."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.integration.conftest import Site
from tests.integration.harness import wait_for
from tests.integration.hostile import CHUNK, SourcePeer, audited
from tests.integration.peer import Peer

HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202egpj.exe <script>alert(1)</script>\r\nSet-Cookie: x {{7*7}}"

NAMES_REFUSED = (
    "../x", "a/../../x", "a/..", "..", ".", "", "/", "//x", "a//b", "./a", "a/./b", "a/",
    "..\\x", "a\\..\\..\\x", "a/..\\../x", "\\\\srv\\share\\x", "\\\\?\\C:\\x", "\\??\\C:\\x", "C:x", "C:/x", "c:\\x",
    "/etc/passwd", "n" * 256,
)  # fmt: skip
NAMES_LITERAL = (
    "~",
    "~root",
    "$HOME",
    "%USERPROFILE%",
    "-rf",
    "*",
    ";id",
    "`id`",
    "$(id)",
    "a\nb",
    "\x1b[2J",
    "=cmd|x",
)


@pytest.fixture(scope="module")
def attacker(site: Site) -> tuple[int, str]:
    agent_id, path = site.hub.enrol("bad-words", site.folder)
    return agent_id, path.read_text()


def test_names_of_a_listing_never_leave_the_target(site: Site, attacker: tuple[int, str]) -> None:
    target = site.destination.write / "names"
    target.mkdir()
    before = sorted(os.listdir(site.destination.write))
    names = (*NAMES_REFUSED, *NAMES_LITERAL)
    entries = [{"path": name, "kind": "file", "size": 1, "mode": 0o644} for name in names]
    folders = [{"path": name, "kind": "directory", "mode": 0o755} for name in NAMES_REFUSED]
    with SourcePeer(site.hub, attacker[1], b"x") as peer:
        job_id = site.hub.job(
            attacker[0], Path("/data"), site.destination.id, target, chunk_size=CHUNK, hub_check="off", parallel=1
        )
        run_id = peer.start(job_id, lambda: peer.listing([*entries, *folders], "directory"))
        asked: list[str] = []
        opened: set[int] = set()
        while len(opened) < len(NAMES_LITERAL) and (message := peer.next()) is not None:
            for item in message["payload"].get("items", ()):
                peer.wire = item["transfer_id"]
                if message["type"] == "transfer_request":
                    asked.append(item["name"])
                    peer.items("transfer_accept", {"role": "source", "size": 1, "mode": 0o644})
                elif message["type"] == "transfer_resume":
                    opened.add(peer.wire)
                    peer.binary(peer.frame(0))
                    peer.complete()
        run = site.hub.wait_ended(run_id)
    assert sorted(asked) == sorted(NAMES_LITERAL), "nothing was asked for under a name that is refused"
    assert run["status"] == "partial"
    assert f"{len(NAMES_REFUSED) * 2} paths could not be listed" in run["reason"]
    assert sorted(os.listdir(target)) == sorted(NAMES_LITERAL)
    assert sorted(os.listdir(site.destination.write)) == before


def test_answers_to_no_question_are_dropped(site: Site, attacker: tuple[int, str]) -> None:
    target = site.destination.write / "once"
    page = {"page": 0, "last": True, "base": "/data", "path_type": "file"}
    late = [{"path": "late.bin", "kind": "file", "size": 1}]
    with SourcePeer(site.hub, attacker[1], b"good") as peer:
        for number in (1, 2, 10**6, 2**32 - 1):
            peer.say("list_result", {**page, "request_id": number, "entries": late})
        run_id = peer.offer(attacker[0], site.destination, f"{target}/")
        peer.opened()
        (request,) = [m["payload"]["request_id"] for m in peer.received if m["type"] == "list_request"]
        # The same answer again, another page of it, and an answer of another kind under its number.
        peer.say("list_result", {**page, "request_id": request, "entries": late})
        peer.say("list_result", {**page, "request_id": request, "page": 1, "entries": late})
        peer.say("dir_applied", {"request_id": request})
        peer.settled()
        assert peer.errors == []
        assert peer.finish() == "released"
    run = site.hub.wait_ended(run_id)
    assert (run["status"], run["files_total"]) == ("succeeded", 1)
    assert [path.name for path in target.iterdir()] == ["evil.bin"]


def test_a_page_has_at_most_a_thousand_entries_and_a_file_one(site: Site, attacker: tuple[int, str]) -> None:
    entries = [{"path": f"f{number}", "kind": "file"} for number in range(1001)]
    with SourcePeer(site.hub, attacker[1], b"x") as peer:
        job_id = site.hub.job(attacker[0], Path("/data"), site.destination.id, f"{site.destination.write}/many/")

        def answer() -> None:
            request = peer.listing(entries, "directory")
            peer.settled(1)
            assert peer.errors == ["bad_message"]
            page = {"request_id": request, "page": 0, "last": True, "base": "/data", "path_type": "file"}
            peer.say("list_result", {**page, "entries": entries[:2]})

        run = site.hub.wait_ended(peer.start(job_id, answer))
    assert run["status"] == "failed"
    assert "cannot be believed" in run["reason"]
    assert not (site.destination.write / "many").exists()


def test_an_agent_is_who_its_token_says(site: Site, attacker: tuple[int, str]) -> None:
    payload = {"protocol": [1], "agent": "source", "agent_id": site.source.id, "session_id": "0" * 32, "last_seq": 7}
    hello = {"type": "hello", "seq": 0, "ack": 0, "payload": payload}
    with Peer(site.hub, attacker[1], greet=False) as peer:
        peer.text(hello)
        welcome = peer.until("welcome")["payload"]
        assert (welcome["agent_name"], welcome["last_seq"]) == ("bad-words", 0)
        assert welcome["session_id"] != payload["session_id"]
        peer.text(hello)
        assert peer.refusal() == "closed 1008", "one hello for a link"
    for versions in ([], [0, 999], ["x"], [2**53]):
        with Peer(site.hub, attacker[1], greet=False) as peer:
            peer.text({**hello, "payload": {**payload, "protocol": versions}})
            while peer.next() is not None:
                pass
            assert peer.closed == 1008
    assert site.hub.client.get(f"/api/agents/{site.source.id}")["status"] == "online"


def test_what_it_says_of_itself_is_text(site: Site, attacker: tuple[int, str]) -> None:
    info = dict.fromkeys(("hostname", "os", "arch", "version"), HOSTILE)
    with SourcePeer(site.hub, attacker[1], b"x") as peer:
        peer.say("agent_info", info)
        peer.say("error", {"code": "x", "message": f"{HOSTILE} Bearer ffx_{'a' * 43}"})
        peer.say("error", {"code": "x", "message": "t" * 4097})
        peer.settled(0)
        peer.text(json.dumps({"type": "error", "seq": 9, "ack": 0, "payload": {"code": "x", "message": "t" * 2**21}}))
        assert peer.refusal() in {"too_large", "closed 1009", "closed 1008"}
    wait_for("the refusal", lambda: "bad_message" in audited(site.hub, "agent:bad-words"), 5)
    log = site.hub.running.log.read_bytes()
    assert b"\x1b[2J" not in log
    assert b"\r\nSet-Cookie" not in log
    assert b"ffx_aaaa" not in log
    shown = site.hub.client.get(f"/api/agents/{attacker[0]}")
    assert shown["name"] == "bad-words"
