"""Which passwords may be set. Length counts; classes of characters do not, which only make people write them down."""

from __future__ import annotations

from typing import Final

MIN_BYTES: Final = 8
"""With ten guesses in five minutes for an account, what is longer than that and not on a list is not found over the network."""
MAX_BYTES: Final = 1024
"""argon2 hashes any length; longer ones only cost time."""

_LISTED: Final = """
00000000 11111111 12345678 123456789 1234567890 87654321 admin admin@localhost admin123 admin1234 adminadmin administrator change-me change_me changeit
changeme changeme1 changeme123 default fileflux fileflux1 fileflux123 iloveyou letmein letmein1 p@ssw0rd passw0rd password password1
password12 password123 password1234 qwerty123 qwertyui qwertyuiop root rootroot secret secret123 test1234 testtest toor welcome welcome1
welcome123
"""
_WELL_KNOWN: Final = frozenset(_LISTED.split())
"""What manuals and images come with, and what every guesser tries first. No dictionary: the throttle is for the rest."""


def fault_of(password: str, email: str) -> str | None:
    """Why ``password`` cannot be the one of ``email``, as a sentence; None when it can."""
    if not MIN_BYTES <= len(password.encode()) <= MAX_BYTES:
        return f"Must have {MIN_BYTES} to {MAX_BYTES} bytes."
    plain, address = password.strip().casefold(), email.strip().casefold()
    if plain in (address, address.partition("@")[0]):
        return "Must not be the e-mail address itself."
    if plain in _WELL_KNOWN:
        return "Must not be one of the passwords that everybody knows."
    return None
