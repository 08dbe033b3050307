"""The documentation, taken at its word: each block is run in the order of its page, at the embedded service."""

import json
import sys
import time
from contextlib import ExitStack
from types import SimpleNamespace

import anyio
import attrs
import azure.identity
import pytest
from azure.core.credentials import AccessToken
from support.model_server import ModelServer, Reply
from support.pages import DOCS, Reader, blocks, impatient

from overlay import Request, write_requests
from overlay.server import Service, echo
from overlay.services import known_services
from overlay.wire.clock import SystemClock

INSTEAD = {
    "": {f"overlay {name} ": f"overlay {name} --poll 0.1 " for name in ("run", "map", "embed")},
    "how-to/serve.md": {"--config serve.toml": "--state here"},  # test_examples.py reads the file
    "tutorial.md": {"in_progress=6": "in_progress=1", "--poll 1": "", "KILL 3": "KILL 0.9"},
}
"""What tests do not wait for."""
AT = {
    "https://RESOURCE.openai.azure.com/openai/v1/": "azure",
}
"""Addresses that the embedded service has in a page's place, in the dialect of whose they are."""
SERVERS = ("http://127.0.0.1:11434/v1", "http://127.0.0.1:8000/v1")
"""Servers without batches."""
NAMED = ("groq", "together", "mistral")
"""Services that pages name without an address."""
ALL = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
RUN = {"python", "console", "sh"}
PAGES = [page for page in ALL if any(each.language in RUN for each in blocks((DOCS / page).read_text()))]
REVIEWS = {"review-1": "I loved it.", "review-2": "Never again.", "review-3": "It is a chair."}


class FakeCredential:
    def get_token(self, *_, **__):
        return AccessToken("entra-token", int(time.time()) + 3600)


def flagged(line):
    """The one answer that a page about failures needs; all else is as at a service that echoes."""
    if line["custom_id"] == "review-2":
        error = {"message": "The prompt was flagged.", "code": "content_policy_violation"}
        return 400, {"error": error}
    return {"choices": [{"message": {"content": "yes"}}]}


@pytest.fixture
def services():
    """One for each dialect that a page needs, started when it is first needed."""
    with ExitStack() as stack:
        running = {}

        def service(name=None):
            if name not in running:
                options = {"answer": flagged} if name == "flagged" else {"dialect": name}
                running[name] = stack.enter_context(Service(**options))
            return running[name]

        yield service


@pytest.fixture
def model_server():
    """A server that answers requests, and has no batches."""

    def respond(path, body, _):
        return Reply(body=json.dumps(echo({"url": path, "body": body})).encode())

    with ModelServer(respond) as server:
        yield server


@pytest.mark.parametrize("page", PAGES)
def test_each_block_does_what_the_page_says(page, services, tmp_path, monkeypatch, request):
    source = (DOCS / page).read_text()
    base_url = services("flagged" if page == "how-to/failures.md" else None).base_url
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    monkeypatch.setenv("OPENAI_BASE_URL", base_url)
    monkeypatch.setenv("OVERLAY_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(azure.identity, "DefaultAzureCredential", FakeCredential)
    monkeypatch.setattr(SystemClock, "sleep", lambda _, seconds: impatient(seconds))
    monkeypatch.setattr(SystemClock, "asleep", lambda _, seconds: anyio.sleep(min(seconds, 0.02)))
    instead = INSTEAD[""] | INSTEAD.get(page, {})
    if "--upstream" in source:
        instead |= dict.fromkeys(SERVERS, request.getfixturevalue("model_server").url)
    instead |= {address: services(name).base_url for address, name in AT.items() if address in source}
    for name in NAMED:
        if f'service="{name}"' in source or f"--service {name}" in source:
            here = attrs.evolve(known_services()[name], base_url=services(name).base_url)
            monkeypatch.setitem(known_services(), name, here)
            monkeypatch.setenv(here.key_variable, "any")
            instead[f"--service {name}"] = f"--service {name} --base-url {here.base_url}"
    requests = (
        Request.chat(name, model="gpt-4o-mini", prompt=f"Is this review friendly? {text}")
        for name, text in REVIEWS.items()
    )
    write_requests("requests.jsonl", requests)
    reader = Reader(page, tmp_path, base_url, monkeypatch, instead=instead)
    reader.follow(source)
    assert reader.run


def as_it_is(function=None, **_):
    """A decorator of an orchestrator's, without the orchestrator."""
    return as_it_is if function is None else function


@pytest.mark.parametrize(
    ("package", "names", "asked"),
    [
        (
            "prefect",
            {"flow": as_it_is, "task": as_it_is},
            lambda code: code["classify"]("texts", ["I loved it."]),
        ),
        (
            "dagster",
            {"asset": as_it_is, "RetryPolicy": dict, "RetryRequested": RuntimeError},
            lambda code: code["answers"](code["submitted"]()),
        ),
    ],
    ids=["prefect", "dagster"],
)
def test_the_tasks_of_an_orchestrator_answer(package, names, asked, services, tmp_path, monkeypatch):
    """As the functions that they are; that an orchestrator may run them again is for the soak tests to show."""
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    monkeypatch.setenv("OPENAI_BASE_URL", services().base_url)
    monkeypatch.setenv("OVERLAY_HOME", str(tmp_path))
    monkeypatch.setattr(SystemClock, "sleep", lambda _, seconds: impatient(seconds))
    monkeypatch.setitem(sys.modules, package, SimpleNamespace(**names))
    source = (DOCS / "how-to" / "orchestrators.md").read_text()
    (block,) = (
        each for each in blocks(source) if f"import {package}" in each.text or f"from {package}" in each.text
    )
    code = {"__name__": package}
    exec(compile(block.text, package, "exec"), code)
    assert asked(code) == ["echo: I loved it."]
