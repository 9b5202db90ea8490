from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator

import pytest
import structlog

from fileflux import log
from fileflux.errors import ConfigError

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(style: str, level: str = "info"):
    stream = io.StringIO()
    log.configure(style=style, level=level, stream=stream)
    return structlog.get_logger("fileflux.test"), stream


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("token ffx_Ab-9_z is", "token ffx_[redacted] is"),
        ("ffk_abc,ffx_def", "ffk_[redacted],ffx_[redacted]"),
        ('{"Authorization": "Bearer a.b-c_d~e+/="}', '{"Authorization": "Bearer [redacted]"}'),
        ("authorization: bearer abc", "authorization: bearer [redacted]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_1 x", "[redacted] x"),
        ("nothing here: ffx and bearers", "nothing here: ffx and bearers"),
    ],
)
def test_redact(text, clean):
    assert log.redact(text) == clean


@pytest.mark.parametrize("style", ["json", "console"])
def test_no_secret_leaves_in_any_way(style):
    logger, stream = lines(style)
    with log.bound(who="ffx_bound1"):
        logger.info("ffx_event1", path=["x", {"deep": "Bearer deep1"}], password="plain1", headers={"Token": "plain2"})
    secret_local = "plain3"
    try:
        raise ValueError(f"ffk_error1 {len(secret_local)}")
    except ValueError:
        logger.exception("failed")
    logging.getLogger("library").warning("said %s", "ffx_library1")
    text = stream.getvalue()
    assert "failed" in text
    assert "ValueError" in text
    assert "said" in text
    for secret in ("bound1", "event1", "deep1", "plain1", "plain2", "plain3", "error1", "library1"):
        assert secret not in text


def test_json_lines_carry_level_time_and_context():
    logger, stream = lines("json")
    log.bind(run_id=7)
    logger.warning("restarting", child="a")
    event = json.loads(stream.getvalue())
    assert (event["event"], event["level"], event["run_id"], event["child"]) == ("restarting", "warning", 7, "a")
    assert event["timestamp"].endswith("Z")


def test_context_belongs_to_one_thread():
    logger, stream = lines("json")
    log.bind(run_id=7)
    thread = threading.Thread(target=lambda: logger.info("elsewhere"))
    thread.start()
    thread.join(5)
    assert "run_id" not in json.loads(stream.getvalue())


def test_lines_for_a_person_have_the_form_of_the_logs(capsys):
    log.say("start: ffx_secret1")
    assert capsys.readouterr().err == "fileflux: start: ffx_[redacted]\n"
    for style in ("console", "json"):
        _, stream = lines(style)
        log.say("cannot start ffx_secret1")
        err = capsys.readouterr().err
        if style == "json":
            assert (json.loads(stream.getvalue())["event"], err) == ("cannot start ffx_[redacted]", "")
        else:
            assert (stream.getvalue(), err) == ("", "fileflux: cannot start ffx_[redacted]\n")


def test_what_was_bound_can_be_taken_back():
    logger, stream = lines("json")
    log.bind(request_id="a", run_id=1)
    log.unbind("request_id")
    logger.info("x")
    assert json.loads(stream.getvalue()).keys() & {"request_id", "run_id"} == {"run_id"}


def test_levels_are_kept():
    logger, stream = lines("json", "warning")
    logger.info("quiet")
    assert stream.getvalue() == ""


def test_control_characters_and_broken_names_stay_on_their_line():
    logger, stream = lines("console")
    logger.info("name\nFAKE", path="a\x1b[31m\udcff\u2028b")
    try:
        raise OSError(2, "gone", "x\x1b[2Jy")
    except OSError:
        logger.exception("failed")
    text = stream.getvalue()
    assert "name\\nFAKE" in text
    assert "a\\x1b[31m\\udcff\\u2028b" in text
    assert "\x1b" not in text
    assert text.encode("utf-8")


@pytest.mark.parametrize("wrong", [{"style": "xml"}, {"level": "loud"}])
def test_wrong_settings(wrong):
    with pytest.raises(ConfigError):
        log.configure(**wrong)
