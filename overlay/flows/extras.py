"""What a caller adds to a call that no specification names: query parameters and headers, and fields of a body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import attrs

from overlay.errors import ConfigurationError, OverlayError
from overlay.flows.steps import Call, Flow, Together

T = TypeVar("T")


@attrs.frozen
class Extra:
    """Query parameters and headers that go with a call."""

    query: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False)
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str], repr=False)


def with_extra(
    flow: Flow[T],
    operation: str,
    *,
    query: Mapping[str, Any] | None,
    headers: Mapping[str, str] | None,
) -> Flow[T]:
    """The flow, with headers on each of its calls, and query parameters on those of one generated operation.

    Raises ConfigurationError for what cannot be sent.
    """
    if not query and not headers:
        return (yield from flow)
    checked_fields(query, "extra_query")
    if not all(isinstance(name, str) and isinstance(text, str) for name, text in (headers or {}).items()):
        raise ConfigurationError("extra_headers must be a mapping of strings to strings")
    return (yield from _extended(flow, operation, Extra(query or {}, headers or {})))


def _extended(flow: Flow[T], operation: str, extra: Extra) -> Flow[T]:
    try:
        step = next(flow)
        while True:
            if isinstance(step, Call):
                is_meant = getattr(step.endpoint, "__name__", "").rpartition(".")[2] == operation
                step = attrs.evolve(step, extra=extra if is_meant else attrs.evolve(extra, query={}))
            elif isinstance(step, Together):
                step = attrs.evolve(step, flows=[_extended(each, operation, extra) for each in step.flows])
            problem: OverlayError | None = None
            value: Any = None
            try:
                value = yield step
            except OverlayError as error:
                problem = error
            step = flow.send(value) if problem is None else flow.throw(problem)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        flow.close()


def checked_fields(fields: Mapping[str, Any] | None, what: str) -> dict[str, Any]:
    """Fields to add to a body or a query. Raises ConfigurationError if they are no mapping by name."""
    if fields is None:
        return {}
    if not isinstance(fields, Mapping) or not all(isinstance(name, str) and name for name in fields):
        raise ConfigurationError(f"{what} must be a mapping with strings as names")
    return dict(fields)


class ExtendedClient:
    """A generated client whose requests carry more than the generated code knows of."""

    def __init__(self, client: Any, extra: Extra) -> None:
        self._client = client
        self._extra = extra

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get_httpx_client(self) -> Any:
        return _Requests(self._client.get_httpx_client(), self._extra)

    def get_async_httpx_client(self) -> Any:
        return _Requests(self._client.get_async_httpx_client(), self._extra)


class _Requests:
    def __init__(self, client: Any, extra: Extra) -> None:
        self._client = client
        self._extra = extra

    def request(self, **options: Any) -> Any:
        """Call httpx's own, which may be awaited."""
        if self._extra.query:
            options["params"] = {**(options.get("params") or {}), **self._extra.query}
        if self._extra.headers:
            options["headers"] = {**(options.get("headers") or {}), **self._extra.headers}
        return self._client.request(**options)
