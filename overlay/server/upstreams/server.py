"""One server: an address with its connections, circuits, capacity and figures."""

import time
from collections.abc import Mapping
from typing import Literal

from overlay.server.upstreams.address import Address, AtOnce
from overlay.server.upstreams.capacity import Capacity
from overlay.server.upstreams.circuit import Circuit
from overlay.server.upstreams.figures import Figures, Health
from overlay.server.upstreams.link import Link, NoReplyError, SlowError, TooLargeError
from overlay.server.upstreams.verdicts import Verdict, judged, no_reply, too_large, too_slow
from overlay.server.upstreams.witness import Witnesses

# Clients name models: those that are well are forgotten beyond so many.
_MOST_CIRCUITS = 500


class Upstream:
    """Belongs to the dispatcher's loop, but for `live`, `live_link` and `health`."""

    def __init__(
        self, address: Address, *, at_once: AtOnce, tries: int, timeout: float, headers: Mapping[str, str]
    ) -> None:
        self.address = address
        self.capacity = Capacity(address.at_once or at_once)
        self.figures = Figures()
        self.in_flight = 0
        self.live = 0
        """Requests passed through that are under way; written by the service's own loop alone."""
        self.probes = 0
        """Under way, of all models."""
        self.link = Link(address.base, address.host, timeout=timeout, headers=headers)
        self.live_link = Link(address.base, address.host, timeout=timeout, headers=headers)
        self._tries = tries
        self._timeout = timeout
        self._circuits: dict[str, Circuit] = {}
        self._witnesses: dict[str, Witnesses] = {}

    def circuit(self, model: str) -> Circuit:
        circuit = self._circuits.get(model)
        if circuit is None:
            if len(self._circuits) >= _MOST_CIRCUITS:
                idle = [name for name, each in self._circuits.items() if not (each.is_open or each.in_flight)]
                for name in idle:
                    del self._circuits[name]
                    self._witnesses.pop(name, None)
            circuit = self._circuits[model] = Circuit(self._tries)
        return circuit

    def reset(self) -> None:
        """Nothing is under way any more."""
        self.in_flight = 0
        self._circuits.clear()

    def witnesses(self, model: str) -> Witnesses:
        return self._witnesses.setdefault(model, Witnesses())

    def serves(self, model: str) -> bool:
        return self.address.model is None or self.address.model == model

    def is_unwell(self, model: str) -> bool:
        """For any thread."""
        circuit = self._circuits.get(model)
        return circuit is not None and circuit.is_open

    @property
    def has_room(self) -> bool:
        return self.in_flight + self.live < self.capacity.limit

    @property
    def load(self) -> float:
        """How busy it is, as a part of what it is given."""
        return (self.in_flight + self.live + 1) / self.address.weight

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes | None,
        key: str | None,
        *,
        within: float | None = None,
        line: bool = True,
    ) -> Verdict:
        """Raises nothing. What is no `line` is not counted."""
        began = time.monotonic()
        host = self.address.host
        try:
            reply = await self.link.ask(method, path, key=key, body=body, within=within)
        except NoReplyError as error:
            verdict = no_reply(str(error))
        except SlowError:
            verdict = too_slow(host, within or self._timeout)
        except TooLargeError:
            verdict = too_large(host)
        else:
            verdict = judged(reply, host, f"{method} {path}")
        if not line:
            return verdict
        self.figures.add(verdict)
        now = time.monotonic()
        self.figures.latencies.add(now - began)
        if verdict.settled:
            self.capacity.answered(now, now - began, self.in_flight + self.live)
        elif verdict.status in {429, 503}:
            self.capacity.pushed_back(now)
        return verdict

    def health(self) -> Health:
        """For any thread."""
        figures, circuits = self.figures, list(self._circuits.items())
        unwell = [(model, each) for model, each in circuits if each.is_open]
        state: Literal["closed", "open", "probing"] = "closed"
        if unwell:
            state = "probing" if any(each.state == "probing" for _, each in unwell) else "open"
        return Health(
            url=self.address.base,
            model=self.address.model,
            state=state,
            waiting_models=sorted(model for model, _ in unwell),
            open_since=min((each.opened_at for _, each in unwell if each.opened_at), default=None),
            weight=self.address.weight,
            at_once=self.capacity.limit,
            auto=self.capacity.auto,
            in_flight=self.in_flight,
            live=self.live,
            per_second=figures.per_second(),
            latency=self.capacity.latency,
            answered=figures.answered,
            refused=figures.refused,
            trouble=figures.trouble,
            slow=figures.slow,
            rate_limited=figures.rate_limited,
            key_refused=figures.key_refused,
            last_error=figures.last_error,
            last_error_at=figures.last_error_at,
        )
