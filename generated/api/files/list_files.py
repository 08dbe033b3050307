# Written by openapi-python-client from openapi.yaml; `make generate` rebuilds it. Edits are lost.
from http import HTTPStatus
from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.list_files_order import ListFilesOrder
from ...models.list_files_response import ListFilesResponse
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    after: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    order: ListFilesOrder | Unset = UNSET,
    purpose: str | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["after"] = after

    params["limit"] = limit

    json_order: str | Unset = UNSET
    if not isinstance(order, Unset):
        json_order = order

    params["order"] = json_order

    params["purpose"] = purpose

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/files",
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ListFilesResponse | None:
    if response.status_code == 200:
        response_200 = ListFilesResponse.from_dict(response.json())

        return response_200

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ListFilesResponse]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    after: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    order: ListFilesOrder | Unset = UNSET,
    purpose: str | Unset = UNSET,
) -> Response[ListFilesResponse]:
    """List files, one page at a time.

    Args:
        after (str | Unset): Cursor; the page begins behind the file with this id.
        limit (int | Unset): Files on a page, from 1 to 10,000; the service takes 10,000 where
            none is given.
        order (ListFilesOrder | Unset): Direction by time of creation; the service takes `desc`,
            newest first, where none is given.
        purpose (str | Unset): Show files of this purpose only.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ListFilesResponse]
    """

    kwargs = _get_kwargs(
        after=after,
        limit=limit,
        order=order,
        purpose=purpose,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    after: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    order: ListFilesOrder | Unset = UNSET,
    purpose: str | Unset = UNSET,
) -> ListFilesResponse | None:
    """List files, one page at a time.

    Args:
        after (str | Unset): Cursor; the page begins behind the file with this id.
        limit (int | Unset): Files on a page, from 1 to 10,000; the service takes 10,000 where
            none is given.
        order (ListFilesOrder | Unset): Direction by time of creation; the service takes `desc`,
            newest first, where none is given.
        purpose (str | Unset): Show files of this purpose only.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ListFilesResponse
    """

    return sync_detailed(
        client=client,
        after=after,
        limit=limit,
        order=order,
        purpose=purpose,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    after: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    order: ListFilesOrder | Unset = UNSET,
    purpose: str | Unset = UNSET,
) -> Response[ListFilesResponse]:
    """List files, one page at a time.

    Args:
        after (str | Unset): Cursor; the page begins behind the file with this id.
        limit (int | Unset): Files on a page, from 1 to 10,000; the service takes 10,000 where
            none is given.
        order (ListFilesOrder | Unset): Direction by time of creation; the service takes `desc`,
            newest first, where none is given.
        purpose (str | Unset): Show files of this purpose only.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ListFilesResponse]
    """

    kwargs = _get_kwargs(
        after=after,
        limit=limit,
        order=order,
        purpose=purpose,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    after: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    order: ListFilesOrder | Unset = UNSET,
    purpose: str | Unset = UNSET,
) -> ListFilesResponse | None:
    """List files, one page at a time.

    Args:
        after (str | Unset): Cursor; the page begins behind the file with this id.
        limit (int | Unset): Files on a page, from 1 to 10,000; the service takes 10,000 where
            none is given.
        order (ListFilesOrder | Unset): Direction by time of creation; the service takes `desc`,
            newest first, where none is given.
        purpose (str | Unset): Show files of this purpose only.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ListFilesResponse
    """

    return (
        await asyncio_detailed(
            client=client,
            after=after,
            limit=limit,
            order=order,
            purpose=purpose,
        )
    ).parsed
