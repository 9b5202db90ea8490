"""One decorator for a REST route: method, path, schemas and status in one place, over flask-smorest.

Bodies are strict JSON: the right content type, UTF-8, no duplicate keys, no NaN, bounded depth. Unknown fields are refused, in the
query too, and so is a parameter that comes twice and is no list. Who may call a route is not said here but in ``access.py``; a route
without a line there answers nobody. Every POST takes an ``Idempotency-Key`` (``idempotency.py``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn, TypeVar

import marshmallow as ma
from flask import Request
from flask_smorest import Blueprint
from webargs.flaskparser import FlaskParser, abort
from webargs.multidictproxy import MultiDictProxy
from werkzeug.exceptions import NotFound, UnsupportedMediaType
from werkzeug.routing import BaseConverter

from fileflux.web import idempotency
from fileflux.web.dumping import quick

View = TypeVar("View", bound=Callable[..., Any])

MAX_ID: Final = 2**63 - 1
ETAG_MARK: Final = "x-etag"
"""For ``openapi.py``, which takes it out."""


class IdConverter(BaseConverter):
    """A row's id in a path: what cannot be one is a 404, like an id that does not exist."""

    regex = "[0-9]{1,19}"

    def to_python(self, value: str) -> int:
        number = int(value)
        if not 1 <= number <= MAX_ID:
            # werkzeug's ValidationError would make it a 405 where the path has another method.
            raise NotFound
        return number

    def to_url(self, value: object) -> str:
        return str(value)


class _StrictParser(FlaskParser):
    DEFAULT_UNKNOWN_BY_LOCATION = {**FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION, "query": ma.RAISE}  # noqa: RUF012  # as in the base class

    def load_querystring(self, req: Request, schema: ma.Schema) -> Any:
        lists = {name for name, field in schema.fields.items() if isinstance(field, ma.fields.List)}
        twice = [name for name, values in req.args.lists() if len(values) > 1 and name not in lists]
        if twice:
            raise ma.ValidationError({name: ["May be given once only."] for name in twice})
        return MultiDictProxy(req.args, schema)

    def _raw_load_json(self, req: Request) -> Any:
        if not req.mimetype and not req.get_data(cache=True):
            # No body at all says what ``{}`` says.
            return {}
        # A form can be sent across origins without asking; JSON cannot. Hence its type is required, and nothing is unpacked.
        if req.mimetype != "application/json" or req.headers.get("Content-Encoding"):
            raise UnsupportedMediaType("send the body as application/json, not compressed")
        if req.mimetype_params.get("charset", "utf-8").lower() != "utf-8":
            raise UnsupportedMediaType("send the body as UTF-8")
        try:
            return json.loads(
                req.get_data(cache=True).decode(), object_pairs_hook=_no_duplicates, parse_constant=_no_constant
            )
        except (ValueError, RecursionError):
            abort(400, description="the body is not valid JSON (or has a key twice)")


class _Routes(Blueprint):  # type: ignore[misc]  # flask-smorest has no types
    ARGUMENTS_PARSER = _StrictParser()


class Resource:
    """The routes of one noun. ``create_app`` registers ``blueprint``."""

    def __init__(self, name: str, description: str) -> None:
        self.blueprint: Any = _Routes(name, __name__, description=description)

    def route(
        self,
        method: str,
        path: str,
        *,
        body: type[ma.Schema] | None = None,
        query: type[ma.Schema] | None = None,
        returns: type[ma.Schema] | None = None,
        status: int = 200,
        also: int | None = None,
        etag: bool = False,
        raw: Sequence[str] = (),
    ) -> Callable[[View], View]:
        """Register a view. It gets the loaded body, or query, as its first argument and the path's ids by name.

        ``raw``: the view reads a body of one of these content types itself. ``also`` is another status that is answered like ``status``. ``etag`` says that the answer has an ETag, and that the request may name
        one. Both are for the published description only; the view sees to it.
        """

        def register(view: View) -> View:
            routed: Any = view
            for schema, location in ((body, "json"), (query, "query")):
                if schema is not None:
                    needed = any(field.required for field in schema().fields.values())
                    routed = self.blueprint.arguments(schema, location=location, required=needed)(routed)
            routed = self.blueprint.response(status, returns and quick(returns))(routed)
            if also is not None:
                routed = self.blueprint.alt_response(also, schema=returns)(routed)
            if idempotency.applies(method, path):
                routed = idempotency.once(routed)
            described = self.blueprint.doc(operationId=view.__name__, **{ETAG_MARK: etag}, **_raw_body(raw))
            self.blueprint.route(path, methods=[method])(described(routed))
            return view

        return register


def _raw_body(types: Sequence[str]) -> dict[str, Any]:
    if not types:
        return {}
    return {"requestBody": {"required": True, "content": {name: {"schema": {}} for name in types}}}


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key appears twice")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
