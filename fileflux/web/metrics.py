"""``GET /metrics`` in Prometheus' text format, and what counts the requests of the app."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from flask import Flask, Response, g, request

from fileflux.metrics import Sample
from fileflux.web import access, context
from fileflux.web.resource import Resource

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
WAITING: Final = frozenset(rule for _, rule in access.AGENT_ROUTES) | {"/api/events", "/api/events/ws"}
"""Routes whose answer waits on purpose."""

metrics = Resource("metrics", "Numbers for Prometheus.")


@metrics.route("GET", "/metrics")
def show() -> Response:
    """All metrics in Prometheus' text format; each series is there from the start. No name of an agent, user or file is in it."""
    return Response(exposition(context.deps().metrics.samples()), content_type=CONTENT_TYPE)


def exposition(samples: Iterable[Sample]) -> str:
    """Samples of one metric follow each other."""
    lines: list[str] = []
    before = ""
    for sample in samples:
        if sample.name != before:
            lines += [f"# HELP {sample.name} {sample.help}", f"# TYPE {sample.name} {sample.kind}"]
            before = sample.name
        labels = f'{{{sample.label}="{sample.label_value}"}}' if sample.label else ""
        lines.append(f"{sample.name}{sample.suffix}{labels} {_number(sample.value)}")
    return "\n".join([*lines, ""])


def install(app: Flask) -> None:
    """Count every answer of ``app``."""
    app.before_request(_begin)
    app.after_request(_count)


def _begin() -> None:
    g.began_at = context.deps().clock.monotonic()


def _count(response: Response) -> Response:
    deps = context.deps()
    deps.metrics.requests.inc(f"{response.status_code // 100}xx")
    began = g.get("began_at")
    if began is not None and (request.url_rule is None or request.url_rule.rule not in WAITING):
        deps.metrics.request_seconds.observe(deps.clock.monotonic() - began)
    return response


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
