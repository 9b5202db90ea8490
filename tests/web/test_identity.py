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
from fileflux.web.identity import LIFETIMES, Claims, Signer

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
    token, expires_at = signer.issue(Claims(7, 3), "access")
    assert expires_at == clock.utc_now() + LIFETIMES["access"]
    clock.advance(LIFETIMES["access"].total_seconds() - 1)
    assert signer.read(token, "access") == Claims(7, 3)
    clock.advance(1)
    with pytest.raises(AuthError) as caught:
        signer.read(token, "access")
    assert caught.value.code == "token_expired"


def test_an_access_token_is_no_refresh_token_and_vice_versa(signer: Signer) -> None:
    access, _ = signer.issue(Claims(1, 1), "access")
    refresh, _ = signer.issue(Claims(1, 1), "refresh")
    for token, kind in ((access, "refresh"), (refresh, "access")):
        with pytest.raises(AuthError):
            signer.read(token, kind)


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "HS512", "RS256", ""])
def test_only_our_algorithm_counts(signer: Signer, algorithm: str) -> None:
    payload = payload_of(signer.issue(Claims(1, 1), "access")[0])
    digest = hashlib.sha512 if algorithm == "HS512" else hashlib.sha256
    signed = forged({"alg": algorithm, "typ": "JWT"}, payload, digest=digest)
    for token in (signed, signed.rpartition(".")[0] + "."):
        with pytest.raises(AuthError):
            signer.read(token, "access")


@pytest.mark.parametrize("name", ["kid", "jku", "x5u", "jwk", "crit", "b64"])
def test_a_header_that_says_more_is_refused_even_with_the_right_signature(signer: Signer, name: str) -> None:
    payload = payload_of(signer.issue(Claims(1, 1), "access")[0])
    assert signer.read(forged({"alg": "HS256", "typ": "JWT"}, payload), "access") == Claims(1, 1)
    with pytest.raises(AuthError):
        signer.read(forged({"alg": "HS256", "typ": "JWT", name: "../../dev/null"}, payload), "access")


@pytest.mark.parametrize(
    "change",
    [
        {"sub": 1},
        {"sub": "1 OR 1=1"},
        {"sub": ""},
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
    payload = payload_of(signer.issue(Claims(1, 1), "access")[0])
    with pytest.raises(AuthError):
        signer.read(forged({"alg": "HS256", "typ": "JWT"}, payload | change), "access")


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "ver", "iat", "exp"])
def test_each_claim_is_required(signer: Signer, claim: str) -> None:
    payload = payload_of(signer.issue(Claims(1, 1), "access")[0])
    del payload[claim]
    with pytest.raises(AuthError):
        signer.read(forged({"alg": "HS256", "typ": "JWT"}, payload), "access")


@pytest.mark.parametrize(
    "token", ["", "a", "a.b", "a.b.c", "..", "ffx_" + "A" * 43, "é.é.é", "A" * 1024 * 1024, "\ud800.a.b"]
)
def test_garbage_is_refused(signer: Signer, token: str) -> None:
    with pytest.raises(AuthError):
        signer.read(token, "access")


def test_another_secret_is_refused(signer: Signer, clock: FakeClock) -> None:
    token, _ = Signer(bytes(range(1, 65)), clock).issue(Claims(1, 1), "access")
    with pytest.raises(AuthError):
        signer.read(token, "access")


@pytest.mark.parametrize("secret", [b"", b"changeme", b"x" * 31, b"x" * 64, b"changeme" * 8])
def test_a_secret_that_can_be_guessed_is_refused(secret: bytes, clock: FakeClock) -> None:
    with pytest.raises(ConfigError):
        Signer(secret, clock)


def test_refresh_tokens_live_longer() -> None:
    assert LIFETIMES["access"] <= timedelta(hours=1) < LIFETIMES["refresh"]
