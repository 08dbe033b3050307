"""A canary token appears nowhere: not in what is shown, logged, raised or pickled, even if the service says it."""

import json
import logging
import pickle
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import cycle
from urllib.parse import quote

import pytest
from support.calling import ENDPOINT, batch_object, write_lines
from support.raw_server import Reset as ResetNow, answer

from overlay import (
    AsyncClient,
    BatchFailedError,
    Client,
    OverlayError,
    Result,
    ResultError,
    Token,
    TokenProviderError,
)
from overlay.wire.auth import TokenAuth, Tokens

CANARY = "sk-canary-7f3a/Q+9~x=="
"""With characters that have more than one spelling, of those that RFC 6750, section 2.1, allows."""


def hidden(text):
    return "sk-canary" not in text


def everything_said_by(error):
    """An error, with what caused it and what it was raised in, in every way that programs show errors."""
    seen = []
    while error is not None and error not in seen:
        seen.append(error)
        error = error.__cause__ or error.__context__
    for each in seen:
        yield from (str(each), repr(each), repr(each.__dict__), repr(each.args))
        yield "".join(traceback.format_exception(each))
        with suppress(TypeError, pickle.PicklingError, AttributeError):
            yield pickle.dumps(each).decode("latin-1")
        request = getattr(each, "_request", None)
        yield repr(request and request.headers)
        yield str(request and dict(request.headers))


@pytest.fixture(autouse=True)
def logged(caplog):
    """All that any logger says, at its most talkative."""
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "overlay", "asyncio"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield caplog
    for name in ("httpx", "httpcore", "overlay", "asyncio"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def fresh():
    return Token(CANARY, datetime.now(UTC) + timedelta(hours=1))


def asked_again():
    return CANARY


@pytest.mark.parametrize(
    "token", [CANARY, fresh, asked_again, fresh()], ids=["str", "Token", "provider", "bare Token"]
)
def test_objects_do_not_show_it(token):
    with suppress(OverlayError):
        for client_type in (Client, AsyncClient):
            client = client_type(token=token, headers={"X-Api-Key": CANARY})
            driver = client._driver
            with suppress(TokenProviderError):
                driver.settings.tokens.get()
            shown = [
                client,
                client.batches,
                client.files,
                driver,
                driver.settings,
                driver.settings.tokens,
                driver.connections,
                TokenAuth(driver.settings.tokens),
                driver.connections.get("read"),
            ]
            for each in shown:
                assert hidden(repr(each))
                assert hidden(str(each))
    assert hidden(repr(Token(CANARY, datetime.now(UTC))))
    assert hidden(f"{Token(CANARY, datetime.now(UTC))}")


SLASHES = cycle(["/", "\\/"])


def as_json(value, status=200):
    """An answer in one of the two ways to write a slash."""
    return answer(json.dumps(value).replace("/", next(SLASHES)), status, content_type="application/json")


def refused(status, **error):
    return as_json({"error": error}, status)


IN_BODIES = {
    "401": lambda echo: refused(401, message=f"Incorrect API key: {echo}", code=echo),
    "400": lambda echo: refused(400, message=echo, code=echo, type=echo, param=echo),
    "500": lambda echo: answer(f"<title>{echo}</title>", 500),
    "422": lambda echo: as_json({"detail": [{"loc": ["header", echo], "msg": echo}]}, 422),
    "text": lambda echo: answer(f"you sent {echo}", 403),
    "not a batch": lambda echo: as_json({"id": f"{echo}\n", "status": echo}),
    "not a file": lambda echo: as_json({"id": f"../{echo}\0"}),
    "wrong types": lambda echo: as_json({"id": f"file-{echo}\n", "input_file_id": [echo]}),
    "not JSON": lambda echo: answer(f"hello {echo}"),
    "broken JSON": lambda echo: answer(f'{{"id": "{echo}'),
}
IN_HEADERS = {
    "redirect": lambda echo: answer("", 302, location=f"https://x.example/{echo}"),
    "request id": lambda echo: answer("", 500, x_request_id=echo),
    "bad header": lambda echo: answer("", **{"x-a": f"{echo}\0"}),
    "bad name": lambda echo: answer("", **{echo: "a"}),
    "bad status": lambda echo: f"HTTP/1.1 {echo}\r\n\r\n".encode(),
    "encoding": lambda echo: answer("", content_encoding=echo),
    "retry": lambda echo: answer("", 429, retry_after=echo, x_should_retry=echo, date=echo),
}


@pytest.fixture(params=[CANARY, fresh], ids=["str", "Token"])
def errors_from(request, connect, raw_server, tmp_path):
    """All errors of a client whose service answers by `echo`, which is given the token."""

    def errors(echo):
        spellings = cycle([CANARY, quote(CANARY, safe="")])
        server = raw_server(lambda _: echo(next(spellings)))
        api = connect(server.base_url, token=request.param, max_retries=1)
        path = write_lines(tmp_path / "in.jsonl", 1)
        for use in (
            lambda: api.batches.retrieve("batch_1"),
            lambda: list(api.batches.list()),
            lambda: api.batches.cancel("batch_1"),
            lambda: api.batches.create(input_file_id="file-1", endpoint=ENDPOINT, grace=0),
            lambda: api.batches.wait("batch_1", timeout=1),
            lambda: list(api.batches.results("batch_1")),
            lambda: api.files.upload(path),
            lambda: api.files.download("file-1", tmp_path / "out"),
            lambda: api.files.retrieve("file-1"),
            lambda: api.files.delete("file-1"),
        ):
            try:
                use()
            except OverlayError as error:
                yield error

    return errors


@pytest.mark.parametrize("echo", IN_BODIES.values(), ids=IN_BODIES)
def test_a_service_that_says_it_is_not_quoted(errors_from, logged, capfd, echo):
    errors = list(errors_from(echo))
    assert len(errors) >= 6
    for error in errors:
        assert all(map(hidden, everything_said_by(error)))
    assert hidden(logged.text)
    assert all(map(hidden, capfd.readouterr()))


@pytest.mark.parametrize("echo", IN_HEADERS.values(), ids=IN_HEADERS)
def test_headers_that_say_it_are_not_quoted(errors_from, echo):
    # In logs they are: httpcore writes down the headers of every answer.
    errors = list(errors_from(echo))
    assert len(errors) >= 6
    for error in errors:
        assert all(map(hidden, everything_said_by(error)))


@pytest.mark.parametrize("trouble", ["reset", "silence", "not there"])
def test_a_broken_connection_does_not_give_it_away(connect, raw_server, logged, trouble):
    def script(request):
        if trouble == "reset":
            raise ResetNow

    server = raw_server(script)
    api = connect(server.base_url if trouble != "not there" else "http://127.0.0.1:9/v1", token=CANARY)
    with pytest.raises(OverlayError) as caught:
        api.batches.retrieve("batch_1")
    assert all(map(hidden, everything_said_by(caught.value)))
    assert hidden(logged.text)


class Revealing(Exception):  # noqa: N818 - as other libraries name theirs
    def __init__(self):
        super().__init__(f"the password {CANARY} was refused")
        self.password = CANARY


def test_what_a_provider_raises_is_not_quoted(connect, service, logged):
    def provider():
        raise Revealing from Revealing()

    with pytest.raises(TokenProviderError, match="Revealing") as caught:
        list(connect(service.base_url, token=provider).batches.list())
    assert all(map(hidden, everything_said_by(caught.value)))
    assert hidden(logged.text)


@pytest.mark.parametrize(
    "bad", [CANARY.encode(), CANARY + "\n", {"token": CANARY}, Token(CANARY, CANARY)], ids=type
)
def test_what_is_no_token_is_not_quoted(connect, service, logged, bad):
    with pytest.raises(TokenProviderError) as caught:
        list(connect(service.base_url, token=lambda: bad).batches.list())
    assert all(map(hidden, everything_said_by(caught.value)))
    assert hidden(logged.text)


def test_a_bad_token_is_not_quoted():
    for token in (CANARY + "\n", CANARY + "ü", CANARY.encode()):
        with pytest.raises(OverlayError) as caught:
            Client(token=token)
        assert all(map(hidden, everything_said_by(caught.value)))


def test_models_and_clients_are_pickled_without_it(connect, raw_server):
    api = connect(raw_server(lambda request: answer(batch_object())).base_url, token=CANARY)
    assert hidden(pickle.dumps(api.batches.retrieve("batch_1")).decode("latin-1"))
    for each in (api.client, api.settings, api.settings.tokens):
        with suppress(TypeError, AttributeError, pickle.PicklingError):
            assert hidden(pickle.dumps(each).decode("latin-1"))


def test_tokens_that_were_renewed_are_hidden_too():
    values = iter([f"sk-canary-number-{n}" for n in range(9)])
    tokens = Tokens(lambda: next(values))
    sent = [tokens.get().value for _ in range(9)]
    assert tokens.scrub(f"refused: {sent[0]}, {sent[8]}") == "refused: [token], [token]"


UNCAUGHT = """
import logging, sys, overlay
logging.basicConfig(level=logging.DEBUG)
with overlay.Client(base_url=sys.argv[1], token=sys.argv[2]) as client:
    print(client, client._driver.settings)
    client.batches.retrieve("batch_1")
"""


def test_a_program_that_dies_of_it_does_not_print_it(raw_server):
    server = raw_server(lambda request: answer({"error": {"message": f"Wrong key {CANARY}"}}, 401))
    command = [sys.executable, "-c", UNCAUGHT, server.base_url, CANARY]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "Wrong key [token]" in done.stderr
    assert hidden(done.stdout + done.stderr)


def entities(text):
    return "".join(
        f"&#{ord(each)};" if index % 2 else f"&#x{ord(each):X};" for index, each in enumerate(text)
    )


SPELLINGS = {
    "plain": CANARY,
    "json": CANARY.replace("/", "\\/"),
    "json twice": CANARY.replace("/", "\\\\/"),
    "unicode": "".join(f"\\u{ord(each):04X}" for each in CANARY),
    "percent": quote(CANARY, safe=""),
    "percent, small": quote(CANARY, safe="").replace("%2F", "%2f").replace("%2B", "%2b"),
    "percent twice": quote(quote(CANARY, safe=""), safe=""),
    "all percent": "".join(f"%{ord(each):02X}" for each in CANARY),
    "entities": entities(CANARY),
    "named": CANARY.replace("/", "&sol;").replace("+", "&plus;").replace("=", "&equals;"),
    "named twice": CANARY.replace("/", "&amp;sol;"),
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_other_spellings_are_hidden_too(spelling):
    tokens = Tokens(CANARY)
    assert tokens.scrub(f"key={spelling}, rest") == "key=[token], rest"


def test_a_long_text_is_searched_in_one_pass(monkeypatch):
    monkeypatch.setattr("overlay.hidden._secrets", {})  # of this process, which may have had hundreds
    tokens = Tokens(CANARY)
    began = time.process_time()
    for repeated in ("\\", "&", "&amp;", "%25", "%", "&#0", "sk-canary", "s"):
        tokens.scrub(repeated * (200_000 // len(repeated)))
    assert time.process_time() - began < 5


def test_what_a_batch_and_a_result_quote_is_not_shown(connect, raw_server):
    reason = {"code": CANARY, "message": f"bad key {CANARY}", "line": 1}
    whole = batch_object(status="failed", errors={"data": [reason]}, metadata={"key": CANARY}, completed_at=1)
    line = {"custom_id": "r", "response": None, "error": {"code": CANARY, "message": f"bad key {CANARY}"}}

    def serve(request):
        if request.path.endswith("/content"):
            return answer(json.dumps(line) + "\n")
        return answer(whole)

    api = connect(raw_server(serve).base_url, token=CANARY)
    shown = api.batches.retrieve("batch_1")
    assert hidden(repr(shown))
    assert hidden(str(shown))
    assert shown.metadata.get("key") == CANARY, "what the service has sent is there to be read"
    with pytest.raises(BatchFailedError) as failed:
        list(api.batches.results("batch_1"))
    assert all(map(hidden, everything_said_by(failed.value)))
    assert hidden(repr(failed.value.problems) + "".join(map(str, failed.value.problems)))
    result = Result(json.dumps(line).encode())
    assert hidden(repr(result))
    for act in (result.raise_for_error, lambda: result.parse(dict)):
        with pytest.raises(ResultError) as caught:
            act()
        assert all(map(hidden, everything_said_by(caught.value)))


FORGED = "no\r\n2026-11-26 CRITICAL root: all is lost\x1b[2J\u2028\u202e\0"


def test_no_line_is_forged(connect, raw_server, logged):
    """What a service says stands in one line, without what a terminal would obey."""
    answers = {
        "/v1/batches/batch_1": answer({"error": {"message": FORGED, "code": FORGED}}, 503),
        "/v1/batches/batch_2": answer(
            batch_object(id="batch_2", status=f"failed{FORGED}", errors=[FORGED], output_file_id=FORGED)
        ),
        "/v1/batches/batch_3": answer(batch_object(id="batch_3", status="failed", errors=[FORGED])),
        "/v1/files/file-1": answer({"error": {"message": FORGED}}),
        "/v1/files/file-2": answer({"id": FORGED}),
    }
    api = connect(raw_server(lambda request: answers[request.path]).base_url, max_retries=1)
    logged.clear()
    for act in (
        lambda: api.batches.retrieve("batch_1"),
        lambda: list(api.batches.results("batch_2")),
        lambda: list(api.batches.results("batch_3")),
        lambda: api.files.retrieve("file-1"),
        lambda: api.files.retrieve("file-2"),
        Result(json.dumps({"custom_id": FORGED, "error": {"message": FORGED}}).encode()).raise_for_error,
    ):
        with pytest.raises(OverlayError) as caught:
            act()
        assert str(caught.value).isprintable()
        for problem in getattr(caught.value, "problems", ()):
            assert str(problem).isprintable()
    said = [record.getMessage() for record in logged.records if record.name == "overlay"]
    assert said
    assert all(map(str.isprintable, said))
    assert repr(Result(json.dumps({"custom_id": FORGED, "error": FORGED}).encode())).isprintable()
