"""Answers from real OpenAI-compatible servers: what turns a vLLM, llama.cpp or Ollama into a Batch API.

Each line's body goes to its url at a server, byte for byte, and what the server answers stands in the output: see
`overlay.server.upstreams` for which server that is, and for what becomes of failures. Which endpoints and models
there are is for the servers to say: their list of models is passed on, and a file may name any path (`/v1/score`,
`/v1/rerank`) and several models unless limits say otherwise.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from overlay.server.answers.source import Outcome, Work
from overlay.server.settings import Limits
from overlay.server.upstreams.address import Address, read_address
from overlay.server.upstreams.background import Background
from overlay.server.upstreams.dispatcher import Dispatcher
from overlay.server.upstreams.figures import Health
from overlay.server.upstreams.keys import OwnKey
from overlay.server.upstreams.model_lists import ModelLists
from overlay.server.upstreams.server import Upstream


def upstream(
    url: str | Sequence[str],
    *,
    api_key: str | None = None,
    key_file: Path | None = None,
    at_once: int | Literal["auto"] = 16,
    tries: int = 5,
    timeout: float = 600.0,
    headers: Mapping[str, str] | None = None,
    priority: str | None = None,
    pass_token: bool | None = None,
    allow_insecure: bool = False,
    hurry: float = 1.0,
) -> "Forwarding":
    """Answer lines by forwarding them to the server at `url`, with or without a last `/v1`.

    - `url` may be several, each `[MODEL=]URL[;weight=2][;at-once=64]`: the least loaded of those that serve a
      line's model gets it, and one that does not answer is left out until it does. One with a MODEL serves that
      and no other; where any has a line's model, those that have none do not get it.
    - `api_key`, or what stands in `key_file`, is sent as the bearer token. `pass_token` sends on the token of
      whoever created the batch instead, which is kept in memory alone: after a restart, such a batch waits until it
      is seen again. None does so where there is no other key.
    - At most `at_once` lines are under way at each server; "auto" finds out how many it does well with.
    - `tries`: how often a line may fail while others succeed; one answer may take `timeout` seconds.
    - `priority` is a key of a batch's metadata: those with a higher whole number there go first.
    - `hurry` is what the waits between probes and attempts are multiplied with, for tests.

    Raises `ValueError` for what is not an http or https URL, for plain http to another machine without
    `allow_insecure`, and for a file without a key; `OSError` for one that cannot be read.
    """
    addresses = [read_address(each) for each in ([url] if isinstance(url, str) else url)]
    if not addresses:
        raise ValueError("an upstream is an http or https URL, and there is none")
    for address in addresses:
        if address.insecure and not allow_insecure:
            raise ValueError(
                f"{address.base} is plain http to another machine: the key and all requests can be read on the"
                " way: use https, or allow_insecure (--allow-insecure)"
            )
    if tries < 1 or not 0 < timeout < float("inf"):
        raise ValueError("tries is 1 or more, and timeout is a number of seconds above 0")
    return Forwarding(
        addresses,
        OwnKey(api_key, file=key_file),
        at_once=at_once,
        tries=tries,
        timeout=timeout,
        headers=headers or {},
        priority=priority,
        pass_token=pass_token,
        hurry=hurry,
    )


class Forwarding:
    """A source of answers; made by `upstream`."""

    batch_of = 1
    limits = Limits.lenient()
    """What a service refuses by itself, unless it is given other limits."""

    def __init__(
        self,
        addresses: Sequence[Address],
        key: OwnKey,
        *,
        at_once: int | Literal["auto"],
        tries: int,
        timeout: float,
        headers: Mapping[str, str],
        priority: str | None,
        pass_token: bool | None,
        hurry: float,
    ) -> None:
        self.key = key
        self.priority = priority
        self._pass_token = pass_token
        self.servers = [
            Upstream(each, at_once=at_once, tries=tries, timeout=timeout, headers=headers)
            for each in addresses
        ]
        self.at_once = sum(each.capacity.limit for each in self.servers)
        self._models = ModelLists(self.servers)
        self._dispatcher = Dispatcher(self.servers, key, hurry=hurry)
        self._background = Background("overlay-upstream")

    def __repr__(self) -> str:
        return f"upstream({', '.join(str(each.address) for each in self.servers)!r})"

    @property
    def passes_tokens(self) -> bool:
        """Whether clients' own tokens are sent on."""
        return self.key.value is None if self._pass_token is None else self._pass_token

    def key_for(self, token: str | None) -> str | None:
        """What a server behind is sent on behalf of a client with that token."""
        return token if self.passes_tokens else self.key.value

    def for_live(self, model: str) -> list[Upstream]:
        """The servers that a live request may go to: the best first."""
        named = [each for each in self.servers if each.address.model == model]
        able = named or [each for each in self.servers if each.serves(model) or not model]
        return sorted(able, key=lambda each: (each.is_unwell(model), each.load))

    async def drive(self, work: Work) -> None:
        """Return when every line of the work has its answer. Cancelled, no line is left half written."""
        await self._background.run(lambda: self._dispatcher.run(work))

    async def answer(self, lines: Sequence[bytes], token: str | None) -> Sequence[Outcome]:
        raise NotImplementedError("lines are driven, not answered one by one")

    def health(self) -> list[Health]:
        """How each server is, now; for any thread."""
        return [each.health() for each in self.servers]

    def reload_key(self) -> bool:
        """Read the key's file again; what waited for a key goes on. Returns whether it is another one."""
        changed = self.key.reload()
        self.keys_changed()
        return changed

    def keys_changed(self) -> None:
        """A batch's token is known, or there is another key."""
        self._background.call(self._dispatcher.keys_changed)

    def woken(self) -> None:
        """There is room that was taken before."""
        self._background.call(self._dispatcher.wake)

    async def models(self, name: str | None, token: str | None) -> tuple[int, bytes]:
        """The servers' list of models, or the model of that name: see `ModelLists.models`."""
        return await self._models.models(name, self.key_for(token))

    async def drain(self, within: float) -> None:
        """Send no more lines, and return when those under way are answered, or after so many seconds."""
        await self._background.run(lambda: self._dispatcher.drain(within))

    async def close(self) -> None:
        await self._background.stop(self._dispatcher.close)
        for each in self.servers:
            await each.live_link.close()
