"""The published description of the API: what flask-smorest makes of schemas and views, and what it cannot know.

That is who may call a route (``access.py``), the headers that every request and answer may have, errors as problem documents, and that
bodies with unknown fields are refused.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final

from flask import Flask, Response, json
from flask_smorest import Api, Blueprint

from fileflux.web import access, idempotency
from fileflux.web.problems import CONTENT_TYPE
from fileflux.web.resource import ETAG_MARK
from fileflux.web.schemas import Problem

REQUEST_ID_PATTERN: Final = "^[A-Za-z0-9._-]{1,64}$"
_METHODS: Final = ("get", "post", "put", "patch", "delete")
_TEXT: Final = {"type": "string"}
_PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "RequestId": {
        "name": "X-Request-ID",
        "in": "header",
        "description": "Comes back in the answer and stands in the hub's log. The hub makes one if there is none, or one of another form.",
        "schema": _TEXT,
    },
    "IdempotencyKey": {
        "name": idempotency.HEADER,
        "in": "header",
        "description": "Any text of the sender's, new for each request and the same when that is sent again: it is carried out once, and its "
        "answer is kept for 24 hours. What a repeated answer showed as `value` is null then. 409 `idempotency_mismatch`: the key was used "
        "for something else. 409 `idempotency_in_progress`: wait. 409 `idempotency_unknown`: the first one was cut off; look whether it "
        "was done.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": idempotency.KEY_PATTERN},
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "description": "The ETag of what is to be changed; 412 `version_conflict` when it has changed since.",
        "schema": _TEXT,
    },
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The ETag of what the sender has; 304 when it is the newest.",
        "schema": _TEXT,
    },
}
_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "RequestId": {"description": "Of this request, for the hub's log.", "schema": _TEXT},
    "ETag": {"description": "The version that is shown.", "schema": {"type": "string", "pattern": '^"[0-9]+"$'}},
    "Replayed": {"description": "Present when the answer is that of an earlier request.", "schema": {"const": "true"}},
    "RetryAfter": {"description": "Seconds.", "schema": {"type": "string", "pattern": "^[0-9]+$"}},
    "Location": {"description": "Where what was made can be seen.", "schema": _TEXT},
}


class DescribedApi(Api):  # type: ignore[misc]  # flask-smorest has no types
    """flask-smorest's Api, which serves the finished description."""

    ERROR_SCHEMA = Problem

    def __init__(self, app: Flask) -> None:
        super().__init__(app)
        self._undescribed: list[Blueprint] = []
        self._text: str | None = None

    def register_blueprint(self, blueprint: Blueprint) -> None:
        """Serve its routes. They are described when somebody asks: that takes longer than all else of an app."""
        self._app.extensions["flask-smorest"]["blp_name_to_api"][blueprint.name] = self
        self._app.register_blueprint(blueprint)
        self._undescribed.append(blueprint)

    def description(self) -> dict[str, Any]:
        """The whole document."""
        for blueprint in self._undescribed:
            blueprint.register_views_in_doc(self, self._app, self.spec, name=blueprint.name, parameters=None)
            self.spec.tag({"name": blueprint.name, "description": blueprint.description})
        self._undescribed.clear()
        return _finished(copy.deepcopy(self.spec.to_dict()))

    def prepare(self) -> str:
        """The document as it is served. Call it before the hub serves: the first time takes a fifth of a second."""
        if self._text is None:
            self._text = json.dumps(self.description())
        return self._text

    def _openapi_json(self) -> Response:
        return Response(self.prepare(), mimetype="application/json")


def options() -> dict[str, Any]:
    """For the configuration of the app: what the document begins with."""
    public = ", ".join(f"`{method} {path}`" for method, path in sorted(access.PUBLIC))
    about = (
        f"All routes need a token, except {public}. Errors are problem documents (RFC 9457) with a stable `code`. Lists answer "
        "`items` and `next_cursor`: ask for the next page with `cursor`, until it is null. Unknown parameters and fields are refused."
    )
    schemes = {
        "token": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "the token of POST /api/auth/login",
        },
        "key": {
            "type": "http",
            "scheme": "bearer",
            "description": "an API key of a user, ffk_…, of the scope that the route names",
        },
    }
    return {
        "info": {"description": about},
        "components": {"securitySchemes": schemes},
        "security": [{"token": []}],
    }


def described_path(rule: str) -> str:
    """The path of a route as the document writes it."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)


def api_of(app: Flask) -> DescribedApi:
    """The Api that serves ``app``'s description."""
    found: DescribedApi = app.extensions["flask-smorest"]["apis"][""]["ext_obj"]
    return found


def _finished(document: dict[str, Any]) -> dict[str, Any]:
    document["components"] |= {"parameters": _PARAMETERS, "headers": _HEADERS}
    rules = {(method, described_path(path)): rule for (method, path), rule in access.RULES.items()}
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                _finish(item[method], method.upper(), path, rules.get((method.upper(), path)))
    for response in document["components"]["responses"].values():
        if "content" in response:
            response["content"] = {CONTENT_TYPE: next(iter(response["content"].values()))}
            response["headers"] = {"X-Request-ID": {"$ref": "#/components/headers/RequestId"}}
    for schema in document["components"]["schemas"].values():
        shown_once = schema.get("properties", {}).get(idempotency.SHOWN_ONCE, {})
        if shown_once.get("type") == "string":
            # In the answer to a repeated request.
            shown_once["type"] = ["string", "null"]
    for name in _sent(document):
        document["components"]["schemas"][name]["additionalProperties"] = False
    return document


def _finish(operation: dict[str, Any], method: str, path: str, rule: access.Rule | None) -> None:
    if rule is None:
        who, operation["security"] = "Needs no token.", []
    else:
        roles = ", ".join(sorted(role.value for role in rule.roles))
        keys = "API keys may not call it." if rule.scope is None else f"API keys need the scope `{rule.scope}`."
        who = f"For the roles {roles}. {keys}"
        operation["security"] = [{"token": []}] if rule.scope is None else [{"token": []}, {"key": []}]
    text = [operation.get("summary", ""), operation.get("description", ""), who]
    operation["description"] = "\n\n".join(part for part in text if part)
    for parameter in operation.get("parameters", ()):
        _without_null(parameter.get("schema", {}))
    if "operationId" not in operation:
        # Not registered as a Resource: a connection that goes on as something else.
        operation["operationId"] = "_".join([method.lower(), *re.findall(r"\w+", path)])
        operation["responses"]["101"] = {"description": HTTPStatus.SWITCHING_PROTOCOLS.phrase}
    etag = operation.pop(ETAG_MARK, False)
    parameters, answers = ["RequestId"], {"X-Request-ID": "RequestId"}
    if idempotency.applies(method, path):
        parameters.append("IdempotencyKey")
        answers[idempotency.REPLAYED] = "Replayed"
    if etag:
        answers["ETag"] = "ETag"
        if method == "GET":
            parameters.append("IfNoneMatch")
            operation["responses"]["304"] = {"description": HTTPStatus.NOT_MODIFIED.phrase}
        elif "{" in path:
            parameters.append("IfMatch")
            operation["responses"]["412"] = {"$ref": "#/components/responses/DEFAULT_ERROR"}
    operation["parameters"] = [
        *operation.get("parameters", []),
        *({"$ref": f"#/components/parameters/{name}"} for name in parameters),
    ]
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            shown = answers | ({"Location": "Location"} if status in ("201", "202") else {})
            if status == "204":
                shown.pop("ETag", None)
            response["headers"] = {name: {"$ref": f"#/components/headers/{ref}"} for name, ref in shown.items()}


def _without_null(schema: dict[str, Any]) -> None:
    """A parameter that is not given is None to its field; none can be sent as null."""
    if isinstance(schema.get("type"), list):
        kinds = [kind for kind in schema["type"] if kind != "null"]
        schema["type"] = kinds[0] if len(kinds) == 1 else kinds
    if "enum" in schema:
        schema["enum"] = [value for value in schema["enum"] if value is not None]
    if schema.get("default", "") is None:
        del schema["default"]


def _sent(document: dict[str, Any]) -> set[str]:
    """The names of the schemas that requests have."""
    found: set[str] = set()
    open_nodes: list[Any] = [
        operation.get("requestBody")
        for item in document["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict)
    ]
    while open_nodes:
        for reference in _references(open_nodes.pop()):
            if reference not in found:
                found.add(reference)
                open_nodes.append(document["components"]["schemas"][reference])
    return found


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        reference = node.get("$ref", "")
        if isinstance(reference, str) and reference.startswith("#/components/schemas/"):
            yield reference.rsplit("/", 1)[1]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)
