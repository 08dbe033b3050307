"""A Batch API inside the process, on a clock that the test moves: every batch ends when and how the test says.

It accepts late, hides what is new, forgets, and keeps a deleted file usable, each for as long as it is told to.
"""

import json
import re
import threading
from collections import deque
from urllib.parse import parse_qs

import attrs
import httpx

from overlay.operations.marks import mark_of

ENDED = frozenset({"completed", "failed", "expired", "cancelled"})


@attrs.define
class StoredFile:
    id: str
    content: bytes
    name: str
    purpose: str
    created_at: float
    deleted_at: float | None = None


@attrs.define
class StoredBatch:
    id: str
    body: dict
    created_at: float
    visible_at: float
    status: str = "in_progress"
    lines: list = attrs.field(factory=list, repr=False)
    tokens: int = 0
    output: str | None = None
    error: str | None = None
    answered: int = 0
    good: set = attrs.field(factory=set, repr=False)
    problems: list | None = None
    fails_at: float = float("inf")
    """When a batch fails whose input file was not there."""
    injected: bool = False
    forgotten: bool = False

    @property
    def live(self):
        return self.status not in ENDED

    def shares(self, other):
        """Whether some of its requests, in the same generation of the same job, are the other's, too."""
        named = {line["custom_id"] for line in self.lines}
        ours, theirs = mark_of(self.body["metadata"]), mark_of(other.body["metadata"])
        if ours is None or theirs is None or ours.job is None:
            return False
        same = (ours.home, ours.job, ours.generation) == (theirs.home, theirs.job, theirs.generation)
        return same and any(line["custom_id"] in named for line in other.lines)

    @property
    def key(self):
        """The job, shard and generation that it is of."""
        mark = mark_of(self.body["metadata"])
        return (mark.job, str(mark.shard), str(mark.generation)) if mark else (None, None, None)

    @property
    def unit(self):
        """The same, and the part, and whose job it is."""
        mark = mark_of(self.body["metadata"])
        return mark and (mark.home, mark.job, mark.key)


class FakeService:
    """`transport` is for a client."""

    def __init__(self, clock):
        self.clock = clock
        self.files = {}
        self.batches = {}
        self.log = []
        self.creates = deque()
        """What happens to the next creates: None, or ("late", seconds), ("lost",), ("accepted", status)."""
        self.padding = 0
        """Bytes that every answer has more than it needs."""
        self.lag = 0.0
        self.linger = 0.0
        self.failing_after = None
        """After how many seconds a batch fails whose input file is not there; None refuses its creation."""
        self.down = False
        self.fails_without_file = False
        """Whether a create that names a deleted file is answered with a batch, which fails, as OpenAI does."""
        self.keeps_metadata = True
        self.oldest_first = False
        self.odd = []
        """Entries that the list begins with, whatever they are."""
        self.stale = 0.0, []
        """Until when the list is stale, and what it shows until then."""
        self.enqueued_tokens = None
        """How many prompt tokens of a model may be waiting; a batch over it fails."""
        self.states_limit = False
        """Whether the refusal says how many."""
        self.most_enqueued = 0
        """Of one model, at any time."""
        self.late = []
        self.several_live = []
        self.transport = httpx.MockTransport(self.handle)
        self._ids = 0
        self._one_at_a_time = threading.Lock()

    # What the test does.

    def live(self):
        """The batches that run, or may."""
        return [batch for batch in self.batches.values() if batch.live and batch.lines]

    def complete(self, batch, status_of=lambda custom_id: 200):
        self._answer(batch, [(line, status_of(line["custom_id"])) for line in batch.lines])
        batch.status = "completed"

    def expire(self, batch, answered, *, status="expired", told=True):
        """Ends with so many lines answered; the others are said to have expired, or not spoken of."""
        rest = [(line, f"batch_{status}") for line in batch.lines[answered:]] if told else []
        self._answer(batch, [(line, 200) for line in batch.lines[:answered]] + rest)
        batch.status = status

    def fail(self, batch, code="token_limit_exceeded", **fields):
        batch.problems = [{"code": code, "message": f"{code}: no", "line": None, "param": None} | fields]
        batch.status = "failed"

    def inject_duplicate(self, batch):
        """A second batch of the same file comes to be, and nobody knows where from."""
        return self._accept(dict(batch.body), injected=True)

    def somebody_creates(self, file_id, metadata=None):
        """A batch of another client of the project."""
        body = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        return self._accept(body | {"metadata": metadata}, injected=True)

    def list_goes_stale(self, seconds=float("inf")):
        """The list shows what it shows now, for so many seconds."""
        self.stale = self.clock.time() + seconds, self._listed()

    def change_project(self):
        """The token is another project's from now on: nothing is to be seen of what there was. Gives a way back."""
        before = self.files, self.batches
        self.files, self.batches = {}, {}

        def back():
            self.files, self.batches = before

        return back

    def count(self, method, path):
        return sum(entry == (method, path) for entry in self.log)

    # What the service does.

    def handle(self, request):
        with self._one_at_a_time:
            return self._handle(request)

    def _handle(self, request):
        path = request.url.path.removeprefix("/v1")
        self.log.append((request.method, re.sub(r"/(batch|file)[-_]\d+", "/*", path)))
        self._accept_what_is_due()
        if self.down:
            raise httpx.ConnectError("refused", request=request)
        query = {name: values[0] for name, values in parse_qs(request.url.query.decode()).items()}
        kind, thing, verb = [*path.strip("/").split("/"), "", ""][:3]
        answer = getattr(self, f"_{request.method.lower()}_{kind}{'_' + verb if verb else ''}")
        found = answer(request, query, thing)
        return found if isinstance(found, httpx.Response) else httpx.Response(200, json=found)

    def _accept_what_is_due(self):
        now = self.clock.time()
        for batch in self.batches.values():
            if batch.live and batch.fails_at <= now:
                self._fail_for_its_file(batch)
        due = [each for each in self.late if each[0] <= now]
        self.late = [each for each in self.late if each[0] > now]
        for moment, body in sorted(due, key=lambda each: each[0]):
            if self._usable(body["input_file_id"], moment) or self.fails_without_file:
                self._accept(body, at=moment)
            elif self.failing_after is not None:
                self._accept_without_file(body, moment)

    def _usable(self, file_id, moment):
        file = self.files.get(file_id)
        return file is not None and (file.deleted_at is None or moment < file.deleted_at + self.linger)

    def _accept(self, body, *, at=None, injected=False):
        at = self.clock.time() if at is None else at
        self._ids += 1
        content = self.files[body["input_file_id"]].content
        batch = StoredBatch(f"batch_{self._ids}", body, at, at + self.lag, injected=injected)
        batch.lines = [json.loads(line) for line in content.splitlines()]
        batch.tokens = sum(len(line) // 4 + 1 for line in content.splitlines(keepends=True))
        rivals = [other for other in self.batches.values() if batch.shares(other) and self._counts(other)]
        if rivals and not injected and self._usable(body["input_file_id"], at):
            self.several_live.append((batch, rivals))
        self.batches[batch.id] = batch
        if not self._usable(body["input_file_id"], at):
            self.fail(batch, "invalid_request", param="file_id", message="Cannot find file.")
            return batch
        model = batch.lines[0]["body"]["model"]
        enqueued = sum(other.tokens for other in self.live() if other.lines[0]["body"]["model"] == model)
        if self.enqueued_tokens is not None and enqueued > self.enqueued_tokens:
            limit = f"Enqueued token limit reached. Limit: {self.enqueued_tokens:,} enqueued tokens."
            self.fail(batch, "token_limit_exceeded", **({"message": limit} if self.states_limit else {}))
        else:
            self.most_enqueued = max(self.most_enqueued, enqueued)
        return batch

    def _accept_without_file(self, body, at):
        """A batch that can only fail."""
        self._ids += 1
        batch = StoredBatch(f"batch_{self._ids}", body, at, at + self.lag, "validating")
        batch.fails_at = at + self.failing_after
        self.batches[batch.id] = batch
        if batch.fails_at <= self.clock.time():
            self._fail_for_its_file(batch)
        return batch

    def _fail_for_its_file(self, batch):
        message = (
            f"Cannot find file {batch.body['input_file_id']}, or organization o does not have access to it."
        )
        self.fail(batch, "invalid_request", message=message, param="file_id")

    def _counts(self, batch):
        """Whether another batch of the same requests would be paid for a second time."""
        return not batch.injected and (batch.answered or (batch.live and batch.lines))

    def _answer(self, batch, verdicts):
        files = {"output": [], "error": []}
        for line, verdict in verdicts:
            answer = {"id": "x", "custom_id": line["custom_id"], "response": None, "error": None}
            if isinstance(verdict, str):
                answer["error"] = {"code": verdict, "message": "no"}
            else:
                usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
                failed = {"error": {"message": "busy", "code": "busy"}}
                message = {"content": line["custom_id"], "padding": "x" * self.padding}
                good = {"choices": [{"message": message}], "usage": usage}
                body = good if verdict < 400 else failed
                answer["response"] = {"status_code": verdict, "request_id": "q", "body": body}
                if verdict < 400:
                    batch.answered += 1
                    batch.good.add(line["custom_id"])
            files["output" if verdict == 200 else "error"].append(answer)
        for kind, answers in files.items():
            if answers:
                content = "".join(json.dumps(answer) + "\n" for answer in reversed(answers))
                setattr(batch, kind, self._store(content.encode(), kind, "batch_output").id)

    def _store(self, content, name, purpose):
        self._ids += 1
        file = StoredFile(f"file-{self._ids}", content, name, purpose, self.clock.time())
        self.files[file.id] = file
        return file

    def _post_files(self, request, query, thing):
        _, _, content = request.read().partition(b'filename="')
        name, _, content = content.partition(b'"')
        content = content.partition(b"\r\n\r\n")[2].partition(b"\r\n--")[0]
        return self._file(self._store(content, name.decode(), "batch"))

    def _post_batches(self, request, query, thing):
        body = json.loads(request.read())
        fate = self.creates.popleft() if self.creates else None
        if fate == ("refused",):
            return _refusal(429, "slow down")
        if not self._usable(body["input_file_id"], self.clock.time()) and not self.fails_without_file:
            if self.failing_after is not None:
                return self._batch(self._accept_without_file(body, self.clock.time()))
            return _refusal(400, f"Cannot find file {body['input_file_id']}.")
        if fate is None:
            return self._batch(self._accept(body))
        if fate[0] == "late":
            self.late.append((self.clock.time() + fate[1], body))
        elif fate[0] == "accepted":
            self._accept(body)
            return httpx.Response(fate[1], text="<html><title>Bad gateway</title>")
        raise httpx.ReadTimeout("no answer", request=request)

    def _post_batches_cancel(self, request, query, thing):
        batch = self.batches[thing]
        if not batch.live:
            return self._batch(batch) if batch.status == "cancelled" else _refusal(409, "it has ended")
        batch.status = "cancelled"
        return self._batch(batch)

    def _get_batches(self, request, query, thing):
        if thing:
            batch = self.batches.get(thing)
            return self._batch(batch) if batch and not batch.forgotten else _refusal(404, "No batch found")
        until, listed = self.stale
        return self._page(listed if self.clock.time() < until else self._listed(), query)

    def _listed(self):
        shown = [each for each in self.batches.values() if self._is_listed(each)]
        # Newest first, also among those of one second.
        shown.reverse()
        shown.sort(key=lambda batch: -int(batch.created_at))
        if self.oldest_first:
            shown.reverse()
        return [*self.odd, *(self._batch(batch) for batch in shown)]

    def _is_listed(self, batch):
        return batch.visible_at <= self.clock.time() and not batch.forgotten

    def _get_files(self, request, query, thing):
        if thing:
            return self._file(self.files[thing]) if self._is_there(thing) else _refusal(404, "No such file")
        return self._page(
            [self._file(file) for file in self.files.values() if self._is_there(file.id)], query
        )

    def _get_files_content(self, request, query, thing):
        if not self._is_there(thing):
            return _refusal(404, "No such File object")
        content = self.files[thing].content
        # Not `content=`: such an answer counts as read already, and cannot be streamed.
        headers = {"content-length": str(len(content))}
        return httpx.Response(200, headers=headers, stream=httpx.ByteStream(content))

    def _delete_files(self, request, query, thing):
        if not self._is_there(thing):
            return _refusal(404, "No such File object")
        self.files[thing].deleted_at = self.clock.time()
        return {"id": thing, "object": "file", "deleted": True}

    def _is_there(self, file_id):
        return file_id in self.files and self.files[file_id].deleted_at is None

    def _page(self, objects, query):
        known = [each.get("id") if isinstance(each, dict) else None for each in objects]
        after = query.get("after")
        start = known.index(after) + 1 if after is not None and after in known else 0
        shown = objects[start : start + int(query.get("limit", 20))]
        has_more = len(objects) > start + len(shown)
        return {
            "object": "list",
            "data": shown,
            "has_more": has_more,
            "last_id": known[start + len(shown) - 1] if shown else None,
        }

    def _file(self, file):
        return {
            "id": file.id,
            "object": "file",
            "bytes": len(file.content),
            "created_at": int(file.created_at),
            "filename": file.name,
            "purpose": file.purpose,
            "status": "processed",
        }

    def _batch(self, batch):
        return {
            "id": batch.id,
            "object": "batch",
            **batch.body,
            "metadata": batch.body["metadata"] if self.keeps_metadata else None,
            "created_at": int(batch.created_at),
            "status": batch.status,
            "output_file_id": batch.output,
            "error_file_id": batch.error,
            "errors": batch.problems and {"object": "list", "data": batch.problems},
            "request_counts": {"total": len(batch.lines), "completed": batch.answered, "failed": 0},
        }


def _refusal(status, message):
    return httpx.Response(status, json={"error": {"message": message, "type": "invalid"}})
