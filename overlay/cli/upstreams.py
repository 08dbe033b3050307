"""What `overlay serve --upstream` is told of the servers behind it, as a source of answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import typer

from overlay.errors import ConfigurationError
from overlay.wire.environment import variable

KEY_VARIABLE = "OVERLAY_UPSTREAM_API_KEY"


@attrs.frozen(kw_only=True)
class Behind:
    """The options that concern `--upstream`, as they were typed."""

    urls: list[str]
    at_once: str
    key_file: Path | None
    tries: int
    timeout: float
    priority: str | None
    pass_token: bool
    allow_insecure: bool

    def source(self, *, guarded: bool) -> Any:
        """`guarded` says that clients need a token of ours, which no server behind should see.

        Raises `typer.BadParameter`, and `ConfigurationError` for a file without a key.
        """
        from overlay.server.upstreams.address import read_at_once  # noqa: PLC0415 - the extra may not be installed
        from overlay.server.upstreams.forwarding import upstream  # noqa: PLC0415

        try:
            at_once = read_at_once(self.at_once)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--at-once") from None
        key_file = self._readable_key_file()
        pass_token = True if self.pass_token else False if guarded else None
        try:
            return upstream(
                self.urls,
                api_key=variable(KEY_VARIABLE) or None,
                key_file=key_file,
                at_once=at_once,
                tries=self.tries,
                timeout=self.timeout,
                priority=self.priority,
                pass_token=pass_token,
                allow_insecure=self.allow_insecure,
            )
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--upstream") from None

    def _readable_key_file(self) -> Path | None:
        if self.key_file is None:
            return None
        from overlay.server.upstreams.keys import read_key  # noqa: PLC0415

        try:
            read_key(self.key_file)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "does not hold a key: one line of ASCII"
            raise ConfigurationError(f"--upstream-key-file {self.key_file}: {reason}") from None
        return self.key_file
