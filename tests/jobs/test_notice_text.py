"""Mails in words, with names that somebody chose to do harm."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fileflux.jobs import notice_text
from fileflux.jobs.notice_text import Notice
from fileflux.jobs.webhook import EVENTS, TEST

pytestmark = pytest.mark.unit

AT = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
RUN = {
    "job": {"id": 1, "name": "nightly", "tags": ["web"]},
    "run": {"id": 42, "status": "partial", "reason": "3 files failed", "files_failed": 3},
    "path": "/#/runs/42",
}


def test_job_and_outcome_stand_in_the_subject() -> None:
    notice = Notice("run.partial", AT, RUN)
    assert notice_text.subject("Site", notice) == "[Site] Run of nightly is done, but some files failed"
    text = notice_text.text(notice, "https://hub.example.com/")
    assert "run files failed     3" in text
    assert "2026-03-01 02:30:00 UTC" in text
    assert text.endswith("\nhttps://hub.example.com/#/runs/42\n")


@pytest.mark.parametrize("event", [*EVENTS, TEST, "something.new"])
def test_every_event_has_a_line_whatever_its_data(event: str) -> None:
    for data in ({}, RUN, {"job": "x", "agent": None, "file": 3, "alert": []}):
        line = notice_text.headline(Notice(event, AT, data))
        assert line
        assert "\n" not in notice_text.subject("Site", Notice(event, AT, data))
        assert notice_text.text(Notice(event, AT, data))


def test_no_name_ends_a_header_or_a_line() -> None:
    name = "x\r\nBcc: all@example.org\r\n\r\nhi\0\x1b[2J\u2028\u202egnp.exe"
    notice = Notice("run.failed", AT, {"job": {"name": name}, "run": {"reason": name * 100}})
    subject = notice_text.subject("Site\r\nX: y", notice)
    assert not any(char in subject for char in "\r\n\0\x1b\u2028\u202e")
    assert len(subject) <= notice_text.SUBJECT_MAX
    assert all(len(line) < 600 and line.isprintable() for line in notice_text.text(notice).splitlines())


def test_many_events_are_one_mail() -> None:
    notices = [
        Notice("file.failed", AT, {"job": {"name": "n"}, "file": {"name": f"f{number}"}}) for number in range(130)
    ]
    assert notice_text.digest_subject("Site", len(notices)) == "[Site] 130 more events"
    lines = notice_text.digest_text(notices).splitlines()
    assert len(lines) == 2 + notice_text.DIGEST_LINES + 1
    assert lines[-1].startswith("… and 30 more")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a@",
        "@b",
        "a b@c.org",
        "a@b.org,c@d.org",
        "A <a@b.org>",
        "a@b.org\r\nX: y",
        "a@-b",
        "a..b@c.org",
        "ä@c.org",
        '"a"@c.org',
    ],
)
def test_what_is_no_address(text: str) -> None:
    assert not notice_text.is_address(text)


def test_what_is_an_address() -> None:
    assert all(map(notice_text.is_address, ("ops@example.org", "a.b+c@mail.example.org", "root@localhost")))
