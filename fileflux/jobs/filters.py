"""Filter rules and globs: which entries of a directory are wanted.

A pattern is matched component by component. ``*`` and ``?`` stay inside a component, ``[a-z]`` and ``[!a-z]`` are classes, ``{a,b}`` are
alternatives (they may be nested), a backslash takes the next character as it is, and a component ``**`` stands for any number of
components. As in rclone a pattern that begins with ``/`` starts at the top, any other one matches at the end of the path at any depth.
A trailing ``/`` makes it a pattern for directories only.

Patterns come from people who may be careless or hostile, so matching never backtracks: alternatives are spread out first, within
``MAX_ALTERNATIVES``; what is left between two ``*`` then has a fixed length, for which the leftmost place is always good enough. The
same holds one level up between two ``**``. Matching takes at most (length of pattern x length of path) steps.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from fileflux.errors import ConfigError

MAX_RULES: Final = 256
MAX_PATTERN_CHARACTERS: Final = 1024
MAX_ALTERNATIVES: Final = 512
"""Of all patterns of one direction together, after ``{a,b}`` is spread out: bounds the work for each entry of a listing."""
_MAX_GROUPS: Final = 16
_MAGIC: Final = frozenset("*?[{")

_MAX_STARS: Final = 32
"""In one component. Each costs a pass over the name."""


class _Wildcard:
    """A component with characters of a meaning. Compiled when it is first used: whoever only checks a job's rules never pays for it."""

    __slots__ = ("_compiled", "_expression")

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._compiled: re.Pattern[str] | None = None

    def fits(self, name: str) -> bool:
        if self._compiled is None:
            self._compiled = re.compile(self._expression)
        return self._compiled.match(name) is not None


_Component = _Wildcard | str | None
"""A string stands for itself, None for ``**``."""


def is_glob(text: str) -> bool:
    """Whether ``text`` has a character with a meaning."""
    return not _MAGIC.isdisjoint(text)


@dataclass(frozen=True, slots=True)
class Glob:
    """One pattern without alternatives. Build it with ``compile_glob``. ``source`` is the pattern as it was given."""

    components: tuple[_Component, ...]
    directories_only: bool = False
    source: str = ""

    def fits(self, path: Sequence[str], *, is_dir: bool) -> bool:
        """``matches``, and never what is no directory with a pattern for directories only."""
        return (is_dir or not self.directories_only) and self.matches(path)

    def matches(self, path: Sequence[str]) -> bool:
        """Whether the whole path matches."""
        pattern = self.components
        at = depth = 0
        retry: tuple[int, int] | None = None
        while depth < len(path):
            if at < len(pattern):
                component = pattern[at]
                if component is None:
                    retry = (at + 1, depth)
                    at += 1
                    continue
                if _fits(component, path[depth]):
                    at += 1
                    depth += 1
                    continue
            if retry is None:
                return False
            # The last ** takes one component more; what an earlier one took is never worth changing.
            at, depth = retry[0], retry[1] + 1
            retry = (at, depth)
        return all(component is None for component in pattern[at:])

    def may_match_below(self, path: Sequence[str]) -> bool:
        """Whether anything below this directory can match. May say True in vain, never False in vain."""
        for component, name in zip(self.components, path, strict=False):
            if component is None:
                return True
            if not _fits(component, name):
                return False
        return len(path) < len(self.components)


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a path is wanted, and what decided it.

    ``by``: ``exclude`` or ``include``, with the ``pattern`` as it was given and ``at``, the path that it matched (a directory above is excluded
    with all that it holds); ``no_include``: there are include patterns and none of them matches; ``nothing``: no rule speaks of it.
    """

    wanted: bool
    by: Literal["exclude", "include", "no_include", "nothing"]
    pattern: str = ""
    at: str = ""


class Rules:
    """What ``compile_rules`` makes. Call it with a path relative to the listing's base.

    A path is wanted if no exclude pattern and, where there are include patterns, at least one of those matches. An exclude pattern
    that matches a directory takes out everything below it.
    """

    def __init__(self, include: tuple[Glob, ...], exclude: tuple[Glob, ...]) -> None:
        self._include = include
        self._exclude = exclude

    def __call__(self, path: str, is_dir: bool) -> bool:
        """Whether this entry itself is wanted."""
        if not (self._include or self._exclude):
            return True
        parts = path.split("/")
        if _any(self._exclude, parts, is_dir=is_dir):
            return False
        return not self._include or _any(self._include, parts, is_dir=is_dir)

    def enters(self, path: str) -> bool:
        """Whether anything below this directory can be wanted; directories are asked from the top down."""
        if not (self._include or self._exclude):
            return True
        parts = path.split("/")
        if _any(self._exclude, parts, is_dir=True):
            return False
        return not self._include or any(glob.may_match_below(parts) for glob in self._include)

    def decide(self, path: str, is_dir: bool) -> Decision:
        """The same answer as a walk from the top would give, with its reason; of several patterns the first one."""
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            last = depth == len(parts)
            excluded = _first(self._exclude, parts[:depth], is_dir=is_dir or not last)
            if excluded is not None:
                return Decision(False, "exclude", excluded.source, "/".join(parts[:depth]))
        if not self._include:
            return Decision(True, "nothing")
        included = _first(self._include, parts, is_dir=is_dir)
        if included is None:
            return Decision(False, "no_include")
        return Decision(True, "include", included.source, path)


def _fits(component: _Wildcard | str, name: str) -> bool:
    return component == name if isinstance(component, str) else component.fits(name)


def _any(globs: tuple[Glob, ...], parts: list[str], *, is_dir: bool) -> bool:
    return any(glob.fits(parts, is_dir=is_dir) for glob in globs)


def _first(globs: tuple[Glob, ...], parts: list[str], *, is_dir: bool) -> Glob | None:
    return next((glob for glob in globs if glob.fits(parts, is_dir=is_dir)), None)


def compile_rules(include: Sequence[str], exclude: Sequence[str]) -> Rules:
    """The rules of a job. Raises ConfigError, naming the pattern, for one that is not well formed or too large."""
    if max(len(include), len(exclude)) > MAX_RULES:
        raise ConfigError(f"more than {MAX_RULES} patterns")
    below = [(pattern + "**", pattern) for pattern in include if pattern.endswith("/")]
    return Rules(
        _compile_all([*((pattern, pattern) for pattern in include), *below]),
        _compile_all([(pattern, pattern) for pattern in exclude]),
    )


def compile_glob(pattern: str) -> tuple[Glob, ...]:
    """A glob that starts at the top, one Glob for each of its alternatives. Raises ConfigError."""
    return tuple(_compile("/" + text, pattern) for text in _alternatives(pattern, MAX_ALTERNATIVES))


def _compile_all(patterns: Sequence[tuple[str, str]]) -> tuple[Glob, ...]:
    """Of pairs: what is matched, and what the user wrote."""
    texts: list[tuple[str, str]] = []
    for pattern, source in patterns:
        texts.extend((text, source) for text in _alternatives(pattern, MAX_ALTERNATIVES - len(texts)))
    return tuple(_compile(text, source) for text, source in texts)


def _compile(text: str, source: str) -> Glob:
    directories_only = text.endswith("/") and text != "/"
    anchored = text.startswith("/")
    names = [name for name in text.split("/") if name]
    if not names:
        raise ConfigError(f"{text!r:.80} is an empty pattern")
    components: list[_Component] = [] if anchored else [None]
    for name in names:
        if name != "**":
            components.append(_component(name))
        elif not components or components[-1] is not None:
            components.append(None)
    if components[-1] is None:
        # a/** is everything below a, not a itself.
        components.append(_component("*"))
    return Glob(tuple(components), directories_only, source)


def _component(name: str) -> _Wildcard | str:
    """Pieces of fixed length between stars; each is taken at its leftmost place and never given back (atomic groups)."""
    if not is_glob(name) and "\\" not in name:
        return name
    pieces: list[list[str]] = [[]]
    index = 0
    while index < len(name):
        character = name[index]
        index += 1
        if character == "*":
            if pieces[-1] or len(pieces) == 1:
                pieces.append([])
        elif character == "?":
            pieces[-1].append("(?s:.)")
        elif character == "[":
            text, index = _character_class(name, index)
            pieces[-1].append(text)
        else:
            if character == "\\" and index < len(name):
                character = name[index]
                index += 1
            pieces[-1].append(re.escape(character))
    first, *rest = ("".join(piece) for piece in pieces)
    if not rest:
        return _Wildcard(first + r"\Z")
    if len(rest) > _MAX_STARS:
        raise ConfigError(f"{name!r:.80} has more than {_MAX_STARS} stars")
    middle = "".join(f"(?>(?s:.*?){piece})" for piece in rest[:-1])
    return _Wildcard(f"{first}{middle}(?s:.*){rest[-1]}\\Z")


def _character_class(name: str, index: int) -> tuple[str, int]:
    negated = name[index : index + 1] in ("!", "^")
    start = index + negated
    end = name.find("]", start + 1)
    if end < 0:
        raise ConfigError(f"{name!r:.80} has a [ without its ]; write \\[ for the character")
    body = name[start:end]
    parts: list[str] = []
    position = 0
    while position < len(body):
        low = high = body[position]
        if position + 2 < len(body) and body[position + 1] == "-":
            high = body[position + 2]
            position += 2
        if low > high:
            raise ConfigError(f"{name!r:.80} has a range that runs backwards")
        parts.append(f"{re.escape(low)}-{re.escape(high)}" if low != high else re.escape(low))
        position += 1
    return f"[{'^' if negated else ''}{''.join(parts)}]", end + 1


def _alternatives(pattern: str, room: int) -> list[str]:
    """``a{b,c}`` as ``ab`` and ``ac``; at most ``room`` of them."""
    if not pattern or len(pattern) > MAX_PATTERN_CHARACTERS or "\0" in pattern:
        raise ConfigError(f"a pattern has 1 to {MAX_PATTERN_CHARACTERS} characters and no NUL")
    # One frame for each open brace: the options that are whole, and what the present one may be so far.
    frames: list[tuple[list[str], list[str]]] = [([], [""])]
    groups = run = index = 0
    while index <= len(pattern):
        character = pattern[index : index + 1]
        if character in ("{", "") or (len(frames) > 1 and character in (",", "}")):
            whole, current = frames[-1]
            current = [text + pattern[run:index] for text in current]
            run = index + 1
            if character == "{":
                groups += 1
                frames[-1] = (whole, current)
                frames.append(([], [""]))
            elif character == ",":
                frames[-1] = ([*whole, *current], [""])
            elif character == "}":
                options = [*whole, *current]
                frames.pop()
                before, prefixes = frames[-1]
                if len(prefixes) * len(options) > room:
                    raise ConfigError(f"{pattern!r:.80} makes more than {MAX_ALTERNATIVES} alternatives")
                frames[-1] = (before, [prefix + option for prefix in prefixes for option in options])
            else:
                frames[-1] = (whole, current)
            if groups > _MAX_GROUPS or sum(len(a) + len(b) for a, b in frames) > room + 2 * len(frames):
                raise ConfigError(
                    f"{pattern!r:.80} makes more than {MAX_ALTERNATIVES} alternatives or has too many braces"
                )
        elif character == "\\":
            index = min(index + 1, len(pattern) - 1)
        elif character == "[":
            # What stands in a class is no brace.
            index = max(index, pattern.find("]", index + 2))
        index += 1
    if len(frames) > 1:
        raise ConfigError(f"{pattern!r:.80} has a {{ without its }}; write \\{{ for the character")
    if len(frames[0][1]) > room:
        raise ConfigError(f"more than {MAX_ALTERNATIVES} alternatives in all patterns together")
    return frames[0][1]
