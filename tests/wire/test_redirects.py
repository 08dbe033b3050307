"""Redirects: followed with the token on the same host, without it for the content of a file, else not at all."""

import pytest
from support.calling import TOKEN, create
from support.raw_server import answer
from support.services import file_for

from overlay import APIError, APIStatusError, BadRequestError, ConfigurationError, InvalidResponseError

STATUSES = (301, 302, 303, 307, 308)
SECRETS = ("authorization", "api-key", "openai-organization", "openai-project", "x-secret")
CONTENT = b'{"custom_id": "a"}\n' * 1000


def client_of(connect, server, **options):
    options = {"organization": "org", "project": "proj", "headers": {"X-Secret": "s"}} | options
    return connect(server.base_url, **options)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("location", ["/v2/batches/batch_1", "../../v2/batches/batch_1", "absolute", "?a=b"])
def test_a_get_follows_on_the_same_host_with_the_token(raw_server, connect, status, location):
    def script(request):
        if request.path.startswith("/v2") or "?" in request.path:
            return answer({"id": "batch_1"})
        host = request.headers["host"]
        return answer(
            "", status, location=f"http://{host}/v2/batches/b" if location == "absolute" else location
        )

    server = raw_server(script)
    assert client_of(connect, server).batches.retrieve("batch_1").id == "batch_1"
    first, second = server.received
    assert first.headers["authorization"] == second.headers["authorization"] == f"Bearer {TOKEN}"
    assert second.headers["x-secret"] == "s"
    assert second.method == "GET"


@pytest.mark.parametrize("status", STATUSES)
def test_a_list_keeps_to_what_the_redirect_says(raw_server, connect, status):
    def script(request):
        if request.path.startswith("/v1/"):
            return answer("", status, location=request.path.replace("/v1/", "/v2/"))
        return answer({"data": [{"id": "batch_1"}], "has_more": False})

    server = raw_server(script)
    assert [each.id for each in client_of(connect, server).batches.list(limit=7)] == ["batch_1"]
    assert server.received[1].path == "/v2/batches?limit=7"


@pytest.mark.parametrize("status", STATUSES)
def test_content_follows_to_another_host_without_the_token(raw_server, connect, tmp_path, status):
    storage = raw_server(lambda request: answer(CONTENT))
    server = raw_server(
        lambda request: answer("", status, location=f"{storage.base_url}/signed?signature=secret")
    )
    api = client_of(connect, server)
    api.files.download("file-1", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == CONTENT
    (received,) = storage.received
    assert received.path == "/v1/signed?signature=secret"
    assert not [name for name in SECRETS if name in received.headers]
    assert TOKEN not in str(received)


def test_a_download_is_resumed_at_the_storage(raw_server, connect, tmp_path):
    def script(request):
        if "range" not in request.headers:
            return answer(CONTENT[:5000], content_length=len(CONTENT), etag='"v1"')
        start = int(request.headers["range"].removeprefix("bytes=").removesuffix("-"))
        span = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
        return answer(CONTENT[start:], 206, content_range=span, etag='"v1"')

    storage = raw_server(script)
    server = raw_server(lambda request: answer("", 302, location=f"{storage.base_url}/signed"))
    client_of(connect, server).files.download("file-1", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == CONTENT
    assert storage.received[1].headers["range"] == "bytes=5000-"
    assert storage.received[1].headers["if-range"] == '"v1"'


def test_a_storage_that_sends_back_is_not_sent_the_token_either(raw_server, connect, tmp_path):
    def script(request):
        if request.path.endswith("/content"):
            return answer("", 302, location=f"{storage.base_url}/signed")
        return answer(CONTENT)

    server = raw_server(script)
    storage = raw_server(lambda request: answer("", 302, location=f"{server.base_url}/stolen"))
    client_of(connect, server).files.download("file-1", tmp_path / "out")
    assert server.received[1].path == "/v1/stolen"
    assert "authorization" not in server.received[1].headers


@pytest.mark.parametrize("status", STATUSES)
def test_what_changes_anything_is_never_followed(raw_server, connect, requests_file, status):
    server = raw_server(lambda request: answer("", status, location="/v2/elsewhere"))
    api = client_of(connect, server)
    for use in (
        lambda: create(api, "file-1"),
        lambda: api.files.upload(requests_file),
        lambda: api.files.delete("file-1"),
        lambda: api.batches.cancel("batch_1"),
    ):
        with pytest.raises(APIStatusError, match="not followed"):
            use()
    assert not [each for each in server.received if each.path.startswith("/v2")]


@pytest.mark.parametrize(
    "location",
    [
        "http://storage.example/signed",
        "https://user:password@storage.example/signed",
        "file:///etc/passwd",
        "ftp://storage.example/x",
        "https://",
        "https://[::1",
        "",
    ],
)
def test_locations_that_are_not_followed(raw_server, connect, tmp_path, location):
    server = raw_server(lambda request: answer("", 302, location=location))
    with pytest.raises(APIError) as caught:
        client_of(connect, server).files.download("file-1", tmp_path / "out")
    assert "password" not in str(caught.value)
    assert len(server.received) == 1


def test_a_loop_ends(raw_server, connect, tmp_path):
    server = raw_server(lambda request: answer("", 302, location=request.path + "x"))
    with pytest.raises(APIStatusError, match="redirects"):
        client_of(connect, server).batches.retrieve("batch_1")
    assert len(server.received) == 6


def test_a_token_is_renewed_before_a_redirect(raw_server, connect):
    tokens = iter(["old-token-1", "new-token-2"])

    def script(request):
        if "old-token-1" in request.headers["authorization"]:
            return answer({"error": "expired"}, 401)
        return answer({"id": "b"}) if "v2" in request.path else answer("", 307, location="/v2/batches/b")

    server = raw_server(script)
    assert connect(server.base_url, token=lambda: next(tokens)).batches.retrieve("b").id == "b"
    assert [each.headers["authorization"][-1] for each in server.received] == ["1", "2", "2"]


def test_a_storage_that_refuses_is_named(raw_server, connect, tmp_path):
    storage = raw_server(lambda request: answer("<Error>Request has expired</Error>", 403))
    server = raw_server(lambda request: answer("", 302, location=f"{storage.base_url}/signed?sig=secret-sig"))
    with pytest.raises(APIStatusError, match="403") as caught:
        client_of(connect, server).files.download("file-1", tmp_path / "out")
    assert "secret-sig" not in str(caught.value)


# Uploads.


class Storing:
    """A service that sends uploads on to a storage, as Together does, and the storage."""

    def __init__(self, raw_server, *, statuses=(200,), headers=None):
        self.statuses = list(statuses)
        self.headers = {"x_together_file_id": "file-new"} if headers is None else headers
        self.storage = raw_server(self._store)
        self.server = raw_server(self._serve)

    def _store(self, request):
        return answer("", self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0])

    def _serve(self, request):
        if request.method == "POST":
            return answer("", 302, location=f"{self.storage.base_url}/signed?sig=secret-sig", **self.headers)
        return answer({"id": "file-new", "purpose": "batch-api", "filename": "in.jsonl"})


def uploading(connect, storing):
    return connect(storing.server.base_url, service="together", headers={"X-Secret": "s"})


def test_an_upload_is_put_where_it_is_sent_on_to_without_the_token(raw_server, connect, tmp_path):
    storing = Storing(raw_server)
    path = file_for("together", tmp_path / "in.jsonl", 5000)
    assert uploading(connect, storing).files.upload(path).id == "file-new"
    (put,) = storing.storage.received
    assert (put.method, put.body) == ("PUT", path.read_bytes())
    assert put.headers["content-length"] == str(path.stat().st_size)
    assert not [name for name in SECRETS if name in put.headers]
    assert storing.server.requests() == ["POST /files", "GET /files/file-new"]


def test_a_put_that_fails_is_tried_again(raw_server, connect, tmp_path):
    storing = Storing(raw_server, statuses=(503, 500, 200))
    path = file_for("together", tmp_path / "in.jsonl", 3)
    assert uploading(connect, storing).files.upload(path).id == "file-new"
    assert [each.body for each in storing.storage.received] == [path.read_bytes()] * 3


def test_a_put_that_is_refused_is_said_without_the_address(raw_server, connect, tmp_path):
    storing = Storing(raw_server, statuses=(400,))
    with pytest.raises(BadRequestError) as caught:
        uploading(connect, storing).files.upload(file_for("together", tmp_path / "in.jsonl", 3))
    assert "secret-sig" not in repr(caught.value)
    assert caught.value.__context__ is None


def test_an_upload_of_nobody_knows_which_file_is_none(raw_server, connect, tmp_path):
    storing = Storing(raw_server, headers={})
    with pytest.raises(InvalidResponseError, match="nothing says what the file's id"):
        uploading(connect, storing).files.upload(file_for("together", tmp_path / "in.jsonl", 3))
    assert storing.storage.received == []


def test_only_a_service_that_is_known_for_it_is_sent_on(raw_server, connect, tmp_path):
    storing = Storing(raw_server)
    with pytest.raises(APIStatusError, match="not followed"):
        connect(storing.server.base_url).files.upload(file_for("openai", tmp_path / "in.jsonl", 3))
    assert storing.storage.received == []


# The base URL and headers.


def test_the_query_of_a_base_url_is_kept_on_each_call(raw_server, connect, requests_file, tmp_path):
    def script(request):
        if "/content" in request.path:
            return answer(CONTENT)
        if request.method == "GET" and "batch_1" not in request.path:
            return answer({"data": [], "has_more": False})
        return answer({"id": "batch_1" if "batches" in request.path else "file-1", "status": "completed"})

    server = raw_server(script)
    base = f"{server.base_url}/openai/?api-version=2025-03-01-preview&x="
    api = connect(base)
    api.files.upload(requests_file)
    create(api, "file-1")
    api.batches.retrieve("batch_1")
    list(api.batches.list(limit=5))
    api.files.download("file-1", tmp_path / "out")
    paths = [each.path for each in server.received]
    assert all(path.startswith("/v1/openai/") for path in paths)
    assert all("api-version=2025-03-01-preview" in path and "x=" in path for path in paths)
    assert any("limit=5" in path for path in paths)
    assert api.settings.base_url == f"{server.base_url}/openai?api-version=2025-03-01-preview&x="


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"Authorization": "Bearer x"}, "pass token="),
        ({"content-length": "3"}, "counted"),
        ({"Host": "x"}, "base URL"),
        ({"X-Number": 3}, "strings to strings"),
        ({3: "x"}, "strings to strings"),
        ({"X Y": "z"}, "not the name of a header"),
        ({"": "z"}, "not the name of a header"),
        ([("X-Team", "search")], "strings to strings"),
        ("X-Team: search", "strings to strings"),
        ({"X-Line": "a\nb"}, "X-Line"),
    ],
)
def test_headers_that_cannot_be_sent(connect, headers, message):
    with pytest.raises(ConfigurationError, match=message):
        connect("http://127.0.0.1:9/v1", headers=headers)
