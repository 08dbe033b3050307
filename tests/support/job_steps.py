"""Requests for jobs, and what a job has left behind."""

import json

from overlay import Request


def chat(custom_id, text="hi", *, model="m", **fields):
    return Request(custom_id, {"model": model, "messages": [{"role": "user", "content": text}]}, **fields)


def chats(count, *, models=1):
    """So many requests, in turn to each of the models."""
    return [chat(f"r{number}", f"ask {number}", model=f"m{number % models}") for number in range(count)]


async def asynchronously(items):
    for item in items:
        yield item


def nothing_is_left(api):
    """Whether neither a job nor a spool is in the home folder."""
    home = api.settings.home
    return not [
        path for name in ("jobs", "spool") if (home / name).exists() for path in (home / name).iterdir()
    ]


def custom_ids(results):
    return [result.custom_id for result in results]


def written(path, requests):
    """A file of requests as somebody else's program would write it."""
    lines = (json.loads(request.to_line()) for request in requests)
    path.write_text("".join(json.dumps(dict(reversed(line.items())), indent=None) + "\n" for line in lines))
    return path
