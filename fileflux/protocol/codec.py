"""Control messages to JSON and back. Strict on the way in: nothing of a peer reaches a message unchecked.

``decode`` does it all; a session uses its two halves, ``decode_envelope`` and ``decode_payload``, because it must know a message's number
before it can say what is wrong with it. How a field is read and written is compiled once per class in ``shapes.py``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from fileflux.errors import LocalProtocolError, RemoteProtocolError
from fileflux.protocol.limits import Limits
from fileflux.protocol.messages import FROM_AGENT, FROM_HUB, Message
from fileflux.protocol.shapes import Invalid, shape_of

TYPE_MAX: Final = 64
_SEQ_MAX: Final = 2**53 - 1
_KNOWN: Final = {message.TYPE: message for message in (*FROM_AGENT, *FROM_HUB)}
_dump: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class RawEnvelope:
    """A message whose payload is not looked at yet."""

    type: str
    seq: int
    ack: int
    payload: Any


@dataclass(frozen=True, slots=True)
class Envelope:
    """``message`` is None for a type that is not known here: ignore it, count it, acknowledge it."""

    seq: int
    ack: int
    message: Message | None
    type: str


def encode(message: Message, seq: int, ack: int) -> str:
    """One text message. Raises LocalProtocolError for values that the peer would refuse.

    Texts are cut to their bound; NUL and lone surrogates in them become U+FFFD, since they often quote file names and system messages.
    """
    return wrap(message.TYPE, seq, ack, encode_payload(message))


def encode_payload(message: Message) -> str:
    """The payload alone, for ``wrap``: it is kept so until it is acknowledged, while ``ack`` is that of the moment of sending."""
    try:
        return _dump(shape_of(type(message)).encode(message))
    except (Invalid, ValueError, TypeError, AttributeError) as error:
        where = f" {error.field}" if isinstance(error, Invalid) else ""
        raise LocalProtocolError(f"cannot send {message.TYPE}:{where} {error}") from error


def wrap(type_name: str, seq: int, ack: int, payload: str) -> str:
    """The envelope around an encoded payload. ``type_name`` is a message's TYPE and needs no escaping."""
    return f'{{"type":"{type_name}","seq":{seq},"ack":{ack},"payload":{payload}}}'


def utf8_size(text: str) -> int:
    """Bytes of a text on the wire."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def decode(text: str, allowed: tuple[type[Message], ...], limits: Limits) -> Envelope:
    """Read one text message of a peer that may send ``allowed``.

    Raises RemoteProtocolError; its ``field`` says where, as in ``items[3].size``, and its code is bad_message, too_large (closes), or
    wrong_direction for a message that only the other side may send.
    """
    raw = decode_envelope(text, limits)
    return Envelope(raw.seq, raw.ack, decode_payload(raw, allowed), raw.type)


def decode_envelope(text: str, limits: Limits) -> RawEnvelope:
    """The outer part. Raises RemoteProtocolError. After this, call ``decode_payload``."""
    if utf8_size(text) > limits.max_text_bytes:
        raise RemoteProtocolError(f"control message above {limits.max_text_bytes} bytes", code="too_large", close=True)
    data = _parse(text)
    if type(data) is not dict:
        raise RemoteProtocolError("a control message is a JSON object")
    name = data.get("type")
    if type(name) is not str or not name.isascii() or not name.isprintable() or not 0 < len(name) <= TYPE_MAX:
        raise RemoteProtocolError(f"type must be a name of at most {TYPE_MAX} characters", field="type")
    return RawEnvelope(name, _number(data, "seq"), _number(data, "ack"), data.get("payload"))


def decode_payload(raw: RawEnvelope, allowed: tuple[type[Message], ...]) -> Message | None:
    """The message, or None for an unknown type. Raises RemoteProtocolError(bad_message or wrong_direction)."""
    kind = _by_type(allowed).get(raw.type)
    if kind is None:
        if raw.type in _KNOWN:
            raise RemoteProtocolError(f"{raw.type} is not yours to send here", code="wrong_direction", field="type")
        return None
    try:
        made: Message = shape_of(kind).decode(raw.payload)
    except Invalid as error:
        raise RemoteProtocolError(f"{raw.type}: {error.field} {error}", field=error.field) from None
    return made


@cache
def _by_type(allowed: tuple[type[Message], ...]) -> dict[str, type[Message]]:
    return {message.TYPE: message for message in allowed}


def _number(data: dict[str, Any], name: str) -> int:
    value = data.get(name)
    if type(value) is not int or not 0 <= value <= _SEQ_MAX:
        raise RemoteProtocolError(f"{name} must be an integer from 0 to 2**53 - 1", field=name)
    return value


def _parse(text: str) -> Any:
    try:
        return _decoder.decode(text)
    except RecursionError:
        raise RemoteProtocolError("JSON is nested too deeply") from None
    except ValueError as error:
        # Includes integers of more digits than Python converts.
        raise RemoteProtocolError(f"bad JSON: {error}"[:200]) from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")) or (value == 0 and digits.startswith("-")):
        raise ValueError("a number that is not finite, or a negative zero")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key appears twice in an object")
    return made


_decoder: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unique)
