"""From flows to methods: each keeps its flow's exact signature and docstring, for type checkers and `help()`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

from overlay.flows.drivers import Awaiting, Blocking
from overlay.flows.steps import Flow
from overlay.models import Page, plain_id
from overlay.pages import AsyncListing, Listing
from overlay.wire.connection import Settings

P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M", bound=Callable[..., Any])


class Resource:
    """A group of methods of a client."""

    def __init__(self, driver: Blocking) -> None:
        self._driver = driver


class AsyncResource:
    """A group of methods of an asynchronous client."""

    def __init__(self, driver: Awaiting) -> None:
        self._driver = driver


def blocking(flow: Callable[Concatenate[Settings, P], Flow[T]]) -> Callable[Concatenate[Any, P], T]:
    """A method that runs the flow and returns its value."""
    called: Callable[..., Flow[T]] = flow

    def method(self: Resource, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._driver.run(called(self._driver.settings, *map(plain_id, args), **_plain(kwargs)))

    return presented_as(method, flow)


def awaiting(
    flow: Callable[Concatenate[Settings, P], Flow[T]],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """A coroutine method that runs the flow and returns its value."""
    called: Callable[..., Flow[T]] = flow

    async def method(self: AsyncResource, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._driver.run(called(self._driver.settings, *map(plain_id, args), **_plain(kwargs)))

    return presented_as(method, flow)


def paging(
    flow: Callable[Concatenate[Settings, P], Flow[Page[T]]],
) -> Callable[Concatenate[Any, P], Listing[T]]:
    """A method that lists all objects on the pages that the flow fetches, one page per run."""

    def method(self: Resource, /, *args: P.args, **kwargs: P.kwargs) -> Listing[T]:
        bound: Callable[..., Flow[Page[T]]] = functools.partial(flow, self._driver.settings, *args, **kwargs)
        return Listing(lambda after: self._driver.run(bound(after=after)), _after(kwargs))

    return presented_as(method, flow, Listing)


def apaging(
    flow: Callable[Concatenate[Settings, P], Flow[Page[T]]],
) -> Callable[Concatenate[Any, P], AsyncListing[T]]:
    """The same, for `async for`."""

    def method(self: AsyncResource, /, *args: P.args, **kwargs: P.kwargs) -> AsyncListing[T]:
        bound: Callable[..., Flow[Page[T]]] = functools.partial(flow, self._driver.settings, *args, **kwargs)
        return AsyncListing(lambda after: self._driver.run(bound(after=after)), _after(kwargs))

    return presented_as(method, flow, AsyncListing)


def _plain(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: plain_id(value) for name, value in arguments.items()}


def _after(arguments: dict[str, Any]) -> str | None:
    after: str | None = plain_id(arguments.get("after"))
    return after


def presented_as(method: M, flow: Callable[..., Any], of_pages: Any = None, returned: Any = None) -> M:
    """The method with the flow's name, docstring and parameters, and with its own return type."""
    presented: Any = functools.update_wrapper(method, flow)
    del presented.__wrapped__
    signature = _signature_of(flow)
    first, *rest = signature.parameters.values()
    returned = returned or signature.return_annotation.__args__[-1]
    if of_pages is not None:
        returned = of_pages[returned.__args__]
    owner = first.replace(name="self", annotation=inspect.Parameter.empty)
    presented.__signature__ = signature.replace(
        parameters=[owner, *rest], return_annotation=None if returned is type(None) else returned
    )
    return method


@functools.cache
def _signature_of(flow: Callable[..., Any]) -> inspect.Signature:
    """The flow's signature, computed once for both clients."""
    return inspect.signature(flow, eval_str=True)
