"""Files: what is sent arrives as it is on the disk, once and whole, or is refused before anything is sent."""

import os
from datetime import timedelta

import pytest
from support.calling import TOKEN, request_line, write_lines
from support.raw_server import answer

from overlay import (
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    InternalServerError,
    InvalidInputError,
    InvalidResponseError,
    NotFoundError,
    StorageError,
)
from overlay.server import Accept, Reject, Reset, Service

SEND = "POST /files"
ODD_LINES = b'{"a": "\xe2\x80\xa8\xc2\x85"}\r\n\x00\xff\xfe\n\n--+++\r\n--+++--\r\nno end'


def arrived(api, file_id, tmp_path):
    return api.files.download(file_id, tmp_path / "arrived").read_bytes()


@pytest.mark.parametrize("content", [ODD_LINES, b"\n", os.urandom(3 << 20)], ids=["odd", "tiny", "3 MiB"])
def test_every_byte_arrives(api, tmp_path, content):
    path = tmp_path / "in.jsonl"
    path.write_bytes(content)
    file = api.files.upload(path, purpose="evals")
    assert file.bytes == len(content)
    assert arrived(api, file.id, tmp_path) == content


def test_two_hundred_lines_arrive(api, tmp_path):
    path = write_lines(tmp_path / "in.jsonl", [request_line(f"r{n}", note="ü" * n) for n in range(200)])
    assert arrived(api, api.files.upload(str(path)).id, tmp_path) == path.read_bytes()


def test_a_file_has_the_name_and_purpose_it_is_given(api, requests_file):
    sent = api.files.upload(requests_file)
    assert (sent.filename, sent.purpose) == ("requests.jsonl", "batch")
    sent = api.files.upload(requests_file, filename="reviews ü.jsonl", purpose="assistants")
    assert (sent.filename, sent.purpose) == ("reviews ü.jsonl", "assistants")


@pytest.mark.parametrize("life", [7200, timedelta(hours=2)])
def test_a_file_may_be_kept_for_a_while(api, requests_file, life):
    sent = api.files.upload(requests_file, expires_after=life)
    assert sent.expires_at - sent.created_at == 7200


def test_what_is_sent_is_the_form_that_the_api_documents(raw_server, connect, requests_file):
    server = raw_server(lambda request: answer({"id": "file-1"}))
    connect(server.base_url).files.upload(requests_file, expires_after=3600)
    (request,) = server.received
    assert request.headers["content-length"] == str(len(request.body))
    boundary = request.headers["content-type"].removeprefix("multipart/form-data; boundary=")
    parts = request.body.split(f"--{boundary}".encode())[1:-1]
    assert [part.partition(b"\r\n\r\n")[2].rstrip(b"\r\n") for part in parts] == [
        requests_file.read_bytes().rstrip(),
        b"batch",
        b"created_at",
        b"3600",
    ]
    assert b'name="file"; filename="requests.jsonl"' in parts[0]
    assert b'name="purpose"' in parts[1]
    assert b'name="expires_after[anchor]"' in parts[2]
    assert b'name="expires_after[seconds]"' in parts[3]


def test_each_upload_has_a_boundary_of_its_own(raw_server, connect, requests_file):
    server = raw_server(lambda request: answer({"id": "file-1"}))
    client = connect(server.base_url)
    client.files.upload(requests_file)
    client.files.upload(requests_file)
    boundaries = [request.headers["content-type"].partition("boundary=")[2] for request in server.received]
    assert len(set(boundaries)) == 2
    assert all(len(boundary) >= 32 for boundary in boundaries)


def test_what_is_no_file_of_requests_is_refused(api, service, tmp_path):
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    with pytest.raises(InvalidInputError, match=r"empty\.jsonl: the file is empty"):
        api.files.upload(empty)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "missing.jsonl", tmp_path / "pipe", "/dev/zero", "a\0b"):
        with pytest.raises(StorageError):
            api.files.upload(path)
    assert service.requests == []


@pytest.mark.parametrize(
    "trouble", [Reset(), Reject(500), Reject(429, headers={"Retry-After": "1"})], ids=repr
)
def test_an_upload_is_sent_again_from_its_start(api, service, tmp_path, trouble):
    path = tmp_path / "in.jsonl"
    path.write_bytes(os.urandom(300_000))
    service.faults.add(SEND, trouble, times=2)
    assert arrived(api, api.files.upload(path, purpose="evals").id, tmp_path) == path.read_bytes()
    assert len(list(api.files.list())) == 1


def test_an_upload_is_tried_three_times(api, service, requests_file):
    service.faults.add(SEND, Reject(503), times=None)
    with pytest.raises(InternalServerError):
        api.files.upload(requests_file)
    assert service.count("POST", "/files") == 3


def test_a_refused_upload_is_not_repeated(api, service, requests_file):
    service.faults.add(SEND, Reject(413, "Too large."))
    with pytest.raises(APIStatusError, match="Too large"):
        api.files.upload(requests_file)
    assert service.count("POST", "/files") == 1


@pytest.mark.parametrize("size", [10, 2_500_000])
def test_a_refused_token_is_renewed_and_the_body_sent_again(connect, tmp_path, size):
    path = tmp_path / "in.jsonl"
    path.write_bytes(os.urandom(size))
    tokens = iter(["sk-that-is-old", "sk-that-is-new"] + ["sk-that-is-new"] * 3)
    with Service(tokens="sk-that-is-new") as service:
        api = connect(service.base_url, token=lambda: next(tokens))
        assert arrived(api, api.files.upload(path, purpose="evals").id, tmp_path) == path.read_bytes()
        assert [each.status for each in service.requests] == [401, 200, 200]
        assert len(list(api.files.list())) == 1


def test_a_fixed_token_that_is_refused_is_an_error(connect, requests_file):
    with Service(tokens="sk-of-another") as service:
        api = connect(service.base_url, token=TOKEN)
        with pytest.raises(AuthenticationError, match="Incorrect API key"):
            api.files.upload(requests_file)
        assert len(service.requests) == 1


@pytest.mark.parametrize("size", [8, 3 << 20])
@pytest.mark.parametrize("change", ["grow", "shrink", "rewrite"])
def test_a_file_that_changes_while_it_is_sent_is_given_up(connect, service, tmp_path, change, size):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"x" * size)
    os.utime(path, (1, 1))

    def provider():  # asked when the request is about to leave
        if change == "grow":
            with path.open("ab") as file:
                file.write(b"more")
        elif change == "shrink":
            os.truncate(path, size - 1)
        else:
            path.write_bytes(b"y" * size)
        return TOKEN

    api = connect(service.base_url, token=provider)
    with pytest.raises(InvalidInputError, match=r"in\.jsonl: changed during the upload"):
        api.files.upload(path)
    assert list(connect(service.base_url).files.list()) == []


def test_a_file_that_is_stored_in_another_size_stays(raw_server, connect, requests_file, caplog):
    # Gateways write the lines anew.
    server = raw_server(lambda request: answer({"id": "file-1", "bytes": 5}))
    assert connect(server.base_url).files.upload(requests_file).id == "file-1"
    assert server.requests() == ["POST /files"]
    assert "the service's file file-1 has 5" in caplog.text


@pytest.mark.parametrize("record", [{"id": "file-1"}, {"id": "7c9e6679-7425", "bytes": 0, "purpose": None}])
def test_services_that_say_little_of_a_file(raw_server, connect, requests_file, record):
    server = raw_server(lambda request: answer(record))
    assert connect(server.base_url).files.upload(requests_file).id == record["id"]


@pytest.mark.parametrize("record", [{}, {"id": None}, {"id": ".."}, {"id": [7]}, [], "text", None])
def test_a_record_without_a_usable_id_is_no_answer(raw_server, connect, requests_file, record):
    server = raw_server(lambda request: answer(record))
    with pytest.raises(InvalidResponseError):
        connect(server.base_url).files.upload(requests_file)


def test_a_delete_that_went_unanswered_has_worked(api, service, file_id):
    service.faults.add("DELETE /files/*", Accept(Reset()))
    api.files.delete(file_id)
    with pytest.raises(NotFoundError):
        api.files.retrieve(file_id)
    with pytest.raises(NotFoundError):
        api.files.delete(file_id)


def test_a_delete_that_did_nothing_is_an_error(raw_server, connect):
    answers = iter(
        [{"id": "file-1", "object": "file.deleted", "deleted": True}, {"id": "file-1", "deleted": False}]
    )
    api = connect(raw_server(lambda request: answer(next(answers))).base_url)
    api.files.delete("file-1")
    with pytest.raises(InvalidResponseError, match="did not delete"):
        api.files.delete("file-1")


def test_another_file_is_no_answer(raw_server, connect):
    api = connect(raw_server(lambda request: answer({"id": "file-2"})).base_url)
    with pytest.raises(InvalidResponseError, match="file-2"):
        api.files.retrieve("file-1")


def test_a_service_that_is_not_there(connect, service, requests_file):
    service.stop()
    with pytest.raises(APIConnectionError, match="cannot connect") as caught:
        connect(service.base_url).files.upload(requests_file)
    assert caught.value.sent is False
