"""The bytes of a document, from a path or an https URL, bounded in size and time."""

import time
from pathlib import Path

import httpx

from tools.upstream.refusal import Refused

# Ten times the size of the newest document (3.4 MB in August 2026).
LARGEST = 32 * 1024 * 1024
SECONDS = 60.0


def fetch(source: str, *, transport: httpx.BaseTransport | None = None) -> bytes:
    """What *source* holds: a file of at most 32 MiB, or an https URL that answers within a minute.

    Raises:
        Refused: There is no such file, the URL does not answer, or the document is too large or too slow.

    """
    if source.startswith("https://"):
        return _download(source, transport)
    if "://" in source:
        raise Refused(f"{source} is neither a path nor an https URL")
    try:
        with Path(source).open("rb") as file:
            # Not by its size, which a device or a pipe does not have.
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise Refused(f"{source} cannot be read: {error.strerror or error}") from error
    if len(data) > LARGEST:
        raise _too_large(source)
    return data


def _download(url: str, transport: httpx.BaseTransport | None) -> bytes:
    deadline = time.monotonic() + SECONDS
    parts = bytearray()
    # An encoded body could be a bomb, and a document that is fetched once gains nothing from it.
    headers = {"Accept-Encoding": "identity"}
    try:
        with (
            httpx.Client(
                timeout=10.0,
                follow_redirects=True,
                max_redirects=5,
                headers=headers,
                transport=transport,
                event_hooks={"request": [_only_https]},
            ) as client,
            client.stream("GET", url) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise Refused(f"{url} answers {response.status_code}")
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise Refused(f"{url} answers with an encoded body, which was not requested")
            for part in response.iter_raw():
                parts += part
                if len(parts) > LARGEST:
                    raise _too_large(url)
                if time.monotonic() > deadline:
                    raise Refused(f"{url} did not finish within {SECONDS:.0f} seconds")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Refused(f"{url} cannot be fetched: {str(error) or type(error).__name__}") from error
    return bytes(parts)


def _only_https(request: httpx.Request) -> None:
    if request.url.scheme != "https":
        raise Refused(f"{request.url.host} redirects to an address that is not https")


def _too_large(source: str) -> Refused:
    return Refused(
        f"{source} is larger than {LARGEST // 1024 // 1024} MiB, so it is not a document of this API"
    )
