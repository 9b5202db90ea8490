"""Logs: structured events on stderr, with the context of the running greenlet, and never a token.

Modules call ``structlog.get_logger("fileflux.<part>")``; an entry point calls ``configure`` once. Redaction works on the finished line, so
that tracebacks and values inside of values are covered too, and names of keys that hold secrets are covered before.
"""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager, suppress
from typing import Any, Final, TextIO

import structlog
from structlog.typing import ExcInfo, Processor, WrappedLogger

from fileflux.errors import ConfigError

REDACTED: Final = "[redacted]"
STYLES: Final = ("console", "json")
LEVELS: Final = ("debug", "info", "warning", "error")

_SECRETS: Final = re.compile(
    r"(?P<mark>ff[xk]_|whsec_)[A-Za-z0-9_+/=-]+"
    r"|(?P<bearer>\bbearer\s+)[A-Za-z0-9._~+/=-]+"
    # A JSON Web Token wherever it stands: header and payload are JSON objects, so both begin alike.
    r"|\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+",
    re.IGNORECASE,
)
_SECRET_KEYS: Final = frozenset(
    {
        "password",
        "token",
        "secret",
        "authorization",
        "refresh_token",
        "access_token",
        "database_url",
        "value_shown_once",
    }
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def check_logging(values: Mapping[str, Any]) -> None:
    """``log_format`` and ``log_level`` of a configuration. Raises ConfigError."""
    for name, known in (("log_format", STYLES), ("log_level", LEVELS)):
        if values[name] not in known:
            raise ConfigError(f"{name} must be {', '.join(known[:-1])} or {known[-1]}, not {values[name]!r}")


def redact(text: str) -> str:
    """``text`` with everything that looks like a credential replaced; what kind it was stays readable."""
    return _SECRETS.sub(lambda match: f"{match['mark'] or match['bearer'] or ''}{REDACTED}", text)


def bind(**values: object) -> None:
    """Add to every event that this greenlet (or thread) logs from now on."""
    structlog.contextvars.bind_contextvars(**values)


def bound(**values: object) -> AbstractContextManager[None]:
    """Like ``bind``, for the length of a ``with`` block."""
    return structlog.contextvars.bound_contextvars(**values)


def unbind(*names: str) -> None:
    """Undo ``bind`` for these names."""
    structlog.contextvars.unbind_contextvars(*names)


def say(line: str) -> None:
    """One line for the person who started the program, on stderr: an event like any other where logs are JSON."""
    if structlog.is_configured() and isinstance(structlog.get_config()["processors"][-1], _JsonEnd):
        structlog.get_logger("fileflux").warning(line)
        return
    print(f"fileflux: {redact(line)}", file=sys.stderr, flush=True)  # noqa: T201  # for a person


def configure(*, style: str = "console", level: str = "info", stream: TextIO | None = None) -> None:
    """Set up structlog and the standard library's logging, once per process. ``style`` is ``console`` or ``json``.

    Raises ConfigError for another style or an unknown level.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ConfigError(f"no log level {level!r}; use debug, info, warning or error")
    if style not in STYLES:
        raise ConfigError(f"no log style {style!r}; use console or json")
    target: Any = _Unfailing(stream or sys.stderr)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_secret_keys,
    ]
    finish: list[Processor] = _json_end() if style == "json" else _console_end(target)
    structlog.configure(
        processors=[*shared, *finish],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=target),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *finish],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Libraries tell at info what they do all day.
    root.setLevel(max(number, logging.WARNING))


class _Unfailing:
    """A stream for logs: what cannot be written (a full disk, a reader that has gone) is lost, and the work that logged it goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()


def hide_secret_keys(_: WrappedLogger, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """A structlog processor: values of keys that hold secrets are not shown, at any depth."""
    return {key: _hidden(key, value) for key, value in event.items()}


def _hidden(key: object, value: object) -> object:
    if isinstance(key, str) and key.lower() in _SECRET_KEYS and value is not None:
        return REDACTED
    if isinstance(value, Mapping):
        return {inner: _hidden(inner, one) for inner, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_hidden(None, one) for one in value]
    return value


def _json_end() -> list[Processor]:
    render = structlog.processors.JSONRenderer(default=repr, ensure_ascii=True)
    return [structlog.processors.format_exc_info, _JsonEnd(render)]


def _console_end(target: TextIO) -> list[Processor]:
    render = structlog.dev.ConsoleRenderer(colors=target.isatty(), exception_formatter=_write_traceback)
    return [_escape_controls, _Redacting(render)]


def _write_traceback(out: TextIO, error: ExcInfo) -> None:
    # Without local variables, which hold passwords and keys; its own lines stay lines.
    plain = io.StringIO()
    structlog.dev.plain_traceback(plain, error)
    out.write("\n".join(_escaped(line) for line in plain.getvalue().split("\n")))


class _Redacting:
    """The last processor: what looks like a credential in the finished line is replaced."""

    def __init__(self, render: Processor) -> None:
        self._render = render

    def __call__(self, logger: WrappedLogger, name: str, event: MutableMapping[str, Any]) -> str:
        return redact(str(self._render(logger, name, event)))


class _JsonEnd(_Redacting):
    """Tells by its class in which style the logs are."""


def _escape_controls(_: WrappedLogger, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """File names and peers' texts must not move the cursor, begin a line or break the stream's encoding."""
    return {key: _escaped(value) if isinstance(value, str) else value for key, value in event.items()}


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)
