"""Write docs/api.md from the API's own description (the one served at /api/openapi.json).

`.venv/bin/python scripts/api_reference.py` writes it; with `--check` it says whether it is current and writes nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[1] / "docs" / "api.md"
METHODS = ("get", "post", "put", "patch", "delete")
COMMON = {"RequestId"}
"""Headers of every request, described once."""


def description() -> dict[str, Any]:
    """The description of an app that nothing stands behind."""
    from fileflux.bus.bus import Bus
    from fileflux.clock import SystemClock
    from fileflux.protocol.limits import DEFAULT_LIMITS
    from fileflux.web.app import create_app
    from fileflux.web.deps import Deps
    from fileflux.web.openapi import api_of

    nothing: Any = None
    deps = Deps(nothing, Bus(), DEFAULT_LIMITS, bytes(range(64)), SystemClock(), nothing, nothing, nothing, nothing)
    return api_of(create_app(deps)).description()


def render(spec: dict[str, Any]) -> str:
    """The whole page."""
    lines = [
        "# API reference",
        "",
        "<!-- Made by scripts/api_reference.py; do not edit. -->",
        "",
        spec["info"]["description"],
        "",
        *_security(spec),
        *_headers(spec),
        *_problem(spec),
    ]
    by_tag: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, item in spec["paths"].items():
        for method in METHODS:
            if method in item:
                by_tag.setdefault(item[method]["tags"][0], []).append((method.upper(), path, item[method]))
    for tag in spec["tags"]:
        lines += [f"## {tag['name']}", "", tag.get("description", ""), ""]
        for method, path, operation in by_tag.get(tag["name"], []):
            lines += _operation(spec, method, path, operation)
    lines += ["## Schemas", ""]
    for name, schema in sorted(spec["components"]["schemas"].items()):
        lines += _schema(name, schema)
    return "\n".join(_tidy(lines)) + "\n"


def _security(spec: dict[str, Any]) -> Iterator[str]:
    yield "A request proves who it is with `Authorization: Bearer …`:"
    yield ""
    for name, scheme in spec["components"]["securitySchemes"].items():
        yield f"- `{name}`: {scheme['description']}"
    yield ""


def _headers(spec: dict[str, Any]) -> Iterator[str]:
    yield "| header | what it does |"
    yield "|---|---|"
    for one in spec["components"]["parameters"].values():
        yield f"| `{one['name']}` | {_cell(one['description'])} |"
    yield ""


def _problem(spec: dict[str, Any]) -> Iterator[str]:
    yield "Every error is a `Problem`:"
    yield ""
    yield from _fields(spec["components"]["schemas"]["Problem"])


def _operation(spec: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"### {method} {path}"
    yield ""
    yield operation["description"]
    yield ""
    parameters = [_resolved(spec, one) for one in operation["parameters"] if _last(one.get("$ref", "")) not in COMMON]
    if parameters:
        yield "| parameter | in | value |"
        yield "|---|---|---|"
        for one in parameters:
            text = one.get("description", "") if one["in"] != "header" else ""
            yield f"| `{one['name']}` | {one['in']} | {_cell('; '.join(x for x in (_value(one['schema']), text) if x))} |"
        yield ""
    body = operation.get("requestBody")
    if body is not None:
        yield f"Body: {_value(next(iter(body['content'].values()))['schema'])}"
        yield ""
    for status, response in operation["responses"].items():
        if status.startswith(("2", "3")) or "$ref" not in response:
            shown = next(iter(response.get("content", {}).values()), {}).get("schema")
            yield f"Answers {status}{f': {_value(shown)}' if shown else ''}"
            yield ""


def _schema(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"### {name}"
    yield ""
    if schema.get("description"):
        yield schema["description"]
        yield ""
    yield from _fields(schema)


def _fields(schema: dict[str, Any]) -> Iterator[str]:
    required = set(schema.get("required", ()))
    yield "| field | value |"
    yield "|---|---|"
    for name, one in schema.get("properties", {}).items():
        facts = [_value(one), "required" if name in required else "", one.get("description", "")]
        yield f"| `{name}` | {_cell('; '.join(fact for fact in facts if fact))} |"
    yield ""


def _value(schema: dict[str, Any]) -> str:
    """A type with its bounds, in a few words."""
    if "$ref" in schema:
        name = _last(schema["$ref"])
        return f"[{name}](#{name.lower()})"
    if "allOf" in schema or "anyOf" in schema:
        return " or ".join(_value(one) for one in schema.get("allOf", schema.get("anyOf", ())))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"] if value is not None) + _null(schema)
    kinds = schema.get("type", "any value")
    words = [kind for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null"]
    text = " or ".join(words)
    if text == "array":
        text = f"list of {_value(schema.get('items', {}))}"
    if schema.get("format"):
        text = f"{text} ({schema['format']})"
    for low, high, unit in (
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " bytes"),
        ("minItems", "maxItems", " items"),
    ):
        if low in schema or high in schema:
            text += f", {schema.get(low, 0)} to {schema.get(high, 'any')}{unit}"
    if "default" in schema:
        text += f", default `{_literal(schema['default'])}`"
    return text + _null(schema)


def _null(schema: dict[str, Any]) -> str:
    return " or null" if "null" in schema.get("type", ()) and isinstance(schema["type"], list) else ""


def _literal(value: Any) -> str:
    return (
        {True: "true", False: "false", None: "null"}.get(value, value) if isinstance(value, bool | None) else str(value)
    )


def _resolved(spec: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    return spec["components"]["parameters"][_last(node["$ref"])] if "$ref" in node else node


def _last(reference: str) -> str:
    return reference.rsplit("/", 1)[-1]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _tidy(lines: list[str]) -> Iterator[str]:
    """Without two empty lines after one another."""
    before = None
    for line in lines:
        if line or before:
            yield line
        before = line


def main() -> int:
    page = render(description())
    current = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    if "--check" in sys.argv[1:]:
        if page != current:
            print(
                "docs/api.md is not what the code says: run .venv/bin/python scripts/api_reference.py", file=sys.stderr
            )
        return int(page != current)
    PAGE.write_text(page, encoding="utf-8")
    print(f"{PAGE.name}: {len(page.splitlines())} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
