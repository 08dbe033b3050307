"""The check that a batch undergoes before its first line runs.

Every problem of a file is reported, up to a hundred, with the codes that the API uses in `errors.data[].code`.
Clients match on codes and sentences, so both are the real service's where they are known. Known second-hand, from
the tests of an independent server that compare with OpenAI: `invalid_request` for a file, or messages, that are
missing, `missing_required_parameter`, `invalid_url`, `streaming_unsupported`, `model_not_found`, and the sentence
that goes with `invalid_json_line`. The sentences of all other problems are ours.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from overlay.lines import is_array, is_object
from overlay.server.objects import ORGANIZATION, Problem
from overlay.server.settings import Limits

MOST_PROBLEMS = 100
# Endpoints whose body may leave the model to the service.
_MODEL_OPTIONAL = frozenset({"/v1/moderations", "/v1/images/generations", "/v1/images/edits", "/v1/videos"})
# Roughly four bytes of English are a token: https://help.openai.com/en/articles/4936856
_BYTES_PER_TOKEN = 4


@dataclass
class Report:
    """What was found in an input file."""

    total: int = 0
    model: str | None = None
    prompt_tokens: int = 0
    """An estimate, from the size of the lines."""
    inputs: int = 0
    """Texts to embed."""
    problems: list[Problem] = field(default_factory=list[Problem])


def inspect(path: Path, endpoint: str, limits: Limits) -> Report:
    """Read the file once, line by line. Blocks; run it in a thread."""
    report = Report()
    size = path.stat().st_size
    if size == 0:
        report.problems.append(Problem("empty_file", "The input file holds no requests."))
        return report
    if size > limits.max_input_bytes:
        report.problems.append(
            Problem(
                "invalid_request",
                f"The input file has {size} bytes; a batch takes at most {limits.max_input_bytes}.",
            )
        )
        return report
    check = _Check(endpoint, limits, report)
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            report.total = number
            if number > limits.max_requests:
                report.problems.insert(0, _too_many(limits.max_requests))
                break
            if len(report.problems) < MOST_PROBLEMS:
                check.line(number, line)
    del report.problems[MOST_PROBLEMS:]
    return report


def no_file(file_id: str) -> str:
    """What is said of a file that is not there, or is another's."""
    return f"Cannot find file {file_id}, or organization {ORGANIZATION} does not have access to it."


def no_input(file_id: str) -> Problem:
    """The end of a batch whose input file was not there when it was created."""
    return Problem("invalid_request", no_file(file_id), "file_id")


def over_cap(report: Report, enqueued: int, limits: Limits) -> Problem | None:
    """The refusal of a batch that, with `enqueued` tokens of the same model waiting, passes the cap."""
    cap = limits.enqueued_tokens
    if cap is None or enqueued + report.prompt_tokens <= cap:
        return None
    return Problem(
        "token_limit_exceeded",
        # The service's own sentence: clients look for its beginning, and read the cap out of it.
        f"Enqueued token limit reached for {report.model} in organization {ORGANIZATION}. Limit: {cap:,} enqueued"
        " tokens. Please try again once some in_progress batches have been completed.",
    )


def _too_many(most: int) -> Problem:
    return Problem("too_many_tasks", f"The input file holds more than {most:,} requests.")


def _unsupported(model: str) -> str:
    return f"The provided model '{model}' is not supported by the Batch API."


class _Check:
    def __init__(self, endpoint: str, limits: Limits, report: Report) -> None:
        self.endpoint = endpoint
        # Azure takes endpoints without /v1, too.
        self.kind = endpoint if endpoint.startswith("/v1/") else f"/v1{endpoint}"
        self.limits = limits
        self.report = report
        self.seen: set[str] = set()
        self.parts: dict[str, Callable[[int, Any], None]] = {
            "custom_id": self.custom_id,
            "method": self.method,
            "url": self.url,
            "body": self.body,
        }

    def line(self, number: int, line: bytes) -> None:
        most = self.limits.max_line_bytes
        if most is not None and len(line) > most:
            message = f"This line has {len(line)} bytes; a line takes at most {most}."
            self.add(number, "invalid_request", message)
            return
        try:
            request = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.add(number, "invalid_json_line", "This line is not parseable as valid JSON.")
            return
        if not is_object(request):
            self.add(number, "invalid_json_line", "This line is not a JSON object.")
            return
        self.report.prompt_tokens += max(1, len(line) // _BYTES_PER_TOKEN)
        for name, check in self.parts.items():
            part = request.get(name)
            if part is None:
                message = f"Missing required parameter: '{name}'."
                self.add(number, "missing_required_parameter", message, name)
            else:
                check(number, part)

    def method(self, number: int, method: Any) -> None:
        if method != "POST":
            self.add(number, "invalid_request", "The method of a line must be POST.", "method")

    def body(self, number: int, body: Any) -> None:
        if not is_object(body):
            self.add(number, "invalid_request", "The body of a line must be a JSON object.", "body")
            return
        self.model(number, body.get("model"))
        if body.get("stream") is True:
            message = "Streaming is not supported in the Batch API."
            self.add(number, "streaming_unsupported", message, "body.stream")
        if self.kind == "/v1/chat/completions" and body.get("messages") is None:
            self.add(number, "invalid_request", "Messages parameter is required.", "body.messages")
        if self.kind == "/v1/embeddings":
            self.embedding(number, body.get("input"))

    def custom_id(self, number: int, custom_id: Any) -> None:
        if not isinstance(custom_id, str) or not custom_id:
            self.add(number, "invalid_request", "A line needs a custom_id that is not empty.", "custom_id")
        elif self.limits.max_custom_id is not None and len(custom_id) > self.limits.max_custom_id:
            message = f"A custom_id has at most {self.limits.max_custom_id} characters."
            self.add(number, "invalid_request", message, "custom_id")
        elif custom_id in self.seen:
            self.add(number, "duplicate_custom_id", "Another line has the same custom_id.", "custom_id")
        else:
            self.seen.add(custom_id)

    def url(self, number: int, url: Any) -> None:
        # At Azure, a batch for /chat/completions may have lines that say /v1/chat/completions.
        if url in (self.endpoint, self.kind):
            return
        if self.limits.one_endpoint:
            message = "The URL provided for this request does not match the batch endpoint."
        elif isinstance(url, str) and self.limits.takes_endpoint(url):
            return
        else:
            message = "The url of a line must be an endpoint that batches may name."
        self.add(number, "invalid_url", message, "url")

    def model(self, number: int, model: Any) -> None:
        if not self.limits.one_model:
            self.any_model(number, model)
            return
        if model is None and self.kind in _MODEL_OPTIONAL:
            return
        if not isinstance(model, str) or not model:
            self.add(number, "invalid_request", "The body needs a model.", "body.model")
        elif self.limits.models is not None and model not in self.limits.models:
            self.add(number, "model_not_found", _unsupported(model), "body.model")
        elif self.report.model is None:
            self.report.model = model
        elif model != self.report.model:
            self.add(
                number,
                "model_mismatch",
                f"All lines must have one model, and the first has {self.report.model!r}.",
                "body.model",
            )

    def any_model(self, number: int, model: Any) -> None:
        """Lines may differ; the batch has a model where they do not."""
        name, known = model if isinstance(model, str) else None, self.limits.models
        if name is not None and known is not None and name not in known:
            self.add(number, "model_not_found", _unsupported(name), "body.model")
        self.report.model = name if self.report.total == 1 or name == self.report.model else None

    def embedding(self, number: int, value: Any) -> None:
        # A list of numbers is one tokenized input.
        several = is_array(value) and len(value) > 0 and not isinstance(value[0], int)
        before, most = self.report.inputs, self.limits.max_embedding_inputs
        self.report.inputs += len(value) if several else 1
        if before <= most < self.report.inputs:
            self.add(
                number, "invalid_request", f"The batch has more than {most:,} embedding inputs.", "body.input"
            )

    def add(self, number: int, code: str, message: str, param: str | None = None) -> None:
        self.report.problems.append(Problem(code, message, param, number))
