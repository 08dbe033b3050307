"""The official `openai` package drives the embedded service, told to validate every answer strictly; each answer is
also held against `strict_schema.json`, which leaves nothing open. Services that answer less are found out."""

import asyncio
import json
import re

import openai
import pytest
from jsonschema import ValidationError
from starlette.responses import Response
from support.service_http import ENDPOINT, jsonl, line
from support.strictness import check

from overlay.server import Limits, ManualClock, Pace, Service

KINDS = [
    ("GET", r"/v1/batches", "batch_page"),
    ("POST", r"/v1/batches", "batch"),
    ("GET", r"/v1/batches/[^/]+", "batch"),
    ("POST", r"/v1/batches/[^/]+/cancel", "batch"),
    ("GET", r"/v1/files", "file_page"),
    ("POST", r"/v1/files", "file"),
    ("GET", r"/v1/files/[^/]+", "file"),
    ("DELETE", r"/v1/files/[^/]+", "deleted_file"),
]


class Strict:
    """A hook for the client's HTTP library: validates what comes, and notes which operations were seen."""

    def __init__(self):
        self.seen = set()

    def __call__(self, response):
        request = response.request
        check("headers", dict(response.headers))
        if request.url.path.endswith("/content"):
            self.seen.add(("GET", "content"))
            return
        (kind,) = (
            kind
            for method, path, kind in KINDS
            if method == request.method and re.fullmatch(path, request.url.path)
        )
        self.seen.add((request.method, kind))
        response.read()
        check("refusal" if response.is_error else kind, response.json())


EVERY = {("GET", "content")} | {(method, kind) for method, _, kind in KINDS}


def client_for(service, hook):
    return openai.OpenAI(
        base_url=service.base_url,
        api_key="any",
        max_retries=0,
        http_client=openai.DefaultHttpxClient(event_hooks={"response": [hook]}),
        _strict_response_validation=True,
    )


def clocked(**options):
    """A service whose batches take their time, on a clock that `later` moves."""
    return Service(
        clock=ManualClock(), pace=Pace(validating=5, in_progress=5, finalizing=5, cancelling=5), **options
    )


def later(service, client, batch):
    """The batch a minute later, which is its end."""
    service.advance(60)
    return client.batches.retrieve(batch.id)


def drive(service):
    """All nine operations, through every kind of batch there is."""
    strict = Strict()
    with client_for(service, strict) as client:
        file = client.files.create(file=("in.jsonl", jsonl(30)), purpose="batch")
        assert client.files.retrieve(file.id) == file
        assert client.files.content(file.id).read() == jsonl(30)

        create = {"endpoint": ENDPOINT, "completion_window": "24h"}
        batch = client.batches.create(input_file_id=file.id, metadata={"k": "v"}, **create)
        assert (batch.status, batch.metadata) == ("validating", {"k": "v"})
        batch = later(service, client, batch)
        assert batch.status == "completed"
        assert batch.usage.total_tokens > 0
        lines = client.files.content(batch.output_file_id).text.splitlines()
        assert len(lines) == 30
        for each in lines:
            check("output_line", json.loads(each))

        for refused in (("in.jsonl", b"{\n"), ("in.json", jsonl(1))):
            with pytest.raises(openai.BadRequestError, match="Invalid file format for Batch API"):
                client.files.create(file=refused, purpose="batch")
        bad = client.files.create(
            file=("bad.jsonl", jsonl([[], line("a"), line("a", stream=True), {}])), purpose="batch"
        )
        failed = later(service, client, client.batches.create(input_file_id=bad.id, **create))
        assert [each.code for each in failed.errors.data] == [
            "invalid_json_line",
            "duplicate_custom_id",
            "streaming_unsupported",
            *["missing_required_parameter"] * 4,
        ]

        cancelled = client.batches.cancel(client.batches.create(input_file_id=file.id, **create).id)
        assert cancelled.status == "cancelling"
        cancelled = later(service, client, cancelled)
        assert cancelled.status == "cancelled"
        assert client.batches.cancel(cancelled.id) == cancelled

        listed = [each.id for each in client.batches.list(limit=2)]
        assert listed == [cancelled.id, failed.id, batch.id]
        assert {each.id for each in client.files.list(limit=2)} >= {file.id, bad.id, batch.output_file_id}

        assert client.files.delete(file.id).deleted
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(file.id)
        without = later(service, client, client.batches.create(input_file_id=file.id, **create))
        assert without.status == "failed"
        assert [(each.code, each.param) for each in without.errors.data] == [("invalid_request", "file_id")]
        with pytest.raises(openai.ConflictError):
            client.batches.cancel(batch.id)
    assert strict.seen == EVERY


def test_the_official_package_is_content():
    with clocked() as service:
        drive(service)


def test_the_official_package_async():
    async def main(service):
        async with openai.AsyncOpenAI(
            base_url=service.base_url, api_key="any", max_retries=0, _strict_response_validation=True
        ) as client:
            file = await client.files.create(file=("in.jsonl", jsonl(5)), purpose="batch")
            batch = await client.batches.create(
                input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h"
            )
            while batch.status != "completed":
                await asyncio.sleep(0.005)
                batch = await client.batches.retrieve(batch.id)
            content = await client.files.content(batch.output_file_id)
            assert len(content.text.splitlines()) == 5
            assert [each.id async for each in client.batches.list()] == [batch.id]

    with Service() as service:
        asyncio.run(main(service))


def test_the_official_package_is_refused_without_a_good_key():
    with Service(tokens="good") as service, client_for(service, Strict()) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            client.batches.list()
        assert caught.value.code == "invalid_api_key"
        assert caught.value.request_id.startswith("req_")


def test_lines_that_did_not_run_have_the_documented_form():
    def never(request):
        raise AssertionError

    limits = Limits(windows=("24h", "0s"))
    with (
        clocked(answer=never, limits=limits) as service,
        client_for(service, lambda response: None) as client,
    ):
        file = client.files.create(file=("in.jsonl", jsonl(3)), purpose="batch")
        batch = client.batches.create(input_file_id=file.id, endpoint=ENDPOINT, completion_window="0s")
        batch = later(service, client, batch)
        assert batch.status == "expired"
        for each in client.files.content(batch.error_file_id).text.splitlines():
            check("output_line", json.loads(each))


def test_lines_that_were_given_up_have_the_recorded_form():
    with (
        clocked(limits=Limits(never_run=0.5)) as service,
        client_for(service, lambda response: None) as client,
    ):
        file = client.files.create(file=("in.jsonl", jsonl(4)), purpose="batch")
        batch = client.batches.create(input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h")
        batch = later(service, client, batch)
        assert batch.status == "completed"
        for file_id, codes in ((batch.output_file_id, {200}), (batch.error_file_id, {0})):
            lines = [json.loads(each) for each in client.files.content(file_id).text.splitlines()]
            assert {each["response"]["status_code"] for each in lines} == codes
            for each in lines:
                check("output_line", each)


GIVEN_UP = {
    "id": "batch_req_" + "0" * 32,
    "custom_id": "a",
    "response": {"status_code": 0, "request_id": "0" * 32, "body": {}},
    "error": None,
}


@pytest.mark.parametrize(
    ("response", "error"),
    [
        ({"status_code": 0, "body": {"error": {}}}, None),
        ({"status_code": 1}, None),
        ({"status_code": 200}, None),
        ({"request_id": "req_" + "0" * 32}, None),
        ({}, {"code": "batch_expired", "message": "late"}),
    ],
)
def test_the_schema_finds_lines_of_another_form_out(response, error):
    check("output_line", GIVEN_UP)
    with pytest.raises(ValidationError):
        check("output_line", {**GIVEN_UP, "response": {**GIVEN_UP["response"], **response}, "error": error})


def mutant(change, **headers):
    """A service whose JSON answers are changed on their way out, or carry other headers."""

    def wrap(app):
        async def changed(scope, receive, send):
            start = {}
            body = b""

            async def hold(message):
                nonlocal body
                if message["type"] == "http.response.start":
                    start.update(message)
                    return
                body += message.get("body", b"")
                if message.get("more_body"):
                    return
                types = [value for name, value in start["headers"] if name == b"content-type"]
                if types == [b"application/json"] and start["status"] == 200:
                    value = json.dumps(change(json.loads(body))).encode()
                    answer = Response(value, headers=headers, media_type="application/json")
                    await answer(scope, receive, send)
                else:
                    await send(start)
                    await send({"type": "http.response.body", "body": body})

            await app(scope, receive, hold)

        return changed

    return clocked(wrap=wrap)


def only_ids(value):
    if "data" in value:
        return {"data": [only_ids(each) for each in value["data"]]}
    return {"id": value["id"]}


def everywhere(change):
    """A change to each object, in a page or on its own."""

    def changed(value):
        if value["object"] == "list":
            return {**value, "data": [change(each) for each in value["data"]]}
        return change(value)

    return changed


def without(name):
    return everywhere(lambda value: {key: each for key, each in value.items() if key != name})


def having(**fields):
    return everywhere(
        lambda value: {**value, **{name: each for name, each in fields.items() if name in value}}
    )


def with_other_codes(value):
    if not value.get("errors"):
        return value
    problems = [{**each, "code": "url_mismatch"} for each in value["errors"]["data"]]
    return {**value, "errors": {**value["errors"], "data": problems}}


MUTANTS = {
    "only ids": only_ids,
    "nothing": lambda value: {},
    "no status": without("status"),
    "no request_counts": without("request_counts"),
    "no bytes": without("bytes"),
    "no error_file_id": without("error_file_id"),
    "an unknown status": having(status="paused"),
    "an unknown purpose": having(purpose="fun"),
    "times as text": having(created_at="2026-01-01"),
    "times as fractions": having(created_at=1_750_000_000.5),
    "another kind of object": having(object="thing"),
    "ids of another kind": having(input_file_id="0f0f"),
    "batch ids that are too short": everywhere(lambda value: {**value, "id": value["id"][:-8]}),
    "file ids of another alphabet": having(input_file_id="file-" + "0" * 22),
    "an empty file id": having(error_file_id=""),
    "codes of problems that clients do not know": everywhere(with_other_codes),
    "a field too many": everywhere(lambda value: {**value, "surprise": 1}),
    "pages that do not say whether more is to come": lambda value: {
        k: v for k, v in value.items() if k != "has_more"
    },
    "a delete that did not": having(deleted=False),
}


@pytest.mark.parametrize("change", MUTANTS.values(), ids=MUTANTS.keys())
def test_a_service_that_answers_something_else_is_found_out(change):
    with mutant(change) as service, pytest.raises((ValidationError, openai.APIResponseValidationError)):
        drive(service)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("openai-version", ""),
        ("openai-organization", ""),
        ("openai-processing-ms", "0.5"),
        ("x-request-id", "7"),
        ("x-content-type-options", "sniff"),
    ],
)
def test_a_service_with_other_headers_is_found_out(name, value):
    with (
        mutant(lambda value: value, **{name: value}) as service,
        pytest.raises(ValidationError, match=name),
    ):
        drive(service)


def test_the_schema_alone_finds_a_service_that_answers_only_ids_out():
    """The package's own validation is not what catches it."""
    for kind in ("batch", "file", "deleted_file", "batch_page", "file_page", "headers"):
        with pytest.raises(ValidationError):
            check(kind, {"id": "batch_1", "data": []})


def test_an_unchanged_mutant_passes():
    """The mutants fail for what they change, not for how they are made."""
    with mutant(lambda value: value) as service:
        drive(service)
