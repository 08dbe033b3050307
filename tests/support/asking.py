"""Bodies of requests to every endpoint that a batch may name, and the echo's answers to them."""

from overlay.server import echo

CHAT, RESPONSES, COMPLETIONS = "/v1/chat/completions", "/v1/responses", "/v1/completions"
EMBEDDINGS, MODERATIONS, VIDEOS = "/v1/embeddings", "/v1/moderations", "/v1/videos"
IMAGES, EDITS = "/v1/images/generations", "/v1/images/edits"
ASKED = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "who is it?"}]
PARTS = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "a cat"},
            {"type": "image_url", "image_url": {"url": "https://x"}},
        ],
    }
]
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA, "strict": True}}
CHAT_TOOLS = [
    {"type": "custom", "custom": {"name": "note"}},
    {"type": "function", "function": {"name": "save", "parameters": SCHEMA}},
    {"type": "function", "function": {"name": "stop"}},
]
TOOLS = [
    {"type": "web_search"},
    {"type": "custom", "name": "note"},
    {"type": "function", "name": "save", "parameters": SCHEMA},
    {"type": "function", "name": "stop", "strict": False, "parameters": {}, "description": "an end"},
]
IMAGE_INPUT = [
    {"type": "text", "text": "x"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
]
BODIES = {
    CHAT: {
        "plain": {},
        "parts": {"messages": PARTS},
        "several": {"n": 3, "temperature": 0.5, "seed": 1, "user": "me", "modalities": ["text"]},
        "logprobs": {"logprobs": True},
        "top logprobs": {"logprobs": True, "top_logprobs": 5, "n": 2},
        "cut": {"max_tokens": 2, "logprobs": True},
        "cut otherwise": {"max_completion_tokens": 1},
        "stopped": {"stop": ["is", "who"]},
        "json_schema": {"response_format": FORMAT, "n": 2},
        "json_object": {"response_format": {"type": "json_object"}},
        "text": {"response_format": {"type": "text"}},
        "tools": {"tools": CHAT_TOOLS},
        "any tool": {"tools": CHAT_TOOLS, "tool_choice": "required", "n": 2},
        "one tool": {"tools": CHAT_TOOLS, "tool_choice": {"type": "function", "function": {"name": "save"}}},
        "function": {
            "functions": [{"name": "save", "parameters": SCHEMA}],
            "function_call": {"name": "save"},
        },
        "cut call": {
            "tools": CHAT_TOOLS,
            "tool_choice": {"type": "function", "function": {"name": "save"}},
            "max_tokens": 1,
        },
    },
    RESPONSES: {
        "plain": {},
        "items": {"input": ASKED, "instructions": "be kind", "metadata": {"k": "v"}},
        "parts": {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a cat"}]}]},
        "cut": {"max_output_tokens": 2},
        "json_schema": {"text": {"format": {"type": "json_schema", "name": "p", "schema": SCHEMA}}},
        "json_object": {"text": {"format": {"type": "json_object"}, "verbosity": "low"}},
        "tools": {"tools": TOOLS},
        "any tool": {"tools": TOOLS, "tool_choice": "required"},
        "one tool": {"tools": TOOLS, "tool_choice": {"type": "function", "name": "save"}},
        "logprobs": {"include": ["message.output_text.logprobs"], "top_logprobs": 3},
        "everything": {
            "background": True,
            "conversation": "conv_1",
            "max_tool_calls": 3,
            "parallel_tool_calls": False,
            "previous_response_id": "resp_1",
            "prompt": {"id": "pmpt_1"},
            "prompt_cache_key": "key",
            "prompt_cache_options": {"mode": "explicit"},
            "prompt_cache_retention": "24h",
            "reasoning": {"effort": "low"},
            "safety_identifier": "me",
            "service_tier": "auto",
            "store": False,
            "temperature": 0,
            "top_p": 0.5,
            "truncation": "auto",
            "user": "me",
        },
    },
    COMPLETIONS: {
        "plain": {"prompt": "who is it?"},
        "nothing": {},
        "list": {"prompt": ["a", "b c"], "n": 2},
        "tokens": {"prompt": [1, 2, 3]},
        "lists of tokens": {"prompt": [[1, 2], [3]], "logprobs": 2},
        "cut": {"prompt": "a b c", "max_tokens": 2, "stop": "x", "logprobs": 0},
        "scored": {"prompt": "a b c", "max_tokens": 0, "echo": True, "logprobs": 1},
    },
    EMBEDDINGS: {
        "plain": {"input": "who is it?"},
        "list": {"input": ["a", "b"], "encoding_format": "float"},
        "tokens": {"input": [1, 2, 3], "dimensions": 5},
        "lists of tokens": {"input": [[1, 2], [3]]},
    },
    MODERATIONS: {
        "plain": {"input": "who is it?"},
        "list": {"input": ["a", "b"]},
        "parts": {"input": IMAGE_INPUT},
    },
    IMAGES: {
        "plain": {"prompt": "a cat"},
        "several": {"prompt": "a cat", "n": 2, "size": "1536x1024", "quality": "high"},
        "auto": {"prompt": "a cat", "size": "auto", "quality": "auto", "output_format": "webp"},
        "url": {"prompt": "a cat", "response_format": "url"},
    },
    EDITS: {"plain": {"prompt": "a cat", "images": [{"file_id": "file-1"}]}},
    VIDEOS: {
        "plain": {"prompt": "a cat"},
        "longer": {"prompt": "a cat", "seconds": "12", "size": "1280x720"},
    },
}
USUAL = {CHAT: {"messages": ASKED}, RESPONSES: {"input": "who is it?"}}


def asked(url, **body):
    answer = echo({"url": url, "body": {"model": "m", **USUAL.get(url, {}), **body}})
    assert isinstance(answer, dict), answer
    return answer
