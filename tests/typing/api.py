"""The types of the public surface: checked by mypy and pyright, never run."""

from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypedDict, assert_type

import httpx

from overlay import (
    AnsweredRow,
    Answers,
    AsyncClient,
    AsyncListing,
    AsyncResults,
    Batch,
    Chat,
    Client,
    Embed,
    Failure,
    File,
    InputSummary,
    InvalidInputError,
    Job,
    JobResults,
    JoinReport,
    LineError,
    Listing,
    Page,
    Problem,
    RateLimitError,
    Request,
    Response,
    Result,
    Results,
    Token,
    Usage,
    check_requests,
    read_requests,
    write_requests,
)
from overlay.requests.rows import Template, template_of


@dataclass
class Review:
    stars: int


class Review2(TypedDict):
    stars: int


def give_string() -> str:
    return "sk-1"


def give_token() -> Token:
    return Token("sk-1", datetime.now(UTC))


async def await_string() -> str:
    return "sk-1"


async def await_token() -> Token:
    return Token("sk-1", datetime.now(UTC))


def clients() -> None:
    Client()
    for token in (give_string, give_token):
        Client(token=token)
        AsyncClient(token=token)
    AsyncClient(token=await_string)
    AsyncClient(token=await_token)
    Client(
        token="sk-1",
        base_url="https://example.com/v1",
        organization="org",
        project="project",
        timeout=timedelta(minutes=1),
        max_retries=2,
        headers={"X-Team": "a"},
        transport=httpx.HTTPTransport(),
        home="state",
        allow_insecure=False,
    )
    AsyncClient(timeout=60, transport=httpx.AsyncHTTPTransport(), home=Path("state"))


def blocking() -> None:
    with Client() as client:
        assert_type(client, Client)
        file = client.files.upload("in.jsonl", purpose="batch", filename="a", expires_after=timedelta(days=1))
        assert_type(file, File)
        assert_type(client.files.upload(Path("in.jsonl")), File)
        assert_type(client.files.retrieve(file.id), File)
        assert_type(client.files.download(file.id, "out.jsonl"), Path)
        client.files.delete(file.id)
        assert_type(client.files.list(purpose="batch", limit=5, created_after="2026-01-01"), Listing[File])

        batch = client.batches.create(
            input_file_id=file.id,
            endpoint="/v1/anything",
            completion_window="7d",
            metadata={"a": "b"},
            output_expires_after=3600,
            grace=timedelta(minutes=3),
        )
        assert_type(batch, Batch)
        assert_type(client.batches.retrieve(batch.id), Batch)
        assert_type(client.batches.cancel(batch.id), Batch)
        assert_type(
            client.batches.wait(batch.id, timeout=timedelta(days=1), poll=5.0, on_change=print), Batch
        )
        listed = client.batches.list(after=batch.id, limit=5, created_before=datetime.now(UTC))
        assert_type(listed, Listing[Batch])
        for each in listed:
            assert_type(each, Batch)
        for page in listed.pages():
            assert_type(page, Page[Batch])
            assert_type(page.next, str | None)
        results = client.batches.results(batch.id, requests=Path("in.jsonl"), ordered=True)
        assert_type(results, Results)
        assert_type(results.report, JoinReport | None)
        assert_type(results.batch, Batch | None)
        with results as opened:
            assert_type(opened, Results)
            for result in opened:
                assert_type(result, Result)


async def awaited() -> None:
    async with AsyncClient() as client:
        assert_type(client, AsyncClient)
        file = await client.files.upload("in.jsonl")
        assert_type(file, File)
        assert_type(await client.files.retrieve(file.id), File)
        assert_type(await client.files.download(file.id, "out.jsonl"), Path)
        await client.files.delete(file.id)
        assert_type(client.files.list(), AsyncListing[File])

        batch = await client.batches.create(input_file_id=file.id, endpoint="/v1/responses")
        assert_type(batch, Batch)
        retrieving = assert_type(client.batches.retrieve(batch.id), Coroutine[Any, Any, Batch])
        assert_type(await retrieving, Batch)
        waiting: Awaitable[Batch] = client.batches.wait(batch.id, timeout=60)
        assert_type(await waiting, Batch)
        assert_type(await client.batches.cancel(batch.id), Batch)
        listed = client.batches.list(limit=5)
        assert_type(listed, AsyncListing[Batch])
        async for each in listed:
            assert_type(each, Batch)
        async for page in listed.pages():
            assert_type(page, Page[Batch])
        results = client.batches.results(batch.id, ordered=False)
        assert_type(results, AsyncResults)
        async with results as opened:
            assert_type(opened, AsyncResults)
            async for result in opened:
                assert_type(result, Result)


def models(batch: Batch, file: File) -> None:
    assert_type(batch.id, str)
    assert_type(batch.created_at, int | None)
    assert_type(batch.created, datetime | None)
    assert_type(batch.completed, datetime | None)
    assert_type(batch.output_file_id, str | None)
    assert_type(batch.ended, bool)
    assert_type(batch.progress, float | None)
    if batch.request_counts is not None:
        assert_type(batch.request_counts.failed, int | None)
    assert_type(file.bytes, int | None)
    assert_type(file.filename, str | None)
    assert_type(file.expires, datetime | None)


def results(result: Result) -> None:
    assert_type(result.custom_id, str | None)
    assert_type(result.ok, bool)
    assert_type(result.status_code, int | None)
    assert_type(result.text, str | None)
    assert_type(result.error, LineError | None)
    assert_type(result.usage, Usage | None)
    assert_type(result.raise_for_error(), Result)
    assert_type(result.parse(Review), Review)
    assert_type(result.parse(Review2), Review2)
    assert_type(result.parse(list[int]), list[int])
    assert_type(result.raw, bytes)


def lines() -> None:
    for request in read_requests("in.jsonl"):
        assert_type(request, Request)
    assert_type(write_requests("in.jsonl", [Request("a", {"model": "m"})]), int)
    assert_type(check_requests("in.jsonl"), InputSummary)


def errors(rate: RateLimitError, bad: InvalidInputError) -> None:
    assert_type(rate.status_code, int)
    assert_type(rate.request_id, str | None)
    assert_type(rate.retry_after, float | None)
    assert_type(bad.problems, tuple[Problem, ...])
    assert_type(bad.line, int | None)


def jobs(client: Client) -> None:
    job = client.jobs.submit([Request("a", {})], id="job")
    assert_type(job, Job)
    assert_type(client.jobs.wait(job.id, timeout=timedelta(hours=26)), Job)
    assert_type(client.jobs.results(job.id), JobResults)
    assert_type(client.jobs.results(job.id).job, Job | None)
    assert_type(client.jobs.failures(job.id), list[Failure])
    assert_type(client.jobs.retry(job.id), Job)
    assert_type(client.jobs.run([Request("a", {})], progress=True), JobResults)
    assert_type(client.jobs.list(), list[Job])


def row_templates() -> None:
    chat = Chat(model="m", prompt="Friendly? {text}", answer=Review, temperature=0)
    assert_type(chat, Chat[Review])
    assert_type(chat.request("a", {"text": "x", "stars": 3}), Request)
    assert_type(Chat("m", "Friendly? {text}", system="Be short.", images="photo"), Chat[str])
    assert_type(Chat("m", lambda row: f"Friendly? {row['text']}", answer=Review2), Chat[Review2])
    assert_type(Chat("m", messages=[{"role": "user", "content": "{text}"}]), Chat[str])
    assert_type(Response("m", "Friendly? {text}", answer=Review), Response[Review])
    assert_type(Response("m", "Friendly? {text}", answer={"type": "object"}), Response[dict[str, Any]])
    assert_type(Embed("m", "text", dimensions=256).columns, frozenset[str] | None)
    assert_type(template_of(chat), Template[Review])
    assert_type(template_of(lambda row: {"model": "m", "input": row["text"]}), Template[str])


def mapped(client: Client, frame: Any) -> None:
    chat = Chat("m", "Friendly? {text}", answer=Review)
    answers = client.jobs.map(frame, chat, key="review_id", poll=5.0, metadata={"a": "b"})
    assert_type(answers, Answers[Review])
    assert_type(answers.job, Job)
    assert_type(len(answers), int)
    for row in answers:
        assert_type(row, AnsweredRow[Review])
        assert_type(row.answer, Review)
        assert_type(row.key, str)
        assert_type(row.ok, bool)
        assert_type(row.error, LineError | None)
        assert_type(row.result, Result)
    assert_type(client.jobs.map("r.csv", Chat("m", "{text}"), csv={"delimiter": ";"}), Answers[str])
    assert_type(client.jobs.map([{"text": "x"}], lambda row: {"model": "m", "n": row["text"]}), Answers[str])


async def mapped_and_awaited(client: AsyncClient) -> None:
    assert_type(await client.jobs.map("r.csv", Chat("m", "{text}", answer=Review2)), Answers[Review2])
    assert_type(await client.jobs.map("r.csv", lambda row: {"model": "m", "n": row["text"]}), Answers[str])
