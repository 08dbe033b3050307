"""Lines of an output or error file, as the Batch API documents them and as others write them."""

import json

CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
}


def chat(text):
    """A chat completion that says this."""
    return {"choices": [{"message": {"content": text}}]}


def answer(custom_id="a", body=CHAT, *, status_code=200, error=None, **changes):
    """A line; a field given as `...` is left out."""
    response = {"status_code": status_code, "request_id": f"req-{custom_id}", "body": body}
    response = {name: value for name, value in response.items() if value is not ...}
    fields = {"id": f"batch_req_{custom_id}", "custom_id": custom_id, "response": response, "error": error}
    fields |= changes
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


def failure(custom_id="a", code="rate_limit_exceeded", status_code=429):
    """A line of a request that ran and failed."""
    return answer(custom_id, {"error": {"code": code, "message": "slow down"}}, status_code=status_code)
