"""Lines of an input file, right ones and, by what is changed, wrong ones."""

import json

BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def line(custom_id="a", **changes):
    """A request; a field given as `...` is left out."""
    fields = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": BODY} | changes
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()
