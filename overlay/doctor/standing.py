"""What can be told without paying: key, address, clock, home, extras and limits."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from datetime import datetime
from importlib.util import find_spec

from overlay.client import Client
from overlay.doctor.findings import Finding, note, ok, wrong
from overlay.errors import (
    APIConnectionError,
    APIError,
    AuthenticationError,
    NotFoundError,
    OverlayError,
    PermissionDeniedError,
    TokenProviderError,
    UnsupportedError,
)
from overlay.jobs.home import home_id, job_names
from overlay.version import VERSION
from overlay.wire.connection import Settings
from overlay.wire.refusals import http_date

_EXTRAS = {"cli": ("typer", "rich"), "serve": ("starlette", "uvicorn", "python_multipart")}
_SKEW_SECONDS = 30.0
_LITTLE_DISK = 2_000_000_000


def standing(client: Client, settings: Settings, *, key_from: str) -> Iterator[Finding]:
    """Check what needs no batch, with one call. `key_from` says where the key comes from."""
    yield note("overlay", f"{VERSION} on Python {platform.python_version()}, {platform.system()}")
    yield from _extras()
    profile = settings.service
    where = f"{profile} at {settings.base_url}"
    yield note("service", f"{where}; {profile.source}, read {profile.read}" if profile.source else where)
    yield from _call(client, settings, key_from)
    yield from _clock(settings)
    yield from _home(settings)
    limits = profile.limits
    requests = f"{limits.requests:,}" if limits.requests is not None else "any number of"
    size = f"{limits.bytes / 1e6:,.0f} MB" if limits.bytes is not None else "any size"
    yield note("limits", f"{requests} requests and {size} a file; windows {', '.join(profile.windows[:4])}")


def _extras() -> Iterator[Finding]:
    for name, modules in _EXTRAS.items():
        missing = [module for module in modules if find_spec(module) is None]
        if missing:
            yield note("extras", f"{name} is not installed: pip install 'openai-batch-overlay[{name}]'")
        else:
            yield ok("extras", f"{name} is installed")


def _call(client: Client, settings: Settings, key_from: str) -> Iterator[Finding]:
    began = settings.clock.monotonic()
    try:
        page = next(iter(client.batches.list(limit=1).pages()), None)
    except UnsupportedError as error:
        yield note("address", f"not tried: {error}")
    except (AuthenticationError, PermissionDeniedError) as error:
        yield ok("address", f"{settings.host} answers")
        yield wrong("key", f"the service refuses the one from {key_from}: {error}")
    except TokenProviderError as error:
        yield wrong("key", str(error))
    except APIConnectionError as error:
        yield wrong("address", f"{error}; check base_url, the proxy and the network")
    except NotFoundError as error:
        yield wrong("address", f"{error}; does the base URL end as the service documents it, with /v1 say?")
    except APIError as error:
        yield wrong("list of batches", str(error))
    else:
        took = settings.clock.monotonic() - began
        yield ok("address", f"{settings.host} answered in {took:.2f} s")
        yield ok("key", f"the one from {key_from} is taken")
        count = len(page.data) if page is not None else 0
        yield ok("list of batches", "it has batches" if count else "it is empty, and can be read")


def _clock(settings: Settings) -> Iterator[Finding]:
    header, seen_at = settings.server_date or (None, 0.0)
    date = http_date(header)
    if date is None:
        yield note("clock", "the service does not say what time it is")
        return
    at = settings.clock.time() - (settings.clock.monotonic() - seen_at)
    skew = at - date.timestamp()
    if abs(skew) <= _SKEW_SECONDS:
        yield ok("clock", "it agrees with the service's")
    else:
        here = datetime.fromtimestamp(at).astimezone()
        yield note(
            "clock",
            f"it says {here:%Y-%m-%d %H:%M}, {abs(skew):,.0f} s {'ahead of' if skew > 0 else 'behind'} the "
            "service's: jobs allow for that, logs will not",
        )


def _home(settings: Settings) -> Iterator[Finding]:
    home = settings.home
    try:
        name = home_id(settings)
        jobs = len(job_names(settings))
    except (OverlayError, OSError) as error:
        yield wrong("home", str(error))
        return
    yield ok("home", f"{settings.home_name}, id {name}, {jobs:,} jobs")
    if settings.object_store is not None:
        return
    free = shutil.disk_usage(home).free
    words = f"{free / 1e9:,.1f} GB free"
    yield (
        note("disk", f"{words}: a job keeps its requests and results")
        if free < _LITTLE_DISK
        else ok("disk", words)
    )
    if not os.access(home, os.W_OK):
        yield wrong("home", f"{home} cannot be written")
