"""Somebody to whom webhooks are posted."""

import json
from base64 import b64encode

from overlay import webhooks

SECRET = "whsec_" + b64encode(b"k" * 24).decode()


class Inbox:
    """Keeps the webhooks that come, and answers them with what is said, at last with 204."""

    def __init__(self, *statuses):
        self.statuses = list(statuses)
        self.got = []

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return
        body = (await receive())["body"]
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.got.append((webhooks.verify(body, headers, SECRET), json.loads(body), headers))
        status = self.statuses.pop(0) if self.statuses else 204
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body"})

    @property
    def ids(self):
        return [name for name, _, _ in self.got]

    @property
    def types(self):
        return [event["type"] for _, event, _ in self.got]

    @property
    def subjects(self):
        """The ids of what the events are about."""
        return [event["data"]["id"] for _, event, _ in self.got]
