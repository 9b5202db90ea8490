"""Users' access tokens: short JWTs (HS256) that name a user, a session and the version of the user's sessions.

The role is not in the token: it is read from the database with each request, so that a change of role, a disabled user and the end of a
session take effect at once. Time is the hub's clock, not the library's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt

from fileflux.clock import Clock
from fileflux.errors import AuthError, ConfigError

ACCESS_LIFETIME: Final = timedelta(minutes=15)
"""Short: it lies in scripts' memory and in logs of careless proxies."""
MAX_TOKEN_CHARS: Final = 2048
"""Ours have about 250; anything longer is not worth the parsing."""
_ALGORITHM: Final = "HS256"
_ISSUER: Final = "fileflux"
_AUDIENCE: Final = "access"
"""A token that this hub may make for another purpose one day is none of these."""
_SECRET_BYTES: Final = 32
_ID_DIGITS: Final = 19
"""What a bigint surely holds has fewer."""
_HEADER: Final = frozenset({"alg", "typ"})
"""A header that names keys (kid, jku, x5u, jwk) is an attack: we never write one."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid token says; whether the session still lives is the database's word."""

    user_id: int
    session_id: int
    session_version: int


class Signer:
    """Makes and reads tokens. Raises ConfigError for a secret that could be guessed."""

    def __init__(self, secret: bytes, clock: Clock) -> None:
        if len(secret) < _SECRET_BYTES or len(set(secret)) < _SECRET_BYTES // 4:
            raise ConfigError("the hub's signing secret must be at least 32 random bytes")
        self._secret = secret
        self._clock = clock

    def issue(self, claims: Claims) -> tuple[str, datetime]:
        """A new token and when it ends."""
        now = self._clock.utc_now()
        expires_at = (now + ACCESS_LIFETIME).replace(microsecond=0)
        payload = {
            "iss": _ISSUER,
            "aud": _AUDIENCE,
            "sub": str(claims.user_id),
            "sid": claims.session_id,
            "ver": claims.session_version,
            "iat": int(now.timestamp()),
            "exp": int(expires_at.timestamp()),
        }
        return jwt.encode(payload, self._secret, algorithm=_ALGORITHM), expires_at.astimezone(UTC)

    def read(self, token: str) -> Claims:
        """Raises AuthError unless this hub made ``token`` and its time has not run out."""
        payload = self._payload(token)
        user, session, version, expires = payload["sub"], payload["sid"], payload["ver"], payload["exp"]
        numbers = isinstance(user, str) and user.isascii() and user.isdigit() and len(user) < _ID_DIGITS
        if not (numbers and type(session) is int and type(version) is int):
            raise AuthError("this token is not valid; log in again")
        if type(expires) is not int or expires <= self._clock.utc_now().timestamp():
            raise AuthError("this token has expired; log in again", code="token_expired")
        return Claims(int(user), session, version)

    def _payload(self, token: str) -> dict[str, Any]:
        if len(token) > MAX_TOKEN_CHARS:
            raise AuthError("this token is not valid; log in again")
        try:
            if not jwt.get_unverified_header(token).keys() <= _HEADER:
                raise AuthError("this token is not valid; log in again")
            payload: dict[str, Any] = jwt.decode(
                token,
                self._secret,
                algorithms=[_ALGORITHM],
                audience=_AUDIENCE,
                issuer=_ISSUER,
                options={
                    "require": ["iss", "aud", "sub", "sid", "ver", "iat", "exp"],
                    "verify_exp": False,
                    "verify_iat": False,
                },
            )
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise AuthError("this token is not valid; log in again") from None
        return payload
