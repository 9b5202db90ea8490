"""Tokens: what this hub made, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import timedelta

import jwt
import pytest

from fileflux.clock import FakeClock
from fileflux.errors import AuthError, ConfigError
from fileflux.web.identity import ACCESS_LIFETIME, Claims, Signer

pytestmark = pytest.mark.unit

SECRET = bytes(range(64))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def signer(clock: FakeClock) -> Signer:
    return Signer(SECRET, clock)


def forged(header: dict, payload: dict, secret: bytes = SECRET, digest=hashlib.sha256) -> str:
    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    text = f"{part(json.dumps(header).encode())}.{part(json.dumps(payload).encode())}"
    return f"{text}.{part(hmac.new(secret, text.encode(), digest).digest())}"


def payload_of(token: str) -> dict:
    return jwt.decode(token, options={"verify_signature": False})


def test_a_token_reads_back_until_it_expires(signer: Signer, clock: FakeClock) -> None:
    token, expires_at = signer.issue(Claims(7, 5, 3))
    assert expires_at == clock.utc_now() + ACCESS_LIFETIME
    clock.advance(ACCESS_LIFETIME.total_seconds() - 1)
    assert signer.read(token) == Claims(7, 5, 3)
    clock.advance(1)
    with pytest.raises(AuthError) as caught:
        signer.read(token)
    assert caught.value.code == "token_expired"


def test_a_token_for_another_purpose_is_none(signer: Signer) -> None:
    payload = payload_of(signer.issue(Claims(1, 1, 1))[0])
    with pytest.raises(AuthError):
        signer.read(forged({"alg": "HS256", "typ": "JWT"}, payload | {"aud": "refresh"}))


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "HS512", "RS256", ""])
def test_only_our_algorithm_counts(signer: Signer, algorithm: str) -> None:
    payload = payload_of(signer.issue(Claims(1, 1, 1))[0])
    digest = hashlib.sha512 if algorithm == "HS512" else hashlib.sha256
    signed = forged({"alg": algorithm, "typ": "JWT"}, payload, digest=digest)
    for token in (signed, signed.rpartition(".")[0] + "."):
        with pytest.raises(AuthError):
            signer.read(token)


@pytest.mark.parametrize("name", ["kid", "jku", "x5u", "jwk", "crit", "b64"])
def test_a_header_that_says_more_is_refused_even_with_the_right_signature(signer: Signer, name: str) -> None:
    payload = payload_of(signer.issue(Claims(1, 1, 1))[0])
    assert signer.read(forged({"alg": "HS256", "typ": "JWT"}, payload)) == Claims(1, 1, 1)
    with pytest.raises(AuthError):
        signer.read(forged({"alg": "HS256", "typ": "JWT", name: "../../dev/null"}, payload))


@pytest.mark.parametrize(
    "change",
    [
        {"sub": 1},
        {"sub": "1 OR 1=1"},
        {"sub": ""},
        {"sub": "9" * 19},
        {"sid": "1"},
        {"sid": True},
        {"sid": None},
        {"ver": "1"},
        {"ver": True},
        {"exp": None},
        {"exp": "2999"},
        {"exp": 4e9},
        {"iss": "other"},
        {"aud": ["x"]},
    ],
)
def test_wrong_claims_are_refused(signer: Signer, change: dict) -> None:
    payload = payload_of(signer.issue(Claims(1, 1, 1))[0])
    with pytest.raises(AuthError):
        signer.read(forged({"alg": "HS256", "typ": "JWT"}, payload | change))


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "sid", "ver", "iat", "exp"])
def test_each_claim_is_required(signer: Signer, claim: str) -> None:
    payload = payload_of(signer.issue(Claims(1, 1, 1))[0])
    del payload[claim]
    with pytest.raises(AuthError):
        signer.read(forged({"alg": "HS256", "typ": "JWT"}, payload))


@pytest.mark.parametrize(
    "token", ["", "a", "a.b", "a.b.c", "..", "ffx_" + "A" * 43, "é.é.é", "A" * 1024 * 1024, "\ud800.a.b"]
)
def test_garbage_is_refused(signer: Signer, token: str) -> None:
    with pytest.raises(AuthError):
        signer.read(token)


def test_another_secret_is_refused(signer: Signer, clock: FakeClock) -> None:
    token, _ = Signer(bytes(range(1, 65)), clock).issue(Claims(1, 1, 1))
    with pytest.raises(AuthError):
        signer.read(token)


@pytest.mark.parametrize("secret", [b"", b"changeme", b"x" * 31, b"x" * 64, b"changeme" * 8])
def test_a_secret_that_can_be_guessed_is_refused(secret: bytes, clock: FakeClock) -> None:
    with pytest.raises(ConfigError):
        Signer(secret, clock)


def test_access_tokens_are_short(signer: Signer) -> None:
    assert timedelta(minutes=5) <= ACCESS_LIFETIME <= timedelta(hours=1)
    assert len(signer.issue(Claims(2**62, 2**62, 2**31))[0]) < 400
