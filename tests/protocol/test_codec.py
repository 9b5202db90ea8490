"""Control messages: golden texts, round trips, and every way to be wrong."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileflux.errors import LocalProtocolError, RemoteProtocolError
from fileflux.protocol import messages as m
from fileflux.protocol.codec import Envelope, decode, decode_envelope, encode, encode_payload, utf8_size, wrap
from fileflux.protocol.limits import DEFAULT_LIMITS
from tests.protocol.strategies import ALL, JSON, messages

pytestmark = pytest.mark.unit

GOLDEN = json.loads((Path(__file__).parent / "golden" / "control.json").read_text())
BY_TYPE = {kind.TYPE: kind for kind in ALL}


def read(text: str, allowed: tuple[type[m.Message], ...] = ALL) -> Envelope:
    return decode(text, allowed, DEFAULT_LIMITS)


def refused(text: str, allowed: tuple[type[m.Message], ...] = ALL) -> RemoteProtocolError:
    with pytest.raises(RemoteProtocolError) as caught:
        read(text, allowed)
    str(caught.value).encode()
    return caught.value


def text_of(type_name: Any = "connection_test", payload: Any = None, **outer: Any) -> str:
    payload = {"token": "t"} if payload is None else payload
    return json.dumps({"type": type_name, "seq": 1, "ack": 0, "payload": payload, **outer})


# Golden texts


@pytest.mark.parametrize("type_name", sorted(GOLDEN))
def test_golden_texts(type_name: str) -> None:
    vector = GOLDEN[type_name]
    text = json.dumps(vector, ensure_ascii=False, separators=(",", ":"))
    envelope = read(text)
    assert isinstance(envelope.message, BY_TYPE[type_name])
    assert encode(envelope.message, vector["seq"], vector["ack"]) == text


def test_every_message_has_a_golden_text() -> None:
    assert set(GOLDEN) == set(BY_TYPE)


@pytest.mark.parametrize("type_name", ["transfer_complete", "transfer_error", "list_request"])
def test_fields_that_may_be_left_out(type_name: str) -> None:
    vector = json.loads(json.dumps(GOLDEN[type_name]))
    payload = vector["payload"]
    item, name = (payload["items"][0], "role") if "items" in payload else (payload, "destination")
    del item[name]
    message = read(json.dumps(vector)).message
    assert getattr(message.items[0] if "items" in payload else message, name) is None  # type: ignore[attr-defined]


# Round trips


@given(messages(), st.integers(0, 2**53 - 1), st.integers(0, 2**53 - 1))
def test_messages_come_back(message: m.Message, seq: int, ack: int) -> None:
    text = encode(message, seq, ack)
    assert read(text) == Envelope(seq, ack, message, message.TYPE)
    assert json.loads(text)["type"] == message.TYPE
    assert wrap(message.TYPE, seq, ack, encode_payload(message)) == text


@pytest.mark.parametrize("path", ["a/é/\U0001f600", "", "\udcff\udcfe", "a\udce9b", "-rf", "\n\x1b[2J\u202e", '"><img'])
def test_paths_keep_their_bytes(path: str) -> None:
    message = m.TransferRequest((replace(request_item(), path=path),))
    text = encode(message, 1, 0)
    text.encode()
    assert read(text).message == message


def request_item() -> m.TransferRequestItem:
    return m.TransferRequestItem(1, "source", 1, 1, 1, 1, "/p", "n", 1 << 23)


def test_texts_are_cleaned_and_cut_on_the_way_out() -> None:
    message = m.ErrorMessage("c" * 300, "\0bad \udcff name" + "x" * 5000)
    decoded = read(encode(message, 1, 0)).message
    assert isinstance(decoded, m.ErrorMessage)
    assert decoded.code == "c" * 255
    assert decoded.message.startswith("\ufffdbad \ufffd name")
    assert len(decoded.message) == 4096


# Envelope


@pytest.mark.parametrize("text", ["", "not json", "null", "[]", '"x"', "1", "{", "{}", "\ufeff{}", "{}{}", "true", "-"])
def test_no_message_at_all(text: str) -> None:
    assert refused(text).code == "bad_message"


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "-0.0", "-0e5", "9" * 5000, "[" * 100_000]
)
def test_numbers_and_nesting_that_json_should_not_have(number: str) -> None:
    for text in (
        f'{{"type":"ack","seq":0,"ack":0,"payload":{{"unknown":{number}}}}}',
        f'{{"type":"ack","seq":{number},"ack":0,"payload":{{}}}}',
    ):
        assert refused(text).code == "bad_message"


@pytest.mark.parametrize(
    "text", ['{"type":"ack","type":"ack"}', '{"type":"ack","seq":0,"ack":0,"payload":{"a":{"b":1,"b":1}}}']
)
def test_keys_appear_once(text: str) -> None:
    assert "twice" in str(refused(text))


@pytest.mark.parametrize("name", [None, 1, [], {}, "", "x" * 65, "x" * 10240, "a\nb", "é", "\ud800", True])
def test_type_is_a_name(name: Any) -> None:
    assert refused(text_of(name)).field == "type"


@pytest.mark.parametrize("field", ["seq", "ack"])
@pytest.mark.parametrize("value", [None, "1", 1.0, -1, 2**53, 10**30, True, []])
def test_seq_and_ack_are_counts(field: str, value: Any) -> None:
    assert refused(text_of(**{field: value})).field == field


def test_unknown_types_and_fields_are_ignored() -> None:
    assert read(text_of("from_the_future")) == Envelope(1, 0, None, "from_the_future")
    payload = {"token": "t", "__proto__": {"x": 1}, "__class__": "X", "role": "admin", "agent_id": 7}
    assert read(text_of(payload=payload, extra=[1])).message == m.ConnectionTest("t")


def test_the_other_sides_messages_are_refused() -> None:
    for allowed, other in ((m.FROM_AGENT, m.FROM_HUB), (m.FROM_HUB, m.FROM_AGENT)):
        for kind in set(other) - set(allowed):
            error = refused(text_of(kind.TYPE), allowed)
            assert (error.code, error.close) == ("wrong_direction", False)


def test_size_is_checked_before_anything_is_parsed() -> None:
    limits = replace(DEFAULT_LIMITS, max_text_bytes=100)
    for text in ("x" * 101, "é" * 51, "[" * 10_000_000):
        with pytest.raises(RemoteProtocolError) as caught:
            decode_envelope(text, limits)
        assert (caught.value.code, caught.value.close) == ("too_large", True)
    assert utf8_size("é\ud800") == 5


# Payload fields


def inner_kind(hint: Any) -> type[Any] | None:
    """The item class of a field that holds objects."""
    for part in (hint, *get_args(hint)):
        if is_dataclass(part) and isinstance(part, type):
            return part
    return None


def wrong_values(hint: Any) -> list[Any]:
    """Values that a field of this type never takes."""
    wrong: list[Any] = [[[[]]], "\ud800", "a\0b", 2**63, -(2**63) - 1, 10**40]
    if bool not in (hint, *get_args(hint)):
        wrong.append(True)
    if type(None) not in get_args(hint):
        wrong.append(None)
    return wrong


def objects_in(data: Any, kind: type[Any], path: str) -> list[tuple[str, Any, type[Any]]]:
    """The payload and the first object of each field that holds some: where, the object, its class."""
    found = [(path, data, kind)]
    for name, hint in get_type_hints(kind).items():
        inner, value = inner_kind(hint), data.get(name)
        if inner is None or not value:
            continue
        if isinstance(value, list):
            found += objects_in(value[0], inner, f"{path}.{name}[0]".lstrip("."))
        else:
            found += objects_in(value, inner, f"{path}.{name}".lstrip("."))
    return found


@pytest.mark.parametrize("type_name", sorted(GOLDEN))
def test_each_field_missing_or_wrong_is_named(type_name: str) -> None:
    for path, holder, kind in objects_in(GOLDEN[type_name]["payload"], BY_TYPE[type_name], ""):
        hints = get_type_hints(kind)
        for field in fields(kind):
            name = f"{path}.{field.name}" if path else field.name
            if field.default is MISSING:
                assert refused(text_with(type_name, holder, field.name, MISSING)).field == name
            for wrong in wrong_values(hints[field.name]):
                error = refused(text_with(type_name, holder, field.name, wrong))
                assert error.code == "bad_message"
                assert (error.field or "").startswith(name)


def text_with(type_name: str, holder: Any, name: str, value: Any) -> str:
    """The golden text of a type, with one field of one object in it changed for the moment."""
    had = holder.get(name, MISSING)
    if value is MISSING:
        holder.pop(name, None)
    else:
        holder[name] = value
    try:
        return json.dumps(GOLDEN[type_name])
    finally:
        holder.pop(name, None)
        if had is not MISSING:
            holder[name] = had


@pytest.mark.parametrize(
    ("type_name", "payload", "field"),
    [
        ("ack", None, "payload"),
        ("ack", [], "payload"),
        ("error", {"code": "x" * 256, "message": ""}, "code"),
        ("error", {"code": "x", "message": "x" * 4097}, "message"),
        ("heartbeat", {"uptime_s": -1}, "uptime_s"),
        ("heartbeat", {"uptime_s": 1e10}, "uptime_s"),
        ("heartbeat", {"uptime_s": True}, "uptime_s"),
        ("heartbeat", {"uptime_s": 1, "active_transfers": 1.0}, "active_transfers"),
        ("chunk_nack", {"items": [{"transfer_id": 0, "index": 0, "reason": ""}]}, "items[0].transfer_id"),
        ("chunk_nack", {"items": [{"transfer_id": 2**32, "index": 0, "reason": ""}]}, "items[0].transfer_id"),
        ("chunk_nack", {"items": [{"transfer_id": 1, "index": -1, "reason": ""}]}, "items[0].index"),
        ("chunk_nack", {"items": {}}, "items"),
        ("chunk_nack", {"items": [{}] * 1001}, "items"),
        ("chunk_nack", {"items": [{"transfer_id": 1, "index": 0, "reason": ""}, 5]}, "items[1]"),
        *[
            ("chunk_ack", {"items": [{"transfer_id": 1, "chunks": chunks}]}, field)
            for chunks, field in [
                ([[0, 1], [2, 3]], "items[0].chunks[1]"),
                ([[5, 6], [0, 1]], "items[0].chunks[1]"),
                ([[1, 0]], "items[0].chunks[0]"),
                ([[-1, 0]], "items[0].chunks[0]"),
                ([[0, 2**32]], "items[0].chunks[0]"),
                ([[0]], "items[0].chunks[0]"),
                ([[0, 1, 2]], "items[0].chunks[0]"),
                ([[0, True]], "items[0].chunks[0]"),
                ([[0.0, 1]], "items[0].chunks[0]"),
                ([0], "items[0].chunks[0]"),
                ({}, "items[0].chunks"),
                ([[2 * n, 2 * n] for n in range(10_001)], "items[0].chunks"),
            ]
        ],
        *[
            ("list_request", {"request_id": 1, "path": path}, field)
            for path, field in [
                ("x" * 4097, "path"),
                ("é" * 2049, "path"),
                ("a\0", "path"),
                ("\udcff", "path"),
                ({}, "path"),
                ({"b64": 1}, "path"),
                ({"b64": "%%"}, "path.b64"),
                ({"b64": "YQ=="}, "path.b64"),
                ({"b64": "é"}, "path.b64"),
                ({"b64": "/wA="}, "path"),
                ({"b64": "/" * 6000}, "path"),
            ]
        ],
        *[
            ("discard_part", {"items": [{"directory": "/d", "part": part}]}, "items[0].part")
            for part in ("", "0" * 31, "0" * 33, "A" * 32, "0" * 31 + "\n", "../" + "0" * 29, 0)
        ],
        ("transfer_commit", {"items": [{"transfer_id": 1, "size": 1, "chunk_digest": "0" * 63}]}, "items[0].chunk_digest"),
        ("list_request", {"request_id": 1, "path": "/", "rules": {"recursive": 1}}, "rules.recursive"),
        ("list_request", {"request_id": 1, "path": "/", "rules": {"include": ["x"] * 1001}}, "rules.include"),
        ("list_request", {"request_id": 1, "path": "/", "rules": {"include": ["x", 1]}}, "rules.include[1]"),
        ("hello", {"protocol": ["x"], "agent": "a"}, "protocol[0]"),
        ("hello", {"protocol": [1], "agent": "x" * (1 << 20 - 1)}, "agent"),
    ],
)  # fmt: skip
def test_bad_fields(type_name: str, payload: Any, field: str) -> None:
    text = json.dumps({"type": type_name, "seq": 0, "ack": 0, "payload": payload})
    assert refused(text).field == field


def test_unknown_choices_are_refused() -> None:
    text = encode(m.TransferRequest((request_item(),)), 1, 0)
    for wrong in ('"sourceress"', "1", "null", "[]"):
        assert refused(text.replace('"source"', wrong)).field == "items[0].role"


# Out


@pytest.mark.parametrize(
    "message",
    [
        m.ListCancel(0),
        m.ListCancel(True),
        m.ListCancel("1"),  # type: ignore[arg-type]  # that is the test
        m.Heartbeat(float("nan")),
        m.Heartbeat(float("inf")),
        m.ListRequest(1, "x" * 4097),
        m.ListRequest(1, "a\0b"),
        m.ListRequest(1, "\ud800"),
        m.ChunkAck((m.ChunksItem(1, ((3, 4), (1, 2))),)),
        m.ChunkAck((m.ChunksItem(1, ((0, 0),)),) * 1001),
        m.DiscardPart((m.DiscardPartItem("/d", "../x"),)),
        m.Window((None,)),  # type: ignore[arg-type]  # that is the test
    ],
)
def test_what_the_peer_would_refuse_is_not_sent(message: m.Message) -> None:
    with pytest.raises(LocalProtocolError, match=f"cannot send {message.TYPE}"):
        encode(message, 1, 0)


# Anything


@given(JSON)
def test_any_json_is_a_message_or_a_refusal(value: Any) -> None:
    codes = set()
    for text in (json.dumps(value), text_of(payload=value), text_of("chunk_ack", {"items": value})):
        try:
            read(text)
        except RemoteProtocolError as error:
            codes.add(error.code)
    assert codes <= {"bad_message", "wrong_direction"}


@given(st.text(max_size=200))
def test_any_text_is_refused(text: str) -> None:
    refused(text)


@given(messages(), st.data())
def test_a_changed_character_never_crashes(message: m.Message, data: st.DataObject) -> None:
    text = encode(message, 1, 0)
    at = data.draw(st.integers(0, len(text) - 1))
    changed = text[:at] + data.draw(st.characters()) + text[at + 1 :]
    try:
        read(changed)
    except RemoteProtocolError as error:
        str(error).encode("utf-8", "surrogatepass")
