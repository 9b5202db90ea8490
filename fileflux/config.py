"""Settings from flag, environment, file and default, in this order of precedence, with the origin of each.

A program declares its settings as a list of ``Setting`` and calls ``load``. Nothing else in the project reads the environment.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import yaml

from fileflux.errors import ConfigError

Kind = Literal["text", "integer", "number", "boolean", "list", "table"]
FILE_MAX: Final = 1024 * 1024
SECRET_MAX: Final = 64 * 1024
NAMES_MAX: Final = 30
"""More names than that in one message nobody reads."""
TRUE: Final = frozenset({"1", "true", "yes", "on"})
FALSE: Final = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. A ``secret`` may also be given as ``<name>_file``, the file that holds it, and is never shown.

    A ``list`` in the environment is separated by the system's path separator; a ``table`` (of numbers by name) is one variable per entry.
    """

    name: str
    kind: Kind = "text"
    default: Any = None
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Loaded:
    """Values by name, and where each came from: ``flag``, ``environment NAME``, ``file PATH`` or ``default``.

    ``files``: the configuration's own and every one that was named as holding a secret, also where another place had precedence.
    """

    values: Mapping[str, Any]
    origins: Mapping[str, str]
    files: tuple[Path, ...] = ()


def load(
    settings: Sequence[Setting],
    *,
    prefix: str,
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    file: Path | None = None,
    separator: str = ":",
) -> Loaded:
    """Every setting's value. A flag that is None or an empty list was not given; ``file`` must exist.

    Raises ConfigError for an unknown key, a wrong type, or a file that cannot be read or parsed.
    """
    in_file = {} if file is None else read_file(file)
    known = {setting.name for setting in settings} | {f"{setting.name}_file" for setting in settings if setting.secret}
    for key in in_file:
        if key not in known:
            raise ConfigError(f"{file}: unknown key {key!r}{suggestion(key, known)}")
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    files = [] if file is None else [file]
    for setting in settings:
        layers = (
            ("flag", {name: value for name, value in flags.items() if value not in (None, [], ())}),
            ("environment", _from_environment(setting, prefix, environment, separator)),
            (f"file {file}", in_file),
        )
        values[setting.name], origins[setting.name] = _resolve(setting, layers)
        if setting.secret:
            named = (layer.get(f"{setting.name}_file") for _, layer in layers)
            files.extend(Path(path) for path in named if isinstance(path, str))
    return Loaded(values, origins, tuple(dict.fromkeys(files)))


def read_file(path: Path) -> dict[str, Any]:
    """A TOML or YAML file (by its suffix) as a table. Raises ConfigError with the line of a mistake."""
    try:
        if path.stat().st_size > FILE_MAX:
            raise ConfigError(f"{path} is larger than 1 MiB: this is no configuration file")
        data = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(f"cannot read the configuration file {path}: {reason}") from None
    if path.suffix == ".toml":
        try:
            return tomllib.loads(data)
        except (ValueError, RecursionError) as error:
            # Besides what it says of the text itself: numbers of thousands of digits, and brackets nested as deep.
            raise ConfigError(f"{path}: {error}") from None
    return _parse_yaml(path, data)


def read_secret(path: Path) -> str:
    """The content of a secret's file without white space around it. Raises ConfigError when it is unreadable or empty."""
    try:
        with path.open(encoding="utf-8") as file:
            value = file.read(SECRET_MAX).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise ConfigError(f"cannot read the secret in {path}: {reason}") from None
    if not value:
        raise ConfigError(f"the file {path} is empty: it should hold a secret")
    return value


def _resolve(setting: Setting, layers: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[Any, str]:
    for origin, layer in layers:
        direct = layer.get(setting.name)
        through = layer.get(f"{setting.name}_file") if setting.secret else None
        if direct is not None and through is not None:
            raise ConfigError(f"{setting.name} and {setting.name}_file are both given by {origin}: give one")
        where = f"{setting.name} ({origin})"
        if through is not None:
            return read_secret(Path(_convert(where, "text", through))), origin
        if direct is not None:
            return _convert(where, setting.kind, direct), origin
    return setting.default, "default"


def _from_environment(
    setting: Setting, prefix: str, environment: Mapping[str, str], separator: str
) -> Mapping[str, Any]:
    name = f"{prefix}_{setting.name.upper()}"
    if setting.kind == "table":
        start = f"{name}_"
        table = {key[len(start) :].lower(): value for key, value in environment.items() if key.startswith(start)}
        return {setting.name: table} if table else {}
    found: dict[str, Any] = {}
    if environment.get(name):
        raw = environment[name]
        found[setting.name] = [part for part in raw.split(separator) if part] if setting.kind == "list" else raw
    if setting.secret and environment.get(f"{name}_FILE"):
        found[f"{setting.name}_file"] = environment[f"{name}_FILE"]
    return found


def _convert(where: str, kind: Kind, value: Any) -> Any:
    match kind:
        case "text" if isinstance(value, str):
            return value
        case "boolean" if isinstance(value, bool):
            return value
        case "boolean" if isinstance(value, str) and value.lower() in TRUE | FALSE:
            return value.lower() in TRUE
        case "list" if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
            return tuple(value)
        case "table" if isinstance(value, dict):
            return dict(value)
        case "integer" | "number" if isinstance(value, int | float | str) and not isinstance(value, bool):
            return _number(where, kind, value)
    raise ConfigError(f"{where} must be a {kind}, not {value!r}")


def _number(where: str, kind: Kind, value: float | str) -> int | float:
    try:
        number = int(str(value)) if kind == "integer" else float(value)
    except ValueError:
        raise ConfigError(f"{where} must be a {kind}, not {value!r}") from None
    if not abs(number) < 2**53:
        raise ConfigError(f"{where} is out of range")
    return number


def suggestion(key: str, known: Collection[str]) -> str:
    """What to write behind an unknown name: the known one that is like it, else all of them, or the nearest of many."""
    names = sorted(known)
    near = difflib.get_close_matches(str(key), names, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    if len(names) > NAMES_MAX:
        return f"; nearest: {', '.join(difflib.get_close_matches(str(key), names, n=3, cutoff=0.0))}"
    return f"; known keys: {', '.join(names)}"


class _StrictLoader(yaml.SafeLoader):
    """Plain values only; no aliases, which can grow without bound, and no key twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            mark: Any = self.get_mark()
            raise yaml.constructor.ConstructorError(None, None, "aliases are not allowed", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # the name and shape are PyYAML's
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if not isinstance(key, str) or key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def _parse_yaml(path: Path, data: str) -> dict[str, Any]:
    try:
        # The loader derives from SafeLoader, which makes plain values only.
        parsed = yaml.load(data, Loader=_StrictLoader)  # noqa: S506  # nosec B506  # see the line above
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}:" if error.problem_mark else ""
        raise ConfigError(f"{path}:{line} {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not YAML: {str(error).splitlines()[0]}") from None
    if parsed is None:
        return {}
    if not isinstance(parsed, dict):
        raise ConfigError(f"{path} must hold keys and values")
    return parsed
