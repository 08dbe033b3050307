"""Checking a file of requests: with the bodies held against the API's schemas, against without."""

from __future__ import annotations

from benchmarks.measuring import Figure, Side, compare
from benchmarks.setting import Setting
from overlay.requests.request import check_requests
from overlay.services import Limits

_TARGET = 1.8
_ANY_SIZE = Limits(bytes=None)


def bodies(setting: Setting) -> list[Figure]:
    """`check_requests(path, bodies=True)` against the same without bodies."""
    path = setting.upload
    size = path.stat().st_size / 1e6
    what = f"checking {setting.lines:,} requests, {size:,.0f} MB, bodies included"

    def ours() -> int:
        return check_requests(path, limits=_ANY_SIZE, bodies=True).requests

    def plain() -> int:
        return check_requests(path, limits=_ANY_SIZE).requests

    peer = Side("without bodies", plain)
    return [compare(what, Side("ours", ours), peer, rounds=setting.rounds, target=_TARGET)]
