"""Webhooks: that a batch has ended is posted to a URL, signed, and again until it is taken.

The event is stored with the status that it tells of, in one transaction, so that it is sent at least once whenever
the service is killed, under an id that stays the same. Its form and its headers are OpenAI's:
https://platform.openai.com/docs/guides/webhooks.
"""

import logging
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec

from overlay.errors import ConfigurationError
from overlay.server.clock import Timeline
from overlay.server.disk import NoRoomError
from overlay.server.engine.store import Store
from overlay.server.objects import FINAL, Batch, new_id
from overlay.signatures import sign
from overlay.version import VERSION

logger = logging.getLogger("overlay.server")

_TABLE = """CREATE TABLE IF NOT EXISTS webhooks (
    id TEXT PRIMARY KEY,
    at REAL NOT NULL,
    body BLOB NOT NULL
)"""
_AFTER = (0.0, 5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 86_400.0, 172_800.0, 259_200.0)
"""When an event is posted, in seconds after it came about: for 72 hours, as OpenAI does."""
_WITHIN = 15.0
_TAKEN = range(200, 300)


@dataclass(frozen=True)
class Webhook:
    """Where events of batches are posted to, an http or https URL, and the secret that signs them: `whsec_` and 16
    to 128 bytes in Base64.
    """

    url: str
    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        """Raises ConfigurationError for a URL or a secret that is none."""
        sign(b"", "", self.secret)
        wrong = f"a webhook's URL is an http or https one, and this is {self.url!r}"
        try:
            parts = urlsplit(self.url)
        except ValueError:
            raise ConfigurationError(wrong) from None
        if parts.username is not None:  # not quoted: it is a secret
            raise ConfigurationError("a webhook's URL has no user: what is posted is signed")
        if parts.scheme not in {"http", "https"} or not parts.hostname or not self.url.isprintable():
            raise ConfigurationError(wrong)


class Events:
    """What is told of batches, and to whom. Belongs to one event loop."""

    def __init__(self, store: Store, timeline: Timeline, webhook: Webhook | None) -> None:
        self._store = store
        self._timeline = timeline
        self._webhook = webhook
        self._session: aiohttp.ClientSession | None = None
        self._sending: set[str] = set()
        if webhook is not None:
            store.execute(_TABLE)

    def note(self, batch: Batch) -> None:
        """Store the event of a batch, if it has ended, in the transaction that ends it. Raises `NoRoomError`."""
        if self._webhook is None or batch.status not in FINAL:
            return
        now = self._timeline.now()
        event = {
            "id": f"evt_{new_id()}",
            "object": "event",
            "created_at": int(now),
            "type": f"batch.{batch.status}",
            "data": {"id": batch.id},
        }
        row = (f"wh_{new_id()}", now, msgspec.json.encode(event))
        self._store.execute("INSERT INTO webhooks (id, at, body) VALUES (?, ?, ?)", row)

    def send(self) -> None:
        """Post what is stored and not yet on its way."""
        if self._webhook is None:
            return
        for name, at, body in self._store.execute("SELECT id, at, body FROM webhooks ORDER BY at").fetchall():
            if name not in self._sending:
                self._sending.add(name)
                self._timeline.start(self._deliver(self._webhook, name, at, body))

    async def close(self) -> None:
        """End the connections, once nothing is being sent any more."""
        if self._session:
            await self._session.close()

    async def _deliver(self, webhook: Webhook, name: str, at: float, body: bytes) -> None:
        now = self._timeline.now()
        # Of the times that passed while the service was down, one is made up for.
        due = [now, *(at + after for after in _AFTER[1:] if at + after > now)]
        for moment in due:
            await self._timeline.sleep_until(moment)
            trouble = await self._post(webhook, name, body)
            if trouble is None:
                break
            logger.warning("webhook %s: %s", name, trouble)
        else:
            logger.error("webhook %s is given up: it was posted %d times", name, len(due))
        try:
            self._store.execute("DELETE FROM webhooks WHERE id = ?", (name,))
        except NoRoomError as error:
            logger.warning("webhook %s may be sent once more: %s", name, error)
        self._sending.discard(name)

    async def _post(self, webhook: Webhook, name: str, body: bytes) -> str | None:
        """Post it once; returns what went wrong."""
        # By the machine's time: whoever verifies it has no other, wherever the service's own may be.
        headers = {
            **sign(body, name, webhook.secret),
            "Content-Type": "application/json",
            "User-Agent": f"overlay-server/{VERSION}",
        }
        parts = urlsplit(webhook.url)
        proxy = None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
        try:
            # A redirect is not followed: the event is for whom the operator has named.
            async with self._open().post(
                webhook.url, data=body, headers=headers, allow_redirects=False, proxy=proxy
            ) as response:
                return None if response.status in _TAKEN else f"{parts.hostname} answered {response.status}"
        except TimeoutError:
            return f"{parts.hostname} did not answer within {_WITHIN:.0f} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return f"{parts.hostname} could not be reached: {type(error).__name__}"

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=_WITHIN)
            )
        return self._session
