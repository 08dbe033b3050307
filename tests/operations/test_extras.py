"""What no specification names is sent all the same: fields, query parameters and headers, on every verb."""

import pytest
from support.raw_server import answer

from overlay import ConfigurationError

QUERY, HEADERS = {"trace": "7"}, {"X-Beta": "on"}
EXTRA = {"extra_query": QUERY, "extra_headers": HEADERS}


def script(request):
    if request.path.partition("?")[0].endswith("/content"):
        return answer(b"{}\n")
    if request.method == "GET" and request.path.partition("?")[0] in {"/v1/batches", "/v1/files"}:
        return answer({"data": [], "has_more": False})
    kind = "batch" if "batches" in request.path else "file"
    return answer({"id": f"{kind}_1", "status": "completed", "input_file_id": "f", "deleted": True})


VERBS = {
    "create": lambda api, path: api.batches.create(input_file_id="f", endpoint="/v1/e", **EXTRA),
    "retrieve": lambda api, path: api.batches.retrieve("batch_1", **EXTRA),
    "list": lambda api, path: list(api.batches.list(**EXTRA)),
    "cancel": lambda api, path: api.batches.cancel("batch_1", **EXTRA),
    "upload": lambda api, path: api.files.upload(path, **EXTRA),
    "file": lambda api, path: api.files.retrieve("file_1", **EXTRA),
    "files": lambda api, path: list(api.files.list(**EXTRA)),
    "delete": lambda api, path: api.files.delete("file_1", **EXTRA),
}


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_sends_them(raw_server, connect, requests_file, verb):
    server = raw_server(script)
    VERBS[verb](connect(server.base_url), requests_file)
    (received,) = server.received
    assert "trace=7" in received.path
    assert received.headers["x-beta"] == "on"
    assert received.headers["authorization"]


def test_fields_of_a_body(raw_server, connect, requests_file):
    server = raw_server(script)
    api = connect(server.base_url)
    api.batches.create(input_file_id="f", endpoint="/v1/e", extra_body={"priority": 3, "tags": ["a"]})
    api.files.upload(requests_file, extra_body={"target_model_names": "m"})
    create, upload = server.received
    assert b'"priority":3' in create.body.replace(b" ", b"")
    assert b'"tags":["a"]' in create.body.replace(b" ", b"")
    assert b'name="target_model_names"' in upload.body


def test_a_search_for_a_lost_batch_has_the_headers_and_not_the_query(raw_server, connect):
    batches = []

    def losing(request):
        if request.method == "POST":
            batches.append(request)
            return answer({"error": "lost"}, 502)
        return answer({"data": [], "has_more": False})

    server = raw_server(losing)
    with pytest.raises(Exception, match="unanswered"):
        connect(server.base_url).batches.create(input_file_id="f", endpoint="/v1/e", grace=1, **EXTRA)
    looks = [each for each in server.received if each.method == "GET"]
    assert looks
    assert all(each.headers["x-beta"] == "on" and "trace" not in each.path for each in looks)
    assert len(batches) == 1


@pytest.mark.parametrize(
    "odd",
    [
        {"extra_body": [1]},
        {"extra_body": {1: 2}},
        {"extra_query": {"": "a"}},
        {"extra_query": "a=b"},
        {"extra_headers": {"X": 3}},
    ],
)
def test_what_cannot_be_sent_is_said(connect, odd):
    with pytest.raises(ConfigurationError, match="must be a mapping"):
        connect("http://127.0.0.1:9/v1").batches.create(input_file_id="f", endpoint="/v1/e", **odd)
