"""What `map` of each engine takes besides the dataset and the template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any, TypedDict

from overlay.client import Client
from overlay.jobs.opening import OnChange
from overlay.progress.showing import Shown
from overlay.results.matching import Match
from overlay.services import Limits
from overlay.wire.clock import Seconds


class MapOptions(TypedDict, total=False):
    """- `staging`: a path that all machines share, or an address such as `s3://bucket/staging`, where requests and
      answers are kept; by default a folder of the driver's home, which serves where all workers are on its machine.
    - `client`: a function that makes a Client on each worker, with the token of the worker's environment: `Client`
      itself by default, or `functools.partial(Client, service="together")`. No token may be in it.
    - `prefix` comes before the names of the columns that the answers add.
    - `limits` and what else a job takes are as for `client.jobs.submit`; `timeout` is how long to wait at most.
    """

    staging: str | PathLike[str] | None
    client: Callable[[], Client]
    prefix: str
    limits: Limits | None
    max_enqueued_tokens: int | None
    completion_window: str
    metadata: Mapping[str, str] | None
    output_expires_after: Seconds | None
    max_enqueued_inputs: int | None
    max_batches: int | None
    max_creates_per_hour: int
    max_attempts: int
    delete_files: bool
    grace: Seconds
    poll: Seconds
    match: Match | None
    timeout: Seconds | None
    on_change: OnChange | None
    progress: Shown
    extra_body: Mapping[str, Any] | None
    extra_query: Mapping[str, Any] | None
