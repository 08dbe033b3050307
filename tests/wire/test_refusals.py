"""Refusals in every wording that services and proxies have, read into one kind of error."""

import json

import pytest
from support.raw_server import answer

from overlay import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    UnprocessableEntityError,
)
from overlay.wire.refusals import status_error


def refusal(body=b"", status=400, **headers):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status_error(status, named, body, host="api.example", call="GET /v1/batches")


def said(error):
    return error.message.removeprefix(f"{error.status_code} from api.example for GET /v1/batches: ")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": " No. ", "type": "t", "param": "p", "code": "c"}}, "No."),
        ({"error": {"message": "No."}}, "No."),
        ({"error": "No."}, "No."),
        ({"detail": "Not Found"}, "Not Found"),
        (
            {"detail": [{"loc": ["body", "limit", 0], "msg": "too big"}, {"msg": "b"}]},
            "body.limit.0: too big; b",
        ),
        ({"detail": ["a", 1]}, "a; 1"),
        ({"detail": [{"loc": 5, "msg": "a"}, {"loc": "body", "msg": "b"}]}, "5: a; body: b"),
        ({"status": "failure", "message": "No."}, "No."),
        ({"error": {"message": None, "detail": "No."}}, "No."),
        ({"error": {"code": 7}}, '{"error": {"code": 7}}'),
        ({"error": None, "message": "No."}, "No."),
        ({"message": {"a": 1}}, '{"message": {"a": 1}}'),
        ({}, "{}"),
        ([], "[]"),
        ("No.", '"No."'),
        (None, "null"),
        (b"", "no message"),
        (b" \r\n ", "no message"),
        (b"upstream connect error\nor disconnect", "upstream connect error or disconnect"),
        (
            b"<html>\n<head><title>502 Bad\n Gateway &amp; more</title></head></html>",
            "502 Bad Gateway & more",
        ),
        (b'<!DOCTYPE html><TITLE lang="en">Just a moment...</TITLE>', "Just a moment..."),
        (b"<html><body>no title</body></html>", "an HTML page without a title"),
        (b"<html><title></title></html>", "an HTML page without a title"),
        (b"\xff\xfe broken", "\ufffd\ufffd broken"),
        (b'{"error": {"mess', '{"error": {"mess'),
        (b'{"error": ' + b"[" * 30_000, '{"error": ' + "[" * 490),
    ],
)
def test_every_wording_gives_its_words(body, message):
    assert said(refusal(body)) == message


def test_the_fields_of_the_api_are_kept():
    error = refusal({"error": {"message": "m", "type": "t", "param": "p", "code": "c"}}, x_request_id="req_7")
    assert (error.type, error.param, error.code, error.request_id) == ("t", "p", "c", "req_7")
    assert error.is_json
    assert str(error).endswith("m (request req_7)")
    error = refusal({"error": {"code": 7, "param": ["a"], "type": None}})
    assert (error.type, error.param, error.code, error.request_id) == (None, "['a']", "7", None)
    assert not refusal(b"<html>").is_json
    assert not refusal([]).is_json


def test_long_bodies_are_cut():
    error = refusal({"error": {"message": "x" * 9000, "code": "y" * 9000}})
    assert len(said(error)) == len(error.code) == 500
    assert len(error.body) == 4000
    assert len(said(refusal(b"<title>" + b"x" * 9000 + b"</title>"))) <= 500
    assert len(said(refusal(b"x" * 9000))) == 500


@pytest.mark.parametrize("piece", [b"<title>", b"<title", b"<title> ", b"<title>&amp;", b"[", b'{"a":'])
def test_a_page_is_read_once(piece):
    # Were it read once for each piece, this would take hours.
    assert refusal(piece * 1_000_000).status_code == 400


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, BadRequestError),
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (409, ConflictError),
        (422, UnprocessableEntityError),
        (429, RateLimitError),
        *((status, InternalServerError) for status in (500, 502, 503, 504, 520, 529, 599, 999)),
        *((status, APIStatusError) for status in (102, 304, 402, 405, 408, 413, 418, 499)),
    ],
)
def test_the_status_decides_about_the_class(status, error):
    raised = refusal({"error": {"message": "m"}}, status)
    assert type(raised) is error
    assert raised.status_code == status


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry_after": "7"}, 7),
        ({"retry_after": "0.5"}, 0.5),
        ({"retry_after": "0"}, 0),
        ({"retry_after": "7", "retry_after_ms": "250"}, 0.25),
        ({"retry_after": "7", "retry_after_ms": "soon"}, 7),
        ({"retry_after": "-7"}, None),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "inf"}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": ""}, None),
        ({"retry_after": "Sun, 01 Nov 2026 00:01:00 GMT", "date": "Sun, 01 Nov 2026 00:00:00 GMT"}, 60),
        ({"retry_after": "Sun, 01 Nov 2026 00:00:00 GMT", "date": "Sun, 01 Nov 2026 00:01:00 GMT"}, 0),
        ({"retry_after": "Sun, 01 Nov 2026 00:01:00 GMT"}, None),
        ({"retry_after": "Sun, 99 Nov 2026 00:01:00 GMT", "date": "Sun, 01 Nov 2026 00:01:00 GMT"}, None),
    ],
)
def test_how_long_to_wait(headers, seconds):
    assert refusal(**headers).retry_after == seconds


@pytest.mark.parametrize(
    ("header", "advice"), [("true", True), ("FALSE", False), ("maybe", None), ("", None)]
)
def test_advice_on_retrying(header, advice):
    assert refusal(x_should_retry=header).should_retry is advice


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("https://other.example/v1", "other.example"),
        ("//other.example/v1", "other.example"),
        ("/v2/batches", "another address"),
        ("", "another address"),
        ("https://[::1", "another address"),
        ("https://user:password@other.example:99999/", "other.example"),
    ],
)
def test_a_redirect_is_named_and_not_followed(status, location, target):
    error = refusal(b"<title>Moved</title>", status, location=location)
    assert said(error).startswith(f"redirects to {target}, ")
    assert "password" not in said(error)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_to_another_host_is_followed_with_the_token(raw_server, connect, requests_file, status):
    other = raw_server(lambda request: answer({"id": "batch_1"}))
    server = raw_server(lambda request: answer("", status, location=f"{other.base_url}/batches/batch_1"))
    api = connect(server.base_url)
    for use in (
        lambda: api.batches.retrieve("batch_1"),
        lambda: api.batches.create(input_file_id="file-1", endpoint="/v1/responses"),
        lambda: api.files.upload(requests_file),
        lambda: api.files.delete("file-1"),
    ):
        with pytest.raises(APIStatusError, match=r"redirects to 127\.0\.0\.1") as caught:
            use()
        assert caught.value.status_code == status
    assert other.received == []
    assert len(server.received) == 4


@pytest.mark.parametrize("status", [402, 418, 451, 499, 529, 520, 598, 599, 600, 999])
def test_statuses_that_python_has_no_name_for(raw_server, connect, status):
    api = connect(raw_server(lambda request: answer({"error": {"message": "odd"}}, status)).base_url)
    with pytest.raises(APIStatusError, match=f"{status} from .* odd") as caught:
        api.batches.retrieve("batch_1")
    assert caught.value.status_code == status


@pytest.mark.parametrize("status", [201, 202, 203, 206])
def test_other_successes_are_successes(raw_server, connect, status):
    api = connect(raw_server(lambda request: answer({"id": "batch_1"}, status)).base_url)
    assert api.batches.retrieve("batch_1").id == "batch_1"
