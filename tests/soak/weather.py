"""The embedded service, and what is wrong with it; and an account of every request that it was paid to answer."""

import threading
from collections import Counter
from typing import Any

import attrs

from overlay.server import Delay, Fault, LagList, LateAccept, Linger, Pace, Reject, Reset, Service, Silence


@attrs.frozen
class Weather:
    """What is wrong with a service, in seconds."""

    late: float
    """How late it accepts some of the creates, after the client has been told something else, or nothing."""
    lag: float
    """For how long the list does not show a batch."""
    linger: float
    """For how long a deleted input file can still be named by a new batch."""
    told: Any
    """What the client is told about a late create."""
    grace: float
    """How long the job searches for a lost create."""
    part: float = 0.3
    """The part of the creates that are accepted late."""

    @property
    def settled(self) -> float:
        """Seconds after which nothing that was asked for before can still come to be, or to light."""
        return self.late + self.lag + self.linger


def weathers(count: int, scale: float) -> list[Weather]:
    """So many, with late accepts and lags from 1 to 5 seconds, times `scale`.

    Every other lets deleted files linger. Every eighth accepts later than the job searches, so that only the
    deletion of the input file stands between it and a second batch.
    """
    found = []
    for number in range(count):
        late, lag = 1.0 + number % 5, 1.0 + number * 2 % 5
        told = (Reset(), Reject(503, message="overloaded"), Silence(late * scale / 2))[number % 3]
        linger = 2.0 + number % 4 if number % 2 else 0.0
        # The longest that a batch can take to show, and something for the machine being busy.
        grace = 12.0
        if number % 8 == 6:
            late, lag, grace = 5.0, 1.0, 3.0
        found.append(Weather(late * scale, lag * scale, linger * scale, told, grace * scale))
    return found


class TroubledService:
    """A service with weather, that fails some lines the first time they are asked."""

    def __init__(self, weather: Weather | None, scale: float) -> None:
        self.answers: Counter[str] = Counter()
        """How often each custom_id was answered, which is what costs money."""
        self.late: Fault | None = None
        self._guard = threading.Lock()
        second = scale
        pace = Pace(
            validating=0.1 * second, in_progress=second, finalizing=0.1 * second, cancelling=0.3 * second
        )
        self.service = Service(self._answer, pace=pace)
        faults = self.service.faults
        if weather is not None:
            faults.add("GET /batches", LagList(weather.lag), times=None)
            effect = LateAccept(weather.late, weather.told)
            self.late = faults.add("POST /batches", effect, times=None, rate=weather.part)
            # Accepted at once, and answered late: time to die between the two.
            faults.add("POST /batches", Delay(after=weather.late / 2), times=None, rate=0.25)
            if weather.linger:
                faults.add("DELETE /files/*", Linger(weather.linger), times=None)

    def _answer(self, line: dict[str, Any]) -> Any:
        name = line["custom_id"]
        with self._guard:
            self.answers[name] += 1
            times = self.answers[name]
        if fails_once(name) and times == 1:
            return 503, {"error": {"message": "busy", "type": "server_error"}}
        question = line["body"]["messages"][0]["content"]
        return {
            "choices": [{"message": {"role": "assistant", "content": question}}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        }


def fails_once(custom_id: str) -> bool:
    """Whether a request fails the first time, so that it is rightly sent twice."""
    return int(custom_id.split("/")[1]) % 12 == 7
