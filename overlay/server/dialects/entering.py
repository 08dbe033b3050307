"""A request as the API has it, for the log, faults and routes, whichever path, method and header a service has."""

import re
from functools import cache

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.types import Scope

from overlay.server.dialects.dialect import Dialect

STORAGE = "/_storage/"
"""Where the content of a redirected upload goes."""
_HEADERS = ("authorization", "api-key", "x-api-key", "x-portkey-api-key", "x-goog-api-key")
# Azure's older paths do not exist without a version.
_VERSIONED = frozenset({"/openai"})


def enter(scope: Scope, dialect: Dialect) -> None:
    """Give a request its normal path and method; `overlay.asked` is the operation that the service calls it."""
    path, method = scope["path"], scope["method"]
    scope["overlay.sent_path"] = path
    _unlock(scope, dialect)
    if dialect.redirected and path.startswith(STORAGE):
        scope["overlay.asked"] = f"{method} {STORAGE}"
        return
    rest = _rest(path, dialect, QueryParams(scope["query_string"]))
    if rest is None:
        scope["overlay.asked"] = None
        return
    asked = f"{method} {rest}"
    scope["path"] = f"/v1{rest}"
    scope["overlay.asked"] = asked
    if any(_pattern(each).fullmatch(asked) for each in dialect.missing):
        scope["overlay.asked"] = None
        return
    for template, target in dialect.moved.items():
        if match := _pattern(template).fullmatch(asked):
            scope["method"], _, moved = target.partition(" ")
            scope["path"] = "/v1" + moved.replace("{id}", match.groupdict().get("id") or "")
            return


def _rest(path: str, dialect: Dialect, query: QueryParams) -> str | None:
    for base in dialect.bases:
        if path.startswith(f"{base}/") and (base not in _VERSIONED or query.get("api-version")):
            return path.removeprefix(base)
    return None


@cache
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.escape(template).replace(re.escape("{id}"), "(?P<id>[^/]+)"))


def _unlock(scope: Scope, dialect: Dialect) -> None:
    """Leave one key, as a bearer token, where the service takes it from the header that it came in."""
    sent = Headers(scope=scope)
    token = next(filter(None, (_token(sent, name) for name in dialect.keys)), "")
    scope["overlay.sent_keys"] = [name for name in _HEADERS if name in sent]
    scope["headers"] = [
        (name, value) for name, value in scope["headers"] if name.decode().lower() not in _HEADERS
    ]
    if token:
        MutableHeaders(scope=scope)["authorization"] = f"Bearer {token}"


def _token(sent: Headers, name: str) -> str:
    value = sent.get(name, "").strip()
    if name != "authorization":
        return value
    scheme, _, token = value.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
